ALTER TABLE steps DROP COLUMN note;
ALTER TABLE steps DROP COLUMN paused;
UPDATE counters SET value = 2 WHERE name = 'schema';
