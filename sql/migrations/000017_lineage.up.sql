-- How far the events have been told in OpenLineage's terms. The messages themselves are made from events, runs and
-- steps when they are sent: a night writes nothing for them.
--
--   is Marquez behind?  SELECT destination, seq, (SELECT MAX(seq) FROM events) AS latest, attempt, error FROM lineage;
UPDATE counters SET value = 17 WHERE name = 'schema';

CREATE TABLE lineage (
    destination     TEXT   PRIMARY KEY,
    seq             BIGINT NOT NULL,           -- every event up to it is dealt with
    part            BIGINT NOT NULL DEFAULT 0, -- and so many of the messages that the next one makes
    attempt         BIGINT NOT NULL DEFAULT 0, -- at the next message
    claimed_at      TEXT,                      -- when the latest attempt began
    lease_until     TEXT,                      -- while it is being sent: after it, another sender may try
    next_attempt_at TEXT,                      -- once an attempt failed
    error           TEXT,                      -- {code, class, message, do} of the latest attempt, if it failed
    delivered       BIGINT NOT NULL DEFAULT 0, -- messages
    given_up        BIGINT NOT NULL DEFAULT 0, -- messages refused, and events that grew too old
    delivered_at    TEXT                       -- when the latest was
);

-- How often a run had been taken up again.
CREATE INDEX events_retried ON events (run, seq) WHERE kind = 'run.retried';
