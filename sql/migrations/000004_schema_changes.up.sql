-- How a dataset's columns have changed is told by events of the kind schema.changed; their detail says how.
--
--   what changed lately?  SELECT dataset, date, detail FROM events WHERE kind = 'schema.changed' ORDER BY seq DESC;
UPDATE counters SET value = 4 WHERE name = 'schema';

CREATE INDEX events_schema_changed ON events (dataset, seq) WHERE kind = 'schema.changed';
