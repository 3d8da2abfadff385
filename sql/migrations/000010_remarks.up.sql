-- What people say: of an incident while they look after it, and pinned on a dataset or on one of its days.
--
--   what do people say of revenue?  SELECT at, actor, text FROM remarks WHERE dataset = 'revenue' AND removed_at IS NULL;
UPDATE counters SET value = 10 WHERE name = 'schema';

CREATE TABLE remarks (
    id         TEXT PRIMARY KEY,          -- remark-<the event's seq>
    seq        BIGINT NOT NULL UNIQUE,
    incident   TEXT NOT NULL DEFAULT '',  -- of an incident; or
    dataset    TEXT NOT NULL DEFAULT '',  -- of a dataset,
    date       TEXT NOT NULL DEFAULT '',  -- and perhaps of one day of it alone
    text       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    at         TEXT NOT NULL,
    removed_at TEXT
);
CREATE INDEX remarks_incident ON remarks (incident, seq);
CREATE INDEX remarks_dataset ON remarks (dataset, seq);
