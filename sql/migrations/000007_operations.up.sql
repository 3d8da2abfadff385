-- What operators do: a version that is rolled back, a run that brings one back, and a guard that may be passed once.
--
--   what was rolled back?    SELECT dataset, date, id, rolled_back FROM versions WHERE rolled_back <> '';
UPDATE counters SET value = 7 WHERE name = 'schema';

ALTER TABLE runs ADD COLUMN target TEXT NOT NULL DEFAULT '';          -- the version that a rollback or reload brings back
ALTER TABLE versions ADD COLUMN restores TEXT NOT NULL DEFAULT '';    -- the version whose content it brought back
ALTER TABLE versions ADD COLUMN rolled_back TEXT NOT NULL DEFAULT ''; -- why nobody reads it any more

-- Days that may pass a guard once, because a person says so.
CREATE TABLE allowances (
    id      BIGINT PRIMARY KEY,               -- rises by one
    dataset TEXT   NOT NULL,
    date    TEXT   NOT NULL,
    at      TEXT   NOT NULL,
    actor   TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    run     TEXT   NOT NULL DEFAULT '',       -- the run that it let pass; '' while nobody has used it
    used_at TEXT
);
CREATE INDEX allowances_day ON allowances (dataset, date);
