DROP TABLE remarks;
UPDATE counters SET value = 9 WHERE name = 'schema';
