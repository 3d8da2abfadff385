DROP TABLE requests;
DROP TABLE sessions;
DROP TABLE tokens;
UPDATE counters SET value = 2 WHERE name = 'schema';
