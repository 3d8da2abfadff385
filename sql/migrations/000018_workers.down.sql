DROP INDEX versions_since;
DROP TABLE leaders;
DROP TABLE workers;
UPDATE counters SET value = 17 WHERE name = 'schema';
