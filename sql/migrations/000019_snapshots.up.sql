-- Snapshots of a source that several workers of a run read in, and who of them does.
--
--   who reads?  SELECT source, worker, connections, lease_until, refused FROM snapshot_seats WHERE run = …;
UPDATE counters SET value = 19 WHERE name = 'schema';

CREATE TABLE snapshots (
    run         TEXT   NOT NULL REFERENCES runs (id),
    source      TEXT   NOT NULL,
    epoch       BIGINT NOT NULL, -- which of the run's snapshots of the source it is, from 1
    fence       BIGINT NOT NULL, -- of whoever takes it, or took it
    connections BIGINT NOT NULL, -- that all workers may have open together
    taken       TEXT,            -- {position, covers, whole, memo}, once it is taken
    PRIMARY KEY (run, source)
);

CREATE TABLE snapshot_seats (
    run         TEXT   NOT NULL REFERENCES runs (id),
    source      TEXT   NOT NULL,
    worker      TEXT   NOT NULL,
    snapshot    BIGINT NOT NULL,            -- the fence of the snapshot
    fence       BIGINT NOT NULL,            -- rises whenever the worker sits down
    exports     TEXT,                       -- [name, …] under which others can join while the worker holds it
    connections BIGINT NOT NULL DEFAULT 0,  -- that the worker may have open
    idle        BIGINT NOT NULL DEFAULT 0,  -- 1 while it has nothing to read
    lease_until TEXT,                       -- NULL of a worker that was refused
    refused     TEXT   NOT NULL DEFAULT '', -- why the worker cannot join
    PRIMARY KEY (run, source, worker)
);
