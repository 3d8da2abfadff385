package ledger_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// begin returns a ledger's new run, with its steps.
func begin(t testing.TB, l *ledger.Ledger) (elt.Run, []elt.Step) {
	t.Helper()
	run, steps, days := night("run-1", day("2026-01-05"))
	must2(l.CreateRun(t.Context(), run, steps, days))(t)
	return run, steps
}

func TestClaimIsWonByOne(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		_, steps := begin(t, l)
		var won, refused atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, err := l.Claim(t.Context(), steps[0].ID, "w", hour)
				switch {
				case err == nil:
					won.Add(1)
				case elt.CodeOf(err) == "step_not_claimable":
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || refused.Load() != 99 {
			t.Errorf("%d won, %d were refused", won.Load(), refused.Load())
		}
		checkInvariants(t, l)
	})
}

// One worker reads the tables of a source in a run, because its snapshot is its own. On SQLite, where only one process works
// at a time, the next one need not wait until the last one's leases are forgotten.
func TestASourceIsReadByOneWorker(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		_, steps := begin(t, l)
		users, orders := steps[0].ID, steps[2].ID
		alone := strings.HasPrefix(dsn, "sqlite:")
		finish := func(lease elt.Lease, err error, o elt.Outcome) {
			t.Helper()
			if err == nil {
				err = l.Finish(t.Context(), lease, o)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		refused := func(step elt.StepID) {
			t.Helper()
			lease, err := l.Claim(t.Context(), step, "b", hour)
			if alone {
				finish(lease, err, elt.Outcome{State: elt.StepRetrying, NextAttemptAt: time.Unix(1, 0)})
			} else if elt.CodeOf(err) != "step_not_claimable" || !strings.Contains(err.Error(), "worker a reads source shop") {
				t.Errorf("b claims %s: %v", step, err)
			}
		}
		reading, err := l.Claim(t.Context(), users, "a", hour)
		refused(orders)
		finish(reading, err, elt.Outcome{State: elt.StepSucceeded})
		refused(orders) // a is between two tables
		// Once a has been silent for the length of a lease, whoever is there goes on.
		if _, err := l.Claim(t.Context(), orders, "b", time.Microsecond); err != nil {
			t.Error(err)
		}
	})
}

// A worker that has said farewell reads no source and builds no models any more: whoever is there goes on at once. One that
// nobody has listed, or that is listed still, may be between two tables.
func TestWhoHasLeftIsFollowedAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		alone := strings.HasPrefix(dsn, "sqlite:")
		l.Limit(elt.Limits{OneBuilder: true})
		for i, kind := range []elt.StepKind{elt.ExtractStep, elt.TransformStep} {
			run := elt.Run{ID: elt.RunID(kind), Schedule: "nightly", Date: day("2026-01-05"), Kind: elt.ManualRun, Sequence: i + 1}
			var steps []elt.Step
			for _, d := range []elt.DatasetName{"shop.users", "shop.orders", "shop.items"} {
				steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, kind, d), Run: run.ID, Kind: kind, Dataset: d, Date: run.Date})
			}
			must2(l.CreateRun(t.Context(), run, steps, nil))(t)
			w := elt.Worker{ID: elt.WorkerID("who " + kind), Host: "a", Command: "worker", Version: "1", Kinds: elt.StepKinds(), Threads: 2}
			ok(t, l.Finish(t.Context(), must(l.Claim(t.Context(), steps[0].ID, w.ID, hour))(t), elt.Outcome{State: elt.StepSucceeded}))
			follow := func(after string) {
				t.Helper()
				if alone {
					return // one process works at a time
				}
				if _, err := l.Claim(t.Context(), steps[1].ID, "b", hour); elt.CodeOf(err) != "step_not_claimable" {
					t.Errorf("%s: after %s b claims it: %v", kind, after, err)
				}
			}
			follow("nothing")
			ok(t, l.LeaveWorker(t.Context(), w.ID))
			follow("the farewell of who was never listed")
			ok(t, l.BeatWorker(t.Context(), w))
			follow("a sign of life")
			held := must(l.Claim(t.Context(), steps[2].ID, w.ID, hour))(t)
			ok(t, l.LeaveWorker(t.Context(), w.ID))
			follow("a farewell with a step in hand")
			ok(t, l.Finish(t.Context(), held, elt.Outcome{State: elt.StepSucceeded}))
			ok(t, l.Finish(t.Context(), must(l.Claim(t.Context(), steps[1].ID, "b", hour))(t), elt.Outcome{State: elt.StepSucceeded}))
		}
		if listed := must(l.Workers(t.Context()))(t); len(listed) > 0 {
			t.Errorf("listed are %v", listed)
		}
	})
}

