DROP TABLE outbox;
DROP TABLE destinations;
ALTER TABLE incidents DROP COLUMN revision;
UPDATE counters SET value = 1 WHERE name = 'schema';
