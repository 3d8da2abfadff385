DROP TABLE requests;
DROP TABLE sessions;
DROP TABLE tokens;
UPDATE counters SET value = 8 WHERE name = 'schema';