// Where what builds the models knows of no other machine, a run's models are built by one worker, and by another once that
// one is silent.
func TestModelsOfARunAreBuiltByOneWorker(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		alone := strings.HasPrefix(dsn, "sqlite:")
		run := elt.Run{ID: "run-1", Schedule: "nightly", Date: day("2026-01-05"), Kind: elt.ScheduledRun}
		var steps []elt.Step
		for _, d := range []elt.DatasetName{"crowd", "revenue", "churn"} {
			steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, elt.TransformStep, d), Run: run.ID, Kind: elt.TransformStep, Dataset: d, Date: run.Date})
		}
		tests := elt.Step{ID: elt.NewStepID(run.ID, elt.TestStep, "crowd"), Run: run.ID, Kind: elt.TestStep, Dataset: "crowd", Date: run.Date}
		load := elt.Step{ID: elt.NewStepID(run.ID, elt.LoadStep, "shop.users"), Run: run.ID, Kind: elt.LoadStep, Dataset: "shop.users", Date: run.Date}
		must2(l.CreateRun(t.Context(), run, append(steps, tests, load), nil))(t)
		claim := func(s elt.Step, w elt.WorkerID, ttl time.Duration) error {
			_, err := l.Claim(t.Context(), s.ID, w, ttl)
			return err
		}
		l.Limit(elt.Limits{OneBuilder: true})
		lease := must(l.Claim(t.Context(), steps[0].ID, "a", hour))(t)
		ok(t, claim(load, "b", hour)) // loading is anybody's
		refused := func(s elt.Step) {
			t.Helper()
			if e := wantCode(t, claim(s, "b", hour), "step_not_claimable"); !strings.Contains(e.What, "worker a builds the models of this run") {
				t.Errorf("it says %q", e.What)
			}
		}
		if !alone {
			refused(steps[1])
			refused(tests)
		}
		ok(t, l.Finish(t.Context(), lease, elt.Outcome{State: elt.StepSucceeded}))
		if !alone {
			refused(tests) // a is between two models
		}
		ok(t, claim(tests, "a", hour))
		if !alone {
			refused(steps[1])
		}
		l.Limit(elt.Limits{})
		ok(t, claim(steps[1], "b", hour))
		ok(t, claim(steps[2], "c", hour))
	})
}

// Writers of every kind work on the same rows at once. Whoever is refused gets the code for it: no engine
// finds them waiting for each other.
func TestWritersDoNotBlockEachOther(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		_, steps := begin(t, l)
		refusals := map[elt.Code]bool{"": true, "step_not_claimable": true, "lease_lost": true, "run_running": true, "run_not_running": true}
		try := func(_ any, err error) {
			if code := elt.CodeOf(err); !refusals[code] || (code == "" && err != nil) {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for i := range 20 {
					id := steps[(w+i)%len(steps)].ID
					lease, err := l.Claim(t.Context(), id, "w", hour)
					try(lease, err)
					lease.Step = id // refused or not, it goes on
					for range 3 {
						try(l.Heartbeat(t.Context(), lease, hour, elt.Progress{Rows: int64(i)}))
					}
					switch i % 4 {
					case 0:
						try(nil, l.Finish(t.Context(), lease, elt.Outcome{State: elt.StepFailed}))
					case 1:
						try(l.ReleaseLeases(t.Context()))
					case 2:
						try(nil, l.CancelRun(t.Context(), "run-1", "growth@example.com", ""))
					case 3:
						try(l.RetryRun(t.Context(), "run-1", "growth@example.com"))
					}
				}
			})
		}
		all.Wait()
		checkInvariants(t, l)
	})
}

