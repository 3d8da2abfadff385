-- The ledger: everything that Daybreak knows of its nights. The same statements run on SQLite and on
-- PostgreSQL, and everything in here may be queried by hand.
--
--   instants    UTC text of fixed width, '2026-01-05T06:10:00.000000Z'; NULL is "not yet" or "never"
--   dates       text, '2026-01-05'
--   lists       JSON text; NULL is "none"
--   yes or no   1 or 0
--
-- Some questions that it answers:
--   what is running?         SELECT id, worker, lease_until, rows, rows_expected FROM steps WHERE state = 'running';
--   why did it fail?         SELECT id, attempt, error FROM steps WHERE state = 'failed' ORDER BY finished_at DESC;
--   what do people read?     SELECT dataset, date, published_at, rows FROM versions WHERE is_current = 1;
--   what happened that day?  SELECT seq, at, kind, step FROM events WHERE date = '2026-01-05' ORDER BY seq;

-- Numbers that only rise. Their sum is of no meaning; each stands for itself:
--   schema  the number of the last migration that was committed
--   event   the seq of the last event; every transaction that records one holds this row's lock
--   touch   changes that are no events: the progress of a step, an entry of the audit trail
--   fence   the last fence given to a lease; none is ever given twice
CREATE TABLE counters (
    name  TEXT   PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('schema', 1), ('event', 0), ('touch', 0), ('fence', 0);

-- The catalogue: what teams care about by name.
CREATE TABLE datasets (
    name          TEXT   PRIMARY KEY,
    kind          TEXT   NOT NULL,            -- table, model, seed
    schedule      TEXT   NOT NULL,
    description   TEXT   NOT NULL,
    owners        TEXT,                       -- a list of addresses
    tags          TEXT,                       -- a list of words
    inputs        TEXT,                       -- a list of datasets that it is made from
    columns       TEXT,                       -- a list of {name, type, description, tests}
    relation      TEXT   NOT NULL,            -- the published name in the warehouse
    materialized  TEXT   NOT NULL,
    deadline_time TEXT   NOT NULL,            -- wall-clock time in the zone, '07:00'; '' for none
    zone          TEXT   NOT NULL,            -- IANA name
    retired       BIGINT NOT NULL DEFAULT 0   -- 1 once it has left the configuration
);

-- One execution of a schedule or a backfill for one data date. The UNIQUE is what makes a night happen
-- once, whoever triggers it and however often.
CREATE TABLE runs (
    id          TEXT   PRIMARY KEY,
    schedule    TEXT   NOT NULL,
    date        TEXT   NOT NULL,
    kind        TEXT   NOT NULL,              -- scheduled, manual, backfill
    sequence    BIGINT NOT NULL,              -- 0, or n for the nth repetition that a person asked for
    reason      TEXT   NOT NULL,
    state       TEXT   NOT NULL,              -- running, succeeded, partial, failed, cancelled
    created_at  TEXT   NOT NULL,
    created_seq BIGINT NOT NULL UNIQUE,       -- the seq of its run.created event: the order of creation
    finished_at TEXT,
    UNIQUE (schedule, date, kind, sequence)
);
CREATE INDEX runs_date ON runs (date);

-- The pieces of a run's work. A running step is held by a worker until lease_until, under a fence: a
-- write that carries another fence changes nothing.
CREATE TABLE steps (
    id              TEXT   PRIMARY KEY,
    run             TEXT   NOT NULL REFERENCES runs (id),
    position        BIGINT NOT NULL,          -- the order within the run
    kind            TEXT   NOT NULL,          -- extract, load, verify, transform, test, publish
    dataset         TEXT   NOT NULL,          -- '' for the run's own publish step
    date            TEXT   NOT NULL,
    needs           TEXT,                     -- a list of steps
    state           TEXT   NOT NULL,          -- pending, running, retrying, succeeded, failed, blocked, cancelled
    attempt         BIGINT NOT NULL DEFAULT 0,
    fence           BIGINT NOT NULL DEFAULT 0,
    worker          TEXT   NOT NULL DEFAULT '',
    lease_until     TEXT,                     -- running only, by the ledger's clock
    next_attempt_at TEXT,                     -- retrying only
    started_at      TEXT,                     -- of the first attempt
    finished_at     TEXT,
    rows            BIGINT NOT NULL DEFAULT 0, -- the progress of the latest attempt
    rows_expected   BIGINT NOT NULL DEFAULT 0,
    bytes           BIGINT NOT NULL DEFAULT 0,
    result          TEXT,                     -- what it leaves for the steps after it
    error           TEXT                      -- {code, class, message, do} of the latest failed attempt
);
CREATE INDEX steps_run ON steps (run, dataset);
CREATE INDEX steps_open ON steps (state) WHERE state IN ('pending', 'running', 'retrying');

-- Every try at a step, kept when the step is tried again.
CREATE TABLE attempts (
    step        TEXT   NOT NULL REFERENCES steps (id),
    number      BIGINT NOT NULL,              -- from 1
    worker      TEXT   NOT NULL,
    fence       BIGINT NOT NULL,
    started_at  TEXT   NOT NULL,
    finished_at TEXT,
    outcome     TEXT,                         -- succeeded, failed, retrying, cancelled, or lost: its lease ran out
    error       TEXT,
    PRIMARY KEY (step, number)
);

-- The unit of status: a dataset on a data date.
CREATE TABLE days (
    dataset      TEXT NOT NULL,
    date         TEXT NOT NULL,
    run          TEXT REFERENCES runs (id),   -- the latest run that brings it
    not_expected TEXT NOT NULL DEFAULT '',    -- why the calendar expects nothing
    deadline     TEXT,                        -- the instant by which it must be ready
    withdrawn    TEXT NOT NULL DEFAULT '',    -- why a person marked it as bad
    PRIMARY KEY (dataset, date)
);
CREATE INDEX days_date ON days (date);

-- Published contents. A row follows the warehouse, which knows the truth: a version that is missing here
-- is reconciled from there.
CREATE TABLE versions (
    id           TEXT   PRIMARY KEY,
    dataset      TEXT   NOT NULL,
    date         TEXT   NOT NULL,
    run          TEXT   NOT NULL,
    fence        BIGINT NOT NULL,
    manifest     TEXT   NOT NULL,             -- the manifest's key in the lake; '' for a model
    rows         BIGINT NOT NULL,
    checks       TEXT   NOT NULL,             -- passed, warned, none
    inputs       TEXT,                        -- {dataset: version} that it was made from
    published_at TEXT   NOT NULL,
    is_newest    BIGINT NOT NULL DEFAULT 0,   -- 1 for the latest published one of its dataset and date
    is_current   BIGINT NOT NULL DEFAULT 0    -- 1 for the dataset's newest date: what people read
);
CREATE INDEX versions_dataset ON versions (dataset, date);
CREATE INDEX versions_newest ON versions (date) WHERE is_newest = 1;
CREATE INDEX versions_current ON versions (dataset) WHERE is_current = 1;

-- What an extraction wrote to the lake, as the lake's own manifest.json says it.
CREATE TABLE manifests (
    key      TEXT   PRIMARY KEY,              -- the object's key in the lake
    step     TEXT   NOT NULL REFERENCES steps (id),
    attempt  BIGINT NOT NULL,
    dataset  TEXT   NOT NULL,
    date     TEXT   NOT NULL,
    rows     BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    parts    BIGINT NOT NULL,
    saved_at TEXT   NOT NULL,
    body     TEXT   NOT NULL                  -- the manifest itself, JSON
);
CREATE INDEX manifests_dataset ON manifests (dataset, date);

-- P1s: one open incident for each root cause.
CREATE TABLE incidents (
    id              TEXT PRIMARY KEY,
    cause           TEXT NOT NULL,            -- the dataset in which the root cause lies
    date            TEXT NOT NULL,
    title           TEXT NOT NULL,
    failure         TEXT,
    affected        TEXT,                     -- a list of datasets
    opened_at       TEXT NOT NULL,
    opened_seq      BIGINT NOT NULL UNIQUE,   -- the seq of its incident.opened event
    acknowledged_by TEXT NOT NULL DEFAULT '',
    resolved_at     TEXT
);
CREATE UNIQUE INDEX incidents_open ON incidents (cause, date) WHERE resolved_at IS NULL;

-- Every change of state, in the order in which it was committed. seq has no gaps and never repeats.
CREATE TABLE events (
    seq     BIGINT PRIMARY KEY,
    at      TEXT   NOT NULL,
    kind    TEXT   NOT NULL,                  -- 'run.created', 'step.failed', 'version.published'
    dataset TEXT   NOT NULL DEFAULT '',
    date    TEXT   NOT NULL DEFAULT '',
    run     TEXT   NOT NULL DEFAULT '',
    step    TEXT   NOT NULL DEFAULT '',
    detail  TEXT                              -- JSON
);

-- The acts of people and tokens.
CREATE TABLE audit (
    id     BIGINT PRIMARY KEY,                -- rises by one
    at     TEXT   NOT NULL,
    actor  TEXT   NOT NULL,
    action TEXT   NOT NULL,
    target TEXT   NOT NULL,
    reason TEXT   NOT NULL
);

-- The decision about each date of a schedule: run, or skipped for a reason.
CREATE TABLE ticks (
    schedule TEXT NOT NULL,
    date     TEXT NOT NULL,
    due_at   TEXT NOT NULL,
    run      TEXT NOT NULL,                   -- '' when it was skipped
    skipped  TEXT NOT NULL,                   -- the reason; '' when it ran
    PRIMARY KEY (schedule, date)
);
