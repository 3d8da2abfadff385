ALTER TABLE steps DROP COLUMN bytes_reserved;
UPDATE counters SET value = 20 WHERE name = 'schema';
