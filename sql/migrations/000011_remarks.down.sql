DROP TABLE remarks;
UPDATE counters SET value = 10 WHERE name = 'schema';
