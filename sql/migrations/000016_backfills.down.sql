DROP INDEX runs_backfill;
ALTER TABLE past_runs DROP COLUMN backfill;
ALTER TABLE runs DROP COLUMN backfill;
DROP TABLE backfill_days;
DROP TABLE backfills;
UPDATE counters SET value = 14 WHERE name = 'schema';
