-- What an attempt says of itself beside its numbers.
UPDATE counters SET value = 3 WHERE name = 'schema';

ALTER TABLE steps ADD COLUMN paused TEXT NOT NULL DEFAULT ''; -- why it waits on purpose; empty while it works
ALTER TABLE steps ADD COLUMN note TEXT NOT NULL DEFAULT '';   -- what else a reader should know
