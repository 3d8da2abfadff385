DROP TABLE allowances;
ALTER TABLE versions DROP COLUMN rolled_back;
ALTER TABLE versions DROP COLUMN restores;
ALTER TABLE runs DROP COLUMN target;
UPDATE counters SET value = 6 WHERE name = 'schema';
