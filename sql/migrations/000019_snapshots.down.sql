DROP TABLE snapshot_seats;
DROP TABLE snapshots;
UPDATE counters SET value = 17 WHERE name = 'schema';
