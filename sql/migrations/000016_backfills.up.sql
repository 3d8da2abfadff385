-- Backfills: ranges of days that were planned and then committed.
--
--   what is being brought again?  SELECT id, state, actor, reason FROM backfills WHERE ended_at IS NULL;
--   how far is backfill-7?        SELECT state, COUNT(*) FROM backfill_days WHERE backfill = 'backfill-7' GROUP BY state;
--   which of its days failed?     SELECT dataset, date, run, says FROM backfill_days WHERE backfill = 'backfill-7' AND state = 'failed';
UPDATE counters SET value = 16 WHERE name = 'schema';

CREATE TABLE backfills (
    id         TEXT   PRIMARY KEY,            -- backfill-<number>
    number     BIGINT NOT NULL UNIQUE,        -- rises by one
    state      TEXT   NOT NULL,               -- running, paused, succeeded, failed, cancelled
    request    TEXT   NOT NULL,               -- {select, from, to, mode, downstream}
    estimate   TEXT,                          -- what it would probably take
    actor      TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    says       TEXT   NOT NULL DEFAULT '',    -- why it is paused or cancelled, and by whom
    created_at TEXT   NOT NULL,
    begun_at   TEXT   NOT NULL,               -- when it was started, or resumed or retried last
    ended_at   TEXT
);

-- One row for each day that its plan names. It is written when the backfill starts, when the day's run begins and when
-- that ends, and never in between.
CREATE TABLE backfill_days (
    backfill TEXT   NOT NULL REFERENCES backfills (id),
    position BIGINT NOT NULL,                 -- the order of the plan
    dataset  TEXT   NOT NULL,
    date     TEXT   NOT NULL,
    action   TEXT   NOT NULL,                 -- extract, reload, build, skip, refuse
    reason   TEXT   NOT NULL,
    phase    BIGINT NOT NULL,                 -- what is built whole comes before the incremental models that read it
    manifest TEXT   NOT NULL DEFAULT '',      -- reload: its key in the lake
    seen     TEXT   NOT NULL DEFAULT '',      -- the version that the plan was made over
    state    TEXT   NOT NULL,                 -- pending, running, succeeded, failed, skipped, refused, cancelled
    run      TEXT   NOT NULL DEFAULT '',
    says     TEXT   NOT NULL DEFAULT '',      -- why it ended as it did, where the plan could not know
    PRIMARY KEY (backfill, dataset, date)
);
-- The lock: a day is in the hands of one backfill at a time.
CREATE UNIQUE INDEX backfill_days_lock ON backfill_days (dataset, date) WHERE state IN ('pending', 'running');
CREATE INDEX backfill_days_order ON backfill_days (backfill, position);
CREATE INDEX backfill_days_next ON backfill_days (backfill, phase, date) WHERE state = 'pending';
CREATE INDEX backfill_days_run ON backfill_days (run) WHERE run <> '';

ALTER TABLE runs ADD COLUMN backfill TEXT NOT NULL DEFAULT ''; -- the backfill that the run belongs to
CREATE INDEX runs_backfill ON runs (backfill) WHERE backfill <> '';
ALTER TABLE past_runs ADD COLUMN backfill TEXT NOT NULL DEFAULT '';
