DROP INDEX runs_backfill;
ALTER TABLE runs DROP COLUMN backfill;
DROP TABLE backfill_days;
DROP TABLE backfills;
UPDATE counters SET value = 10 WHERE name = 'schema';
