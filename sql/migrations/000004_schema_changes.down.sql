DROP INDEX events_schema_changed;
UPDATE counters SET value = 3 WHERE name = 'schema';
