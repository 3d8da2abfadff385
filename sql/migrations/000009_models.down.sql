DROP TABLE failing_rows;
ALTER TABLE runs DROP COLUMN options;
UPDATE counters SET value = 7 WHERE name = 'schema';
