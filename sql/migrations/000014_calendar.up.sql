-- When days are due and why they are not, what ticks wait for, maintenance windows, and schedules that rest.
--
--   why is nothing expected?    SELECT dataset, date, not_expected_kind, not_expected FROM days WHERE not_expected <> '';
--   which schedules rest?       SELECT schedule, paused_by, until, reason FROM pauses;
UPDATE counters SET value = 14 WHERE name = 'schema';

ALTER TABLE days ADD COLUMN due_at TEXT;                                -- when its run is to start
ALTER TABLE days ADD COLUMN not_expected_kind TEXT NOT NULL DEFAULT ''; -- schedule, calendar, skipped
ALTER TABLE days ADD COLUMN hold TEXT;                                  -- {kind, reason, waits_for, until, gave_up}: why its run has not started
ALTER TABLE past_days ADD COLUMN not_expected_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE past_days ADD COLUMN due_at TEXT;
ALTER TABLE past_days ADD COLUMN hold TEXT;
ALTER TABLE ticks ADD COLUMN hold TEXT;                                 -- the same, while the tick is not decided

-- Times in which data will not come, because a person said so.
CREATE TABLE maintenance (
    id         TEXT   PRIMARY KEY,          -- maintenance-<the event's seq>; file-… for one of daybreak.yaml
    seq        BIGINT NOT NULL UNIQUE,
    from_at    TEXT   NOT NULL,
    to_at      TEXT   NOT NULL,
    zone       TEXT   NOT NULL,
    everything BIGINT NOT NULL,             -- 1 when it covers all datasets
    datasets   TEXT,                        -- a list
    sources    TEXT,                        -- a list
    reason     TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at TEXT   NOT NULL,
    ended_at   TEXT,                        -- before its time
    ended_by   TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX maintenance_time ON maintenance (to_at);

-- Schedules that a person told to rest.
CREATE TABLE pauses (
    schedule  TEXT PRIMARY KEY,
    paused_by TEXT NOT NULL,
    paused_at TEXT NOT NULL,
    until     TEXT,                         -- NULL: until a person resumes it
    reason    TEXT NOT NULL
);