func TestAStepsLife(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		_, steps := begin(t, l)
		id := steps[0].ID
		lease := must(l.Claim(ctx, id, "w", hour))(t)
		now := must(l.Now(ctx))(t)
		if left := lease.Until.Sub(now); left > hour || left < hour-time.Minute {
			t.Errorf("a lease of an hour has %s left by the ledger's clock", left)
		}
		before := must(l.Revision(ctx))(t)
		seen := len(must(l.Events(ctx, 0, 0))(t))
		progress := elt.Progress{Rows: 10, RowsExpected: 20, Bytes: 30, Paused: "source budget", Note: "read again"}
		lease = must(l.Heartbeat(ctx, lease, 2*hour, progress))(t)
		if after := must(l.Revision(ctx))(t); after <= before {
			t.Errorf("a heartbeat left the revision at %d", after)
		}
		if n := len(must(l.Events(ctx, 0, 0))(t)); n != seen {
			t.Errorf("a heartbeat recorded %d events", n-seen)
		}
		s := must(l.Step(ctx, id))(t)
		if s.State != elt.StepRunning || s.Progress != progress || !s.LeaseUntil.Equal(lease.Until) || s.StartedAt.IsZero() || s.Attempt != 1 {
			t.Errorf("step %+v", s)
		}

		failure := &elt.Failure{Code: "source_unreachable", Class: elt.Transient, Message: "cut", Do: "nothing"}
		later := now.Add(hour).Truncate(time.Microsecond)
		ok(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepRetrying, Error: failure, NextAttemptAt: later}))
		s = must(l.Step(ctx, id))(t)
		if s.State != elt.StepRetrying || !s.NextAttemptAt.Equal(later) || !s.LeaseUntil.IsZero() || !s.FinishedAt.IsZero() || !cmp.Equal(s.Error, failure) {
			t.Errorf("step %+v", s)
		}
		if s.Progress.Paused != "" || s.Progress.Note != progress.Note {
			t.Errorf("the attempt has ended, and its progress is %+v", s.Progress)
		}
		_, err := l.Claim(ctx, id, "w", hour)
		wantCode(t, err, "step_not_claimable")
		_, err = l.Claim(ctx, "none", "w", hour)
		wantCode(t, err, "step_unknown")

		// Its time comes.
		_, err = l.Writer().ExecContext(ctx, `UPDATE steps SET next_attempt_at = $1 WHERE id = $2`, "2020-01-01T00:00:00.000000Z", string(id))
		ok(t, err)
		lease = must(l.Claim(ctx, id, "w", hour))(t)
		result := elt.Result{Rows: 5, Manifest: "m", Notes: []elt.Check{{Name: "unique(id)", Passed: true}}}
		ok(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepSucceeded, Result: result}))
		ok(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepSucceeded, Result: result})) // the first answer was lost
		wantCode(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepFailed}), "lease_lost")
		s = must(l.Step(ctx, id))(t)
		if s.State != elt.StepSucceeded || s.FinishedAt.IsZero() || s.Error != nil || !cmp.Equal(s.Result, result) || s.Attempt != 2 {
			t.Errorf("step %+v", s)
		}
		wantCode(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepRetrying}), "outcome_invalid")
		wantCode(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepBlocked}), "outcome_invalid")
		checkInvariants(t, l)
	})
}

func TestAStaleFenceChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		_, steps := begin(t, l)
		id := steps[0].ID
		stale := must(l.Claim(ctx, id, "paused", 0))(t) // a lease that has run out already
		fresh := must(l.Claim(ctx, id, "awake", hour))(t)
		if fresh.Fence <= stale.Fence || fresh.Attempt != stale.Attempt+1 {
			t.Errorf("leases %+v, then %+v", stale, fresh)
		}
		before := ledgerText(t, l)
		_, err := l.Heartbeat(ctx, stale, hour, elt.Progress{Rows: 99})
		wantCode(t, err, "lease_lost")
		for _, state := range []elt.StepState{elt.StepSucceeded, elt.StepFailed, elt.StepCancelled} {
			wantCode(t, l.Finish(ctx, stale, elt.Outcome{State: state}), "lease_lost")
		}
		wantCode(t, l.SaveManifest(ctx, stale, manifest(t, stale)), "lease_lost")
		for _, forged := range []elt.Lease{{Step: id, Attempt: fresh.Attempt, Fence: stale.Fence}, {Step: id, Attempt: stale.Attempt, Fence: fresh.Fence}} {
			wantCode(t, l.Finish(ctx, forged, elt.Outcome{State: elt.StepSucceeded}), "lease_lost")
		}
		if diff := cmp.Diff(before, ledgerText(t, l)); diff != "" {
			t.Errorf("a stale lease changed the ledger: %s", diff)
		}
		attempts := must(l.Attempts(ctx, id))(t)
		if attempts[0].Error == nil || attempts[0].Error.Code != elt.Interrupted || !strings.Contains(attempts[0].Error.Message, "paused") {
			t.Errorf("attempts %+v", attempts)
		}
		checkInvariants(t, l)
	})
}

