-- What rows said before they were changed, so that the ledger can be read as it was at a moment. A row is true from
-- since until its next change; NULL is since before there was a history. Rows that were never changed are kept once.
--
--   what did the day say at six?   SELECT run, withdrawn FROM past_days WHERE dataset = 'revenue' AND date = '2026-01-05'
--                                    AND since <= '2026-01-06T06:00:00.000000Z' AND until > '2026-01-06T06:00:00.000000Z';
UPDATE counters SET value = 13 WHERE name = 'schema';

-- history    the seq of the last event before there was a history: nothing is known of what was said before
-- forgotten  the first data date of which nothing was dropped, in days since 1970-01-01; 0 while nothing was
INSERT INTO counters (name, value) SELECT 'history', value FROM counters WHERE name = 'event';
INSERT INTO counters (name, value) VALUES ('forgotten', 0);

ALTER TABLE datasets ADD COLUMN since TEXT;
ALTER TABLE runs ADD COLUMN since TEXT;
ALTER TABLE steps ADD COLUMN since TEXT;
ALTER TABLE days ADD COLUMN since TEXT;
ALTER TABLE versions ADD COLUMN since TEXT;
ALTER TABLE incidents ADD COLUMN since TEXT;

CREATE TABLE past_datasets (
    name TEXT NOT NULL, kind TEXT NOT NULL, schedule TEXT NOT NULL, description TEXT NOT NULL, owners TEXT, tags TEXT, inputs TEXT, columns TEXT,
    relation TEXT NOT NULL, materialized TEXT NOT NULL, deadline_time TEXT NOT NULL, zone TEXT NOT NULL, retired BIGINT NOT NULL,
    since TEXT, until TEXT NOT NULL
);
CREATE INDEX past_datasets_until ON past_datasets (until);

CREATE TABLE past_runs (
    id TEXT NOT NULL, schedule TEXT NOT NULL, date TEXT NOT NULL, kind TEXT NOT NULL, sequence BIGINT NOT NULL, reason TEXT NOT NULL,
    state TEXT NOT NULL, created_at TEXT NOT NULL, finished_at TEXT, target TEXT NOT NULL, options TEXT, created_seq BIGINT NOT NULL,
    since TEXT, until TEXT NOT NULL
);
CREATE INDEX past_runs_id ON past_runs (id);
CREATE INDEX past_runs_until ON past_runs (until);

CREATE TABLE past_steps (
    id TEXT NOT NULL, run TEXT NOT NULL, kind TEXT NOT NULL, dataset TEXT NOT NULL, date TEXT NOT NULL, needs TEXT, state TEXT NOT NULL,
    attempt BIGINT NOT NULL, next_attempt_at TEXT, lease_until TEXT, started_at TEXT, finished_at TEXT,
    rows BIGINT NOT NULL, rows_expected BIGINT NOT NULL, bytes BIGINT NOT NULL, paused TEXT NOT NULL, note TEXT NOT NULL, result TEXT, error TEXT,
    jobs BIGINT NOT NULL, bytes_billed BIGINT NOT NULL, slot_ms BIGINT NOT NULL, fence BIGINT NOT NULL, worker TEXT NOT NULL, position BIGINT NOT NULL,
    since TEXT, until TEXT NOT NULL
);
CREATE INDEX past_steps_run ON past_steps (run, dataset);
CREATE INDEX past_steps_id ON past_steps (id);

CREATE TABLE past_days (
    dataset TEXT NOT NULL, date TEXT NOT NULL, run TEXT, not_expected TEXT NOT NULL, deadline TEXT, withdrawn TEXT NOT NULL,
    since TEXT, until TEXT NOT NULL
);
CREATE INDEX past_days_date ON past_days (date);

CREATE TABLE past_versions (
    id TEXT NOT NULL, dataset TEXT NOT NULL, date TEXT NOT NULL, run TEXT NOT NULL, fence BIGINT NOT NULL, manifest TEXT NOT NULL, rows BIGINT NOT NULL,
    checks TEXT NOT NULL, inputs TEXT, published_at TEXT NOT NULL, restores TEXT NOT NULL, rolled_back TEXT NOT NULL, level TEXT NOT NULL, deletes BIGINT NOT NULL,
    is_newest BIGINT NOT NULL, since TEXT, until TEXT NOT NULL
);
CREATE INDEX past_versions_date ON past_versions (date);
CREATE INDEX past_versions_id ON past_versions (id);

CREATE TABLE past_incidents (
    id TEXT NOT NULL, cause TEXT NOT NULL, date TEXT NOT NULL, title TEXT NOT NULL, failure TEXT, affected TEXT, opened_at TEXT NOT NULL,
    acknowledged_by TEXT NOT NULL, resolved_at TEXT, opened_seq BIGINT NOT NULL,
    since TEXT, until TEXT NOT NULL
);
CREATE INDEX past_incidents_id ON past_incidents (id);
CREATE INDEX past_incidents_until ON past_incidents (until);
