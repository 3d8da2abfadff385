-- How deep a version was verified, and what it deleted because the source no longer has it.
--
--   what is verified less than row by row?  SELECT dataset, date, level FROM versions WHERE level <> 'rows' AND is_newest = 1;
--   who deletes much?                       SELECT dataset, date, deletes FROM versions WHERE deletes > 0 ORDER BY deletes DESC;
UPDATE counters SET value = 5 WHERE name = 'schema';

ALTER TABLE versions ADD COLUMN level TEXT NOT NULL DEFAULT '';      -- '' for what no lake vouches for, such as models
ALTER TABLE versions ADD COLUMN deletes BIGINT NOT NULL DEFAULT 0;
