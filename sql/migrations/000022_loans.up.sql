-- Chunks of large tables that the worker which reads the table lends to others.
--
--   who helps whom?  SELECT step, lent_chunks.worker, count(*), sum(lent_chunks.rows) FROM lent_chunks GROUP BY 1, 2;
UPDATE counters SET value = 22 WHERE name = 'schema';

CREATE TABLE lent_tables (
    step      TEXT   PRIMARY KEY REFERENCES steps (id),
    run       TEXT   NOT NULL,
    source    TEXT   NOT NULL,
    snapshot  BIGINT NOT NULL, -- the fence of the snapshot in which the table is read
    fence     BIGINT NOT NULL, -- of the lease under which it is read
    reading   BIGINT NOT NULL, -- which reading under that lease
    described TEXT   NOT NULL  -- what whoever reads a chunk must know
);
CREATE INDEX lent_tables_snapshot ON lent_tables (run, source);

CREATE TABLE lent_chunks (
    step        TEXT   NOT NULL REFERENCES lent_tables (step),
    number      BIGINT NOT NULL,
    chunk       TEXT   NOT NULL,            -- for the source alone
    worker      TEXT   NOT NULL DEFAULT '', -- who took it
    fence       BIGINT NOT NULL DEFAULT 0,  -- of whoever took it; 0 while nobody has
    lease_until TEXT,                       -- NULL of one that was given up
    rows        BIGINT NOT NULL DEFAULT 0,  -- written so far
    bytes       BIGINT NOT NULL DEFAULT 0,
    brought     TEXT,                       -- {rows, parts, stats, …}, once it has been read
    PRIMARY KEY (step, number)
);
