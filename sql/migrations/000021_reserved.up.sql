-- What a model that is being built would read of its run's budget: it counts as spent, on all machines, until its step has
-- ended and says what it was billed.
--
--   what is left of a budget?  SELECT run, SUM(bytes_billed) + SUM(CASE state WHEN 'running' THEN bytes_reserved ELSE 0 END) FROM steps GROUP BY run;
UPDATE counters SET value = 21 WHERE name = 'schema';

ALTER TABLE steps ADD COLUMN bytes_reserved BIGINT NOT NULL DEFAULT 0; -- by its latest attempt; it holds while the step is running
