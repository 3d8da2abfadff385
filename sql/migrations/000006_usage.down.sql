ALTER TABLE steps DROP COLUMN slot_ms;
ALTER TABLE steps DROP COLUMN bytes_billed;
ALTER TABLE steps DROP COLUMN jobs;
ALTER TABLE attempts DROP COLUMN slot_ms;
ALTER TABLE attempts DROP COLUMN bytes_billed;
ALTER TABLE attempts DROP COLUMN jobs;
UPDATE counters SET value = 5 WHERE name = 'schema';
