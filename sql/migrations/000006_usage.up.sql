-- What a warehouse that bills by use has done: for each attempt, failed ones too, and for a step over all of its attempts.
--
--   what did a night cost?  SELECT run, SUM(bytes_billed) FROM steps GROUP BY run ORDER BY run DESC;
--   what costs most?        SELECT dataset, SUM(bytes_billed) FROM steps GROUP BY dataset ORDER BY 2 DESC;
UPDATE counters SET value = 6 WHERE name = 'schema';

ALTER TABLE attempts ADD COLUMN jobs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN bytes_billed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN slot_ms BIGINT NOT NULL DEFAULT 0;      -- of all slots together

ALTER TABLE steps ADD COLUMN jobs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE steps ADD COLUMN bytes_billed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE steps ADD COLUMN slot_ms BIGINT NOT NULL DEFAULT 0;
