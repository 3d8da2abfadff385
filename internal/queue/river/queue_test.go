package river

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/queue/queuetest"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"clocks agree": 0, "server behind": -10 * time.Minute, "server ahead": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conforms(t, ahead)
		})
	}
}

// conforms runs the suite on a server whose clock is so far ahead of this machine's.
func conforms(t *testing.T, ahead time.Duration) {
	queuetest.Run(t, func(t *testing.T) queuetest.Harness {
		url := testenv.Postgres(t).URL
		testenv.StepClock(t, url)(ahead)
		return queuetest.Harness{
			Open: func(t *testing.T, ctx context.Context, threads int, work func(context.Context, elt.StepID) error) queuetest.Queue {
				return opened(t, ctx, Options{URL: url, Kinds: elt.StepKinds(), Threads: threads, Work: work})
			},
			Kill: func(_ *testing.T, q queuetest.Queue) {
				dead := q.(*Queue)
				// It fetches nothing more, and its jobs stay as they are: they do not end.
				go func() { _ = dead.client.StopAndCancel(context.Background()) }() // that it ends is of no interest
				dead.started = false
			},
		}
	})
}

// opened opens a queue and begins to work.
func opened(t *testing.T, ctx context.Context, o Options) *Queue {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	q, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Drain)
	return q
}

// A job that its process had fetched when it was killed, before it claimed the step, holds the step up for some seconds: then
// whoever finds the step due enqueues it anew. One that was fetched a moment ago is about to claim it.
func TestALostJobIsGivenUp(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t).URL
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	// Each sweeper is another process: one by itself does not enqueue a step twice within seconds.
	sweep := func(want string) {
		t.Helper()
		if err := opened(t, t.Context(), Options{URL: url}).Enqueue(t.Context(), elt.Step{ID: "r/lost", Kind: elt.ExtractStep}); err != nil {
			t.Fatal(err)
		}
		var states string
		if err := db.QueryRow(t.Context(), "SELECT string_agg(state::text, ' ' ORDER BY id) FROM daybreak_queue.river_job").Scan(&states); err != nil || states != want {
			t.Errorf("the step's jobs are %s, want %s (%v)", states, want, err)
		}
	}
	fetched := func(ago string) {
		t.Helper()
		const text = `UPDATE daybreak_queue.river_job SET state = 'running', attempt = 1, attempted_at = now() - $1::interval, attempted_by = '{dead}'`
		if _, err := db.Exec(t.Context(), text, ago); err != nil {
			t.Fatal(err)
		}
	}
	sweep("available")
	fetched("-1 hour") // just now, on a machine that is as slow as can be
	sweep("running")
	fetched("10 seconds")
	sweep("discarded available")
	sweep("discarded available")
	did := make(chan elt.StepID, 10)
	opened(t, t.Context(), Options{URL: url, Kinds: elt.StepKinds(), Threads: 1, Work: func(_ context.Context, id elt.StepID) error {
		did <- id
		return nil
	}})
	if id := testenv.Receive(t, "a worker is given a step", did); id != "r/lost" {
		t.Errorf("a worker was given %s", id)
	}
}

// A machine that works at some kinds leaves the others alone.
func TestKinds(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t).URL
	did := make(chan elt.StepID, 10)
	work := func(_ context.Context, id elt.StepID) error {
		did <- id
		return nil
	}
	only := opened(t, t.Context(), Options{URL: url, Kinds: []elt.StepKind{elt.ExtractStep}, Threads: 1, Work: work})
	if err := only.Enqueue(t.Context(), elt.Step{ID: "r/load", Kind: elt.LoadStep}, elt.Step{ID: "r/extract", Kind: elt.ExtractStep}); err != nil {
		t.Fatal(err)
	}
	if id := testenv.Receive(t, "a worker is given a step", did); id != "r/extract" {
		t.Errorf("a worker that extracts was given %s", id)
	}
	only.Drain()
	opened(t, t.Context(), Options{URL: url, Kinds: []elt.StepKind{elt.LoadStep}, Threads: 1, Work: work})
	if id := testenv.Receive(t, "a worker is given a step", did); id != "r/load" {
		t.Errorf("a worker that loads was given %s", id)
	}
}

func TestSchemaBeside(t *testing.T) {
	t.Parallel()
	for ledger, want := range map[string]string{"public": "daybreak_queue", "finance": "finance_queue"} {
		if got := schemaBeside(ledger); got != want {
			t.Errorf("beside %s it is %s, want %s", ledger, got, want)
		}
	}
	for _, odd := range []string{"Finance", "a b", strings.Repeat("x", 60), `"`} {
		if got := schemaBeside(odd); !plainName.MatchString(got) || got == schemaBeside(odd+"2") {
			t.Errorf("beside %q it is %s", odd, got)
		}
	}
}

// A user who may not make the schema is told which one to ask for.
func TestNotAllowed(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t).URL
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	for _, statement := range []string{"DROP ROLE IF EXISTS narrow", "CREATE ROLE narrow LOGIN"} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(t.Context(), Options{URL: strings.Replace(url, "postgres@", "narrow@", 1), Log: slog.New(slog.DiscardHandler)})
	if elt.CodeOf(err) != "queue_not_allowed" || !strings.Contains(err.Error(), "daybreak_queue") {
		t.Errorf("got %v", err)
	}
}
