DROP TABLE snapshot_seats;
DROP TABLE snapshots;
UPDATE counters SET value = 18 WHERE name = 'schema';
