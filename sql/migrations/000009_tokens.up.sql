-- Who may ask and act. Of a token or a session only the digest is kept: whoever reads the ledger can use neither.
--
--   who can act?  SELECT id, name, role, expires_at FROM tokens WHERE revoked_at IS NULL AND role <> 'viewer';
UPDATE counters SET value = 9 WHERE name = 'schema';

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,   -- the public part of its text
    name       TEXT NOT NULL,      -- whose it is
    role       TEXT NOT NULL,      -- viewer, operator, admin
    digest     TEXT NOT NULL,      -- SHA-256 of its text, in hexadecimal
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT,
    revoked_by TEXT NOT NULL DEFAULT ''
);

-- A browser in which somebody has signed in.
CREATE TABLE sessions (
    digest     TEXT PRIMARY KEY,   -- SHA-256 of the cookie's value, in hexadecimal
    token      TEXT REFERENCES tokens (id), -- whose rights it has; NULL when it came from a login elsewhere
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,      -- at most this, and at most the token's
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Answers to requests that change something, so that a repeated request changes nothing and is answered the same.
CREATE TABLE requests (
    key        TEXT   NOT NULL,    -- Idempotency-Key
    actor      TEXT   NOT NULL,
    digest     TEXT   NOT NULL,    -- of method, path and body: another request under the same key is refused
    status     BIGINT NOT NULL,    -- 0 while it is being carried out
    answer     TEXT   NOT NULL DEFAULT '',
    created_at TEXT   NOT NULL,
    PRIMARY KEY (key, actor)
);
CREATE INDEX requests_age ON requests (created_at);
