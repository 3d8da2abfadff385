-- The processes that work on the ledger, and which of them leads. A step is held by its lease, and a date has one run by its
-- key, whatever stands here. Who has ended as asked to has no threads: others go on at once with the source that it alone read.
--
--   who is alive?  SELECT id, host, command, seen_at FROM workers WHERE threads > 0 ORDER BY seen_at DESC;
UPDATE counters SET value = 18 WHERE name = 'schema';

CREATE TABLE workers (
    id         TEXT   PRIMARY KEY,
    host       TEXT   NOT NULL,
    process    BIGINT NOT NULL,
    command    TEXT   NOT NULL, -- serve or worker
    version    TEXT   NOT NULL,
    kinds      TEXT,            -- ["extract",…]
    threads    BIGINT NOT NULL, -- 0 when it has left
    started_at TEXT   NOT NULL,
    seen_at    TEXT   NOT NULL  -- its last sign of life
);

CREATE TABLE leaders (
    name        TEXT PRIMARY KEY, -- of what is led
    worker      TEXT NOT NULL,
    lease_until TEXT NOT NULL     -- after it, another may lead
);

-- What others have published since a process last looked.
CREATE INDEX versions_since ON versions (since);