// ledgerText is the ledger's whole content about steps, as text.
func ledgerText(t testing.TB, l *ledger.Ledger) (out []string) {
	t.Helper()
	for _, query := range []string{
		`SELECT id || state || attempt || fence || worker || COALESCE(lease_until, '') || rows || COALESCE(result, '') FROM steps ORDER BY id`,
		`SELECT step || number || fence || COALESCE(outcome, '') FROM attempts ORDER BY step, number`,
		`SELECT name || value FROM counters ORDER BY name`, `SELECT seq || kind FROM events ORDER BY seq`, `SELECT key FROM manifests`,
	} {
		out = append(out, column(t, l, query)...)
	}
	return out
}

func TestReleasedLeasesCanBeClaimedAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		_, steps := begin(t, l)
		killed := []elt.Lease{must(l.Claim(ctx, steps[0].ID, "killed", hour))(t), must(l.Claim(ctx, steps[2].ID, "killed", hour))(t)}
		done := must(l.Claim(ctx, steps[1].ID, "killed", hour))(t)
		ok(t, l.Finish(ctx, done, elt.Outcome{State: elt.StepSucceeded}))
		if n := must(l.ReleaseLeases(ctx))(t); n != 2 {
			t.Errorf("released %d leases, want 2", n)
		}
		if n := must(l.ReleaseLeases(ctx))(t); n != 0 {
			t.Errorf("released %d leases again", n)
		}
		for _, lease := range killed {
			_, err := l.Heartbeat(ctx, lease, hour, elt.Progress{})
			wantCode(t, err, "lease_lost")
			next := must(l.Claim(ctx, lease.Step, "next", hour))(t)
			if next.Fence <= lease.Fence || next.Attempt != 2 {
				t.Errorf("lease %+v after %+v", next, lease)
			}
		}
		checkInvariants(t, l)
	})
}

// As long as nobody else took the step, its worker may still end what it has done.
func TestALeaseThatRanOutUnnoticedRevives(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		_, steps := begin(t, l)
		lease := must(l.Claim(ctx, steps[0].ID, "slow", 0))(t)
		lease = must(l.Heartbeat(ctx, lease, hour, elt.Progress{}))(t)
		_, err := l.Claim(ctx, steps[0].ID, "other", hour)
		wantCode(t, err, "step_not_claimable")
		ok(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepSucceeded}))
	})
}

// A worker's clock can be wrong by a day, or run backwards, and change nothing: nothing here reads it.
func TestNoProcessClockIsRead(t *testing.T) {
	files := must(filepath.Glob("*.go"))(t)
	if len(files) < 10 {
		t.Fatal("the package's files were not found")
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "lock.go" {
			continue
		}
		file := must(parser.ParseFile(token.NewFileSet(), name, nil, 0))(t)
		ast.Inspect(file, func(n ast.Node) bool {
			s, isSelector := n.(*ast.SelectorExpr)
			if !isSelector {
				return true
			}
			if x, isName := s.X.(*ast.Ident); isName && x.Name == "time" && (s.Sel.Name == "Now" || s.Sel.Name == "Since" || s.Sel.Name == "Until") {
				t.Errorf("%s reads the process's clock with time.%s", name, s.Sel.Name)
			}
			return true
		})
	}
}

func TestTheLedgersClockIsItsServers(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		query := `SELECT CAST(strftime('%s', 'now') AS INTEGER)`
		if strings.HasPrefix(dsn, "postgres") {
			query = `SELECT floor(extract(epoch FROM clock_timestamp()))::bigint`
		}
		epoch := func() (sec int64) {
			ok(t, l.Writer().QueryRowContext(t.Context(), query).Scan(&sec))
			return sec
		}
		before := epoch()
		now := must(l.Now(t.Context()))(t)
		if after := epoch(); now.Unix() < before || now.Unix() > after || now.Location() != time.UTC {
			t.Errorf("now is %s, the server's clock went from %d to %d", now, before, after)
		}
	})
}
