package ledger_test

import (
	"context"
	"testing"

	"github.com/daybreak-data/daybreak/internal/ledger"
)

// invariants are queries that find what must never be, whatever happened to whoever wrote.
var invariants = map[string]string{
	"events have a gap":                   `SELECT CAST(seq AS TEXT) FROM (SELECT seq, ROW_NUMBER() OVER (ORDER BY seq) AS place FROM events) AS numbered WHERE seq <> place`,
	"the counter is not the last event's": `SELECT name FROM counters WHERE name = 'event' AND value <> (SELECT COALESCE(MAX(seq), 0) FROM events)`,
	"events go back in time":              `SELECT CAST(later.seq AS TEXT) FROM events earlier JOIN events later ON later.seq = earlier.seq + 1 WHERE later.at < earlier.at`,
	"a fence was given twice":             `SELECT CAST(fence AS TEXT) FROM attempts GROUP BY fence HAVING COUNT(*) > 1`,
	"a fence is above its counter":        `SELECT id FROM steps WHERE fence > (SELECT value FROM counters WHERE name = 'fence')`,
	"attempts are missing":                `SELECT id FROM steps WHERE attempt <> (SELECT COUNT(*) FROM attempts WHERE step = steps.id)`,
	"attempts do not count up":            `SELECT step FROM attempts GROUP BY step HAVING MIN(number) <> 1 OR MAX(number) <> COUNT(*)`,
	"a running step without a lease":      `SELECT id FROM steps WHERE (state = 'running') <> (lease_until IS NOT NULL)`,
	"a retrying step without a time":      `SELECT id FROM steps WHERE (state = 'retrying') <> (next_attempt_at IS NOT NULL)`,
	"an ended step without a time":        `SELECT id FROM steps WHERE (state IN ('succeeded', 'failed', 'blocked', 'cancelled')) <> (finished_at IS NOT NULL)`,
	"an attempt that is open or not": `SELECT s.id FROM steps s JOIN attempts a ON a.step = s.id
		WHERE (a.finished_at IS NULL) <> (s.state = 'running' AND a.number = s.attempt)`,
	"a state that no event tells": `SELECT s.id FROM steps s
		JOIN (SELECT step, MAX(seq) AS seq FROM events WHERE kind LIKE 'step.%' AND kind <> 'step.released' GROUP BY step) AS latest ON latest.step = s.id
		JOIN events e ON e.seq = latest.seq WHERE e.kind <> 'step.' || s.state`,
	"an ended run with open steps": `SELECT r.id FROM runs r JOIN steps s ON s.run = r.id WHERE r.state <> 'running' AND s.state IN ('pending', 'running', 'retrying')`,
	"an ended run without a time":  `SELECT id FROM runs WHERE (state = 'running') <> (finished_at IS NULL)`,
	"a run without steps":          `SELECT id FROM runs WHERE NOT EXISTS (SELECT 1 FROM steps WHERE run = runs.id)`,
	"a message in a state without its time": `SELECT id FROM outbox WHERE (state = 'sending') <> (lease_until IS NOT NULL)
		OR (state IN ('delivered', 'failed')) <> (ended_at IS NOT NULL) OR (attempt > 0) <> (claimed_at IS NOT NULL)`,
	"a message that no event tells":       `SELECT id FROM outbox m WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.seq = m.seq AND e.kind LIKE 'incident.%')`,
	"a day in the hands of two backfills": `SELECT dataset FROM backfill_days WHERE state IN ('pending', 'running') GROUP BY dataset, date HAVING COUNT(*) > 1`,
	"a backfill's day without its run":    `SELECT d.dataset FROM backfill_days d WHERE d.state = 'running' AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = d.run AND r.state = 'running')`,
	"an ended backfill with open days": `SELECT b.id FROM backfills b JOIN backfill_days d ON d.backfill = b.id
		WHERE b.ended_at IS NOT NULL AND d.state IN ('pending', 'running')`,
	"an ended backfill with a run":         `SELECT b.id FROM backfills b JOIN runs r ON r.backfill = b.id WHERE b.ended_at IS NOT NULL AND r.state = 'running'`,
	"an ended backfill without a time":     `SELECT id FROM backfills WHERE (state IN ('running', 'paused')) <> (ended_at IS NULL)`,
	"not one newest version of a date":     `SELECT dataset FROM versions GROUP BY dataset, date HAVING SUM(is_newest) <> 1`,
	"not one current version of a dataset": `SELECT dataset FROM versions GROUP BY dataset HAVING SUM(is_current) <> 1`,
}

func checkInvariants(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	for broken, query := range invariants {
		for _, which := range column(t, l, query) {
			t.Errorf("%s: %s", broken, which)
		}
	}
}

// column returns the one column of a query.
func column(t testing.TB, l *ledger.Ledger, query string) (out []string) {
	t.Helper()
	rows, err := l.Writer().QueryContext(context.Background(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		ok(t, rows.Scan(&text))
		out = append(out, text)
	}
	ok(t, rows.Err())
	return out
}
