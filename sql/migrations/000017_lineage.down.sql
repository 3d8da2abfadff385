DROP INDEX events_retried;
DROP TABLE lineage;
UPDATE counters SET value = 16 WHERE name = 'schema';
