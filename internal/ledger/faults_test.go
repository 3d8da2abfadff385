package ledger_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

func TestAddresses(t *testing.T) {
	for _, dsn := range []string{"", "sqlite:", "ledger.db", "mysql://root:hunter2@db/x", "postgres://%zz"} {
		_, err := ledger.Open(t.Context(), dsn, discard())
		if e := wantCode(t, err, "ledger_address"); strings.Contains(e.Error(), "hunter2") {
			t.Errorf("%q shows a password", e)
		}
	}
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "a folder?mode=ro#é%20", "ledger.db")
	run, steps, days := night("run-1", day("2026-01-05"))
	must2(open(t, dsn).CreateRun(t.Context(), run, steps, days))(t)
	if _, err := os.Stat(strings.TrimPrefix(dsn, "sqlite:")); err != nil {
		t.Error(err)
	}
}

func TestAFileThatIsNoLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	ok(t, os.WriteFile(path, []byte(strings.Repeat("this is no database ", 1000)), 0o600))
	_, err := ledger.Open(t.Context(), "sqlite:"+path, discard())
	wantCode(t, err, "ledger_unreadable")
	_, err = ledger.Open(t.Context(), "sqlite:"+filepath.Join(path, "ledger.db"), discard())
	wantCode(t, err, "ledger_unreadable")
	_, err = ledger.Open(t.Context(), "sqlite:"+t.TempDir(), discard())
	wantCode(t, err, "ledger_unreadable")
}

func TestADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := ledger.Open(t.Context(), "sqlite:"+path, discard())
	ok(t, err)
	ok(t, l.Migrate(t.Context()))
	for i := range 20 {
		run, steps, days := night(strings.Repeat("x", i+1), day("2026-01-05").AddDays(i))
		must2(l.CreateRun(t.Context(), run, steps, days))(t)
	}
	ok(t, l.Close())
	content := must(os.ReadFile(path))(t)
	for i := 4096 + 8; i < len(content); i += 512 { // all but the first page, so that it still opens
		copy(content[i:], strings.Repeat("\xff", 64))
	}
	ok(t, os.WriteFile(path, content, 0o600))
	l, err = ledger.Open(t.Context(), "sqlite:"+path, discard())
	if err == nil {
		_, err = l.Facts(t.Context(), day("2026-01-01"), day("2026-12-31"))
		ok(t, l.Close())
	}
	wantCode(t, err, "ledger_unreadable")
}

func TestABusyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, "sqlite:"+path)
	impatient, err := ledger.OpenImpatient(t.Context(), path, time.Millisecond, discard())
	ok(t, err)
	defer func() { ok(t, impatient.Close()) }()
	writing, err := l.Writer().BeginTx(t.Context(), nil)
	ok(t, err)
	wantCode(t, impatient.Audit(t.Context(), elt.AuditEntry{}), "ledger_busy")
	must(impatient.Revision(t.Context()))(t) // readers do not wait
	ok(t, writing.Rollback())
	ok(t, impatient.Audit(t.Context(), elt.AuditEntry{}))
}

func TestAFullDisk(t *testing.T) {
	l := open(t, "sqlite:"+filepath.Join(t.TempDir(), "ledger.db"))
	ctx := t.Context()
	run, steps, days := night("run-1", day("2026-01-05"))
	must2(l.CreateRun(ctx, run, steps, days))(t)
	limit := func(pages string) {
		t.Helper()
		_, err := l.Writer().ExecContext(ctx, "PRAGMA max_page_count("+pages+")")
		ok(t, err)
	}
	limit("1") // what it has, and not a page more
	big := elt.AuditEntry{Reason: strings.Repeat("x", 1<<20)}
	e := wantCode(t, l.Audit(ctx, big), "ledger_full")
	if e.Class != elt.Quota {
		t.Errorf("class %s", e.Class)
	}
	if got := must(l.Run(ctx, run.ID))(t); got.State != elt.RunRunning {
		t.Errorf("run %+v", got)
	}
	checkInvariants(t, l)
	limit("1000000")
	ok(t, l.Audit(ctx, big))
	checkInvariants(t, l)
}

func TestACancelledContextNeverCommits(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before := must(l.Revision(t.Context()))(t)
		err := l.Audit(ctx, elt.AuditEntry{})
		if !errors.Is(err, context.Canceled) || elt.CodeOf(err) != "" {
			t.Errorf("error %v", err)
		}
		if after := must(l.Revision(t.Context()))(t); after != before {
			t.Errorf("the revision went from %d to %d", before, after)
		}
	})
}

func TestAServerThatIsAway(t *testing.T) {
	address := testenv.NobodyListens(t)
	_, err := ledger.Open(t.Context(), "postgres://daybreak:hunter2@"+address+"/ledger", discard())
	e := wantCode(t, err, "ledger_unreachable")
	if e.Class != elt.Transient || strings.Contains(e.Error(), "hunter2") || !strings.Contains(e.Error(), address) {
		t.Errorf("error %q of class %s", e, e.Class)
	}
}

func TestAServerThatRestarts(t *testing.T) {
	server := testenv.NewPostgres(t, nil)
	l := open(t, server.Database(t))
	run, steps, days := night("run-1", day("2026-01-05"))
	must2(l.CreateRun(t.Context(), run, steps, days))(t)
	server.Stop(t)
	_, err := l.Claim(t.Context(), steps[0].ID, "w", hour)
	wantCode(t, err, "ledger_unreachable")
	_, err = l.Facts(t.Context(), run.Date, run.Date)
	wantCode(t, err, "ledger_unreachable")
	server.Start(t)
	must(l.Claim(t.Context(), steps[0].ID, "w", hour))(t)
	checkInvariants(t, l)
}

func TestADatabaseThatDoesNotExist(t *testing.T) {
	dsn := testenv.Postgres(t).URL
	_, err := ledger.Open(t.Context(), strings.Replace(dsn, "?", "_none?", 1), discard())
	wantCode(t, err, "ledger_unreadable")
}

// A process that is paused in the middle of a change holds up nobody for long: the server ends its transaction. When it
// goes on it has changed nothing, and is told so.
func TestAPausedProcessHoldsUpNobody(t *testing.T) {
	t.Parallel() // it waits for the server's limits
	dsn := testenv.Postgres(t).URL
	l := open(t, dsn)
	run, steps, days := night("run-1", day("2026-01-05"))
	must2(l.CreateRun(t.Context(), run, steps, days))(t)
	for _, limit := range []string{"", "&idle_in_transaction_session_timeout=3000"} { // ours, and one of the team's own
		paused, err := ledger.Open(t.Context(), dsn+limit, discard())
		ok(t, err)
		before := must(l.Revision(t.Context()))(t)
		err = paused.StandStill(t.Context(), func() {
			if err := l.Audit(t.Context(), elt.AuditEntry{Actor: "other", Action: "a", Target: "b"}); err != nil {
				t.Errorf("others are held up: %v", err)
			}
		})
		wantCode(t, err, "ledger_unreachable")
		if after := must(l.Revision(t.Context()))(t); after != before+1 {
			t.Errorf("the revision went from %d to %d: the paused process has changed something", before, after)
		}
		ok(t, paused.StandStill(t.Context(), func() {})) // with a connection that is new
		ok(t, paused.Close())
	}
	checkInvariants(t, l)
}
