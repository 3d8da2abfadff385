UPDATE counters SET value = 10 WHERE name = 'schema';
DELETE FROM counters WHERE name IN ('history', 'forgotten');

DROP TABLE past_incidents;
DROP TABLE past_versions;
DROP TABLE past_days;
DROP TABLE past_steps;
DROP TABLE past_runs;
DROP TABLE past_datasets;

ALTER TABLE incidents DROP COLUMN since;
ALTER TABLE versions DROP COLUMN since;
ALTER TABLE days DROP COLUMN since;
ALTER TABLE steps DROP COLUMN since;
ALTER TABLE runs DROP COLUMN since;
ALTER TABLE datasets DROP COLUMN since;
