package ledger_test

import (
	"context"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/sql"
)

func TestMigrateUpDownUp(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		ctx := t.Context()
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		ok(t, l.Finish(ctx, must(l.Claim(ctx, steps[0].ID, "w", hour))(t), elt.Outcome{State: elt.StepSucceeded}))
		ok(t, l.Audit(ctx, elt.AuditEntry{Actor: "growth@example.com", Action: "test"}))
		ok(t, l.Migrate(ctx))
		must(l.Run(ctx, run.ID))(t)

		ok(t, l.MigrateDown(ctx))
		_, err := l.Run(ctx, run.ID)
		wantCode(t, err, "ledger_older")
		ok(t, l.Migrate(ctx))
		_, err = l.Run(ctx, run.ID)
		wantCode(t, err, "run_unknown")
		must2(l.CreateRun(ctx, run, steps, days))(t)
		checkInvariants(t, l)
	})
}

func TestMigrateFromTwoProcessesAtOnce(t *testing.T) {
	for engine, address := range engines() {
		t.Run(engine, func(t *testing.T) {
			dsn := address(t)
			children := []*child{startChild(t, "migrate", dsn, ""), startChild(t, "migrate", dsn, "")}
			for _, c := range children {
				if c.line() != "ready" {
					t.Fatal("a child did not start")
				}
			}
			for _, c := range children {
				c.release(t)
			}
			for _, c := range children {
				ok(t, c.Wait())
			}
			l, err := ledger.Open(t.Context(), dsn, discard())
			ok(t, err)
			run, steps, days := night("run-1", day("2026-01-05"))
			must2(l.CreateRun(t.Context(), run, steps, days))(t)
			ok(t, l.Close())
		})
	}
}

func childMigrates(ctx context.Context, dsn, _ string) error {
	if err := awaitSignal(); err != nil {
		return err
	}
	l, err := ledger.Open(ctx, dsn, discard())
	if err != nil {
		return err
	}
	if err := l.Migrate(ctx); err != nil {
		return err
	}
	return l.Close()
}

func TestAnInterruptedMigrationIsTakenUp(t *testing.T) {
	for name, undo := range map[string]bool{"before it committed": true, "after it committed": false} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
				ctx := t.Context()
				if undo {
					ok(t, l.MigrateDown(ctx))
				}
				for _, text := range []string{`DELETE FROM schema_migrations`, `INSERT INTO schema_migrations (version, dirty) VALUES (1, true)`} {
					_, err := l.Writer().ExecContext(ctx, text)
					ok(t, err)
				}
				ok(t, l.Migrate(ctx))
				must(l.Runs(ctx, elt.RunFilter{}))(t)
			})
		})
	}
}

func TestALedgerOfAnotherVersion(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		ctx := t.Context()
		_, err := l.Writer().ExecContext(ctx, `UPDATE counters SET value = 999 WHERE name = 'schema'`)
		ok(t, err)
		_, err = ledger.Open(ctx, dsn, discard())
		wantCode(t, err, "ledger_newer")
		wantCode(t, l.Migrate(ctx), "ledger_newer")

		_, err = l.Writer().ExecContext(ctx, `UPDATE counters SET value = 0 WHERE name = 'schema'`)
		ok(t, err)
		older, err := ledger.Open(ctx, dsn, discard())
		ok(t, err)
		_, err = older.Now(ctx)
		wantCode(t, err, "ledger_older")
		ok(t, older.Close())
	})
}

// The number that a migration writes in its own transaction is what an interrupted one is judged by.
func TestEachMigrationWritesItsNumber(t *testing.T) {
	names, err := fs.Glob(sql.Migrations, "migrations/*.sql")
	ok(t, err)
	if len(names) == 0 {
		t.Fatal("no migrations")
	}
	number := regexp.MustCompile(`migrations/0*(\d+)_[a-z_]+\.(up|down)\.sql`)
	for _, name := range names {
		m := number.FindStringSubmatch(name)
		if m == nil {
			t.Errorf("%s is not named like a migration", name)
			continue
		}
		text := string(must(fs.ReadFile(sql.Migrations, name))(t))
		switch {
		case m[1] == "1" && m[2] == "up" && !strings.Contains(text, "('schema', 1)"),
			m[1] == "1" && m[2] == "down" && !strings.Contains(text, "DROP TABLE counters"),
			m[1] != "1" && !strings.Contains(text, "WHERE name = 'schema'"):
			t.Errorf("%s does not write the schema's number", name)
		}
	}
}
