DROP TABLE lent_chunks;
DROP TABLE lent_tables;
UPDATE counters SET value = 21 WHERE name = 'schema';
