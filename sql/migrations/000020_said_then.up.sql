-- When incidents were acknowledged, and what was said of ticks and pauses before it changed, so that schedules can be
-- read as they were at a moment too.
--
--   who was quick?                    SELECT id, opened_at, acknowledged_at, acknowledged_by FROM incidents;
--   which schedules rested at six?    SELECT schedule, reason FROM pauses WHERE paused_at <= '2026-01-06T06:00:00.000000Z'
--                                       UNION ALL SELECT schedule, reason FROM past_pauses WHERE paused_at <= '2026-01-06T06:00:00.000000Z' AND over_at > '2026-01-06T06:00:00.000000Z';
UPDATE counters SET value = 20 WHERE name = 'schema';

ALTER TABLE incidents ADD COLUMN acknowledged_at TEXT;      -- NULL: by nobody, or before this was kept
ALTER TABLE past_incidents ADD COLUMN acknowledged_at TEXT;

-- A tick that was decided before there was this column is true from when it was due.
ALTER TABLE ticks ADD COLUMN since TEXT;
CREATE TABLE past_ticks (
    schedule TEXT NOT NULL, date TEXT NOT NULL, due_at TEXT NOT NULL, run TEXT, skipped TEXT NOT NULL, hold TEXT,
    since TEXT, until TEXT NOT NULL
);
CREATE INDEX past_ticks_schedule ON past_ticks (schedule, date);

-- Pauses that were replaced or ended, before their time or after it.
CREATE TABLE past_pauses (
    schedule TEXT NOT NULL, paused_by TEXT NOT NULL, paused_at TEXT NOT NULL, until TEXT, reason TEXT NOT NULL,
    over_at  TEXT NOT NULL                                   -- when it was
);
CREATE INDEX past_pauses_over ON past_pauses (over_at);
