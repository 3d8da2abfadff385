DROP TABLE past_pauses;
DROP TABLE past_ticks;
ALTER TABLE ticks DROP COLUMN since;
ALTER TABLE past_incidents DROP COLUMN acknowledged_at;
ALTER TABLE incidents DROP COLUMN acknowledged_at;
UPDATE counters SET value = 19 WHERE name = 'schema';
