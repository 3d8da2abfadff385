ALTER TABLE versions DROP COLUMN deletes;
ALTER TABLE versions DROP COLUMN level;
UPDATE counters SET value = 4 WHERE name = 'schema';
