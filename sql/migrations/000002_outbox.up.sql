-- Notices of incidents. A message is written by the transaction that changes its incident, so that it is neither lost
-- nor doubled, and is sent afterwards.
--
--   what was not delivered?  SELECT id, state, attempt, error FROM outbox WHERE state <> 'delivered' ORDER BY seq;
UPDATE counters SET value = 2 WHERE name = 'schema';

ALTER TABLE incidents ADD COLUMN revision BIGINT NOT NULL DEFAULT 0; -- rises with every change of the incident

-- Who is told, by name alone: addresses are secrets, and stay in the configuration.
CREATE TABLE destinations (
    name TEXT PRIMARY KEY
);

CREATE TABLE outbox (
    id              TEXT   PRIMARY KEY,        -- <incident>/<kind>/<revision>/<destination>
    seq             BIGINT NOT NULL,           -- of the event that it tells
    destination     TEXT   NOT NULL,
    incident        TEXT   NOT NULL REFERENCES incidents (id),
    title           TEXT   NOT NULL,           -- the incident's, at that time
    notice          TEXT   NOT NULL,           -- what is told, JSON
    state           TEXT   NOT NULL,           -- pending, sending, delivered, failed
    attempt         BIGINT NOT NULL DEFAULT 0,
    created_at      TEXT   NOT NULL,
    claimed_at      TEXT,                      -- when the latest attempt began
    lease_until     TEXT,                      -- sending only: after it, another sender may try
    next_attempt_at TEXT,                      -- pending only, once an attempt failed
    ended_at        TEXT,                      -- delivered and failed
    error           TEXT,                      -- {code, class, message, do} of the latest attempt that failed
    UNIQUE (destination, seq)
);
CREATE INDEX outbox_incident ON outbox (incident, title);
CREATE INDEX outbox_open ON outbox (destination, incident, seq) WHERE state IN ('pending', 'sending');
