-- What a person asked of a run beyond its date, and the rows that failed tests.
--
--   which runs were not like every night?  SELECT id, date, options FROM runs WHERE options IS NOT NULL;
UPDATE counters SET value = 8 WHERE name = 'schema';

ALTER TABLE runs ADD COLUMN options TEXT;     -- {select, exclude, full_refresh, vars}; NULL for a night like any other
CREATE INDEX runs_special ON runs (id) WHERE options IS NOT NULL;

-- Some of the rows that failed a test, for operators, without what is masked. They are deleted after two weeks.
CREATE TABLE failing_rows (
    run       TEXT NOT NULL REFERENCES runs (id),
    dataset   TEXT NOT NULL,
    test      TEXT NOT NULL,
    date      TEXT NOT NULL,
    relation  TEXT NOT NULL,                  -- the warehouse's table that holds all of them; '' for none
    sample    TEXT,                           -- {columns, rows}
    saved_at  TEXT NOT NULL,
    PRIMARY KEY (run, dataset, test)
);
CREATE INDEX failing_rows_age ON failing_rows (saved_at);
