DROP TABLE failing_rows;
DROP INDEX runs_special;
ALTER TABLE runs DROP COLUMN options;
UPDATE counters SET value = 7 WHERE name = 'schema';
