package river

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Options say where the queue is and what this process does of it.
type Options struct {
	URL string // of the PostgreSQL ledger
	ID  string // of this process; no other has it
	// Kinds are the steps that this process works at; none for one that only enqueues.
	Kinds   []elt.StepKind
	Threads int // steps at work at the same time, of whatever kind
	// Work does a step. Its error means that the ledger does not know how the step ended.
	Work func(context.Context, elt.StepID) error
	Log  *slog.Logger
}

const (
	// handBack is after how long a job that found every thread busy may be fetched again, by whoever is free then.
	handBack = 100 * time.Millisecond
	// insertAgain is after how long a step that is still due is enqueued again. Its job is either still there, and then
	// nothing is inserted, or it was lost.
	insertAgain = 2 * time.Second
	// lostAfter is after how long a job that somebody fetched counts as lost. A step that works for longer is not disturbed:
	// its lease says that it is at work, so that nobody enqueues it.
	lostAfter = time.Minute
	// unclaimedAfter is after how long a job that somebody fetched counts as lost when its step is due all the same: whoever
	// fetches a job claims its step at once. Should it be claimed later after all, two jobs of a step do no harm.
	unclaimedAfter = 5 * time.Second
	// kept is how long jobs that have ended stay, for whoever looks into River's tables.
	kept = 10 * time.Minute
	// mostAtOnce is how many jobs one statement inserts.
	mostAtOnce = 1000
)

// job is what River keeps of a step. The attempt sets one enqueueing apart from the next: the job of a worker that was
// killed must not keep the step's next attempt out.
type job struct {
	Step    elt.StepID `json:"step"`
	Attempt int        `json:"attempt"` // attempts begun when it was enqueued
}

// Kind is the name by which River knows the type of job.
func (job) Kind() string { return "step" }

// Queue hands steps to the workers of many processes, and works at some of them itself. Call Open.
type Queue struct {
	options Options
	pool    *pgxpool.Pool
	client  *river.Client[pgx.Tx]
	threads chan struct{}   // one token for each thread that is busy
	steps   context.Context // ends the work of this process's steps
	started bool

	bringForward, giveUp string          // the statements
	wake                 []chan struct{} // each receives after each step of this process that was recorded

	mu     sync.Mutex
	held   map[elt.StepID]bool // at work in this process
	recent map[elt.StepID]entry
	err    error
}

// entry is when a step was enqueued, and at which of its attempts.
type entry struct {
	attempt int
	at      time.Time
}

// Open connects to the queue, and makes or migrates its tables. Nothing is worked at before Start.
func Open(ctx context.Context, o Options) (_ *Queue, err error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil { // its text is free of the password
		return nil, &elt.Error{Code: "ledger_address", Class: elt.Config, What: "cannot open the queue: the ledger's address is malformed", Err: err, Do: "write it as postgres://user@host/database"}
	}
	config.MaxConns = 8
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "daybreak queue"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, unusable("open it", err)
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	schema, err := migrate(ctx, pool, o.Log)
	if err != nil {
		return nil, err
	}
	jobs := pgx.Identifier{schema, "river_job"}.Sanitize()
	q := &Queue{
		options: o, pool: pool, threads: make(chan struct{}, max(o.Threads, 1)), steps: ctx,
		wake: []chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)},
		held: make(map[elt.StepID]bool), recent: make(map[elt.StepID]entry),
		bringForward: fmt.Sprintf(bringForward, jobs), giveUp: fmt.Sprintf(giveUp, jobs),
	}
	q.client, err = river.NewClient(riverpgxv5.New(pool), q.config(schema))
	if err != nil {
		return nil, unusable("open it", err)
	}
	return q, nil
}

func (q *Queue) config(schema string) *river.Config {
	c := &river.Config{
		ID: q.options.ID, Schema: schema, Logger: slog.New(quiet{q.options.Log.Handler()}),
		// River gives up what has timed out, and only that. Its timeout is nothing to the step, which has a context of its own.
		MaxAttempts: 1, JobTimeout: lostAfter, RescueStuckJobsAfter: lostAfter, JobStuckThreshold: 10_000 * time.Hour,
		CompletedJobRetentionPeriod: kept, CancelledJobRetentionPeriod: kept, DiscardedJobRetentionPeriod: kept,
		FetchCooldown: 50 * time.Millisecond, FetchPollInterval: 500 * time.Millisecond,
	}
	if len(q.options.Kinds) == 0 {
		return c
	}
	c.Workers = river.NewWorkers()
	river.AddWorker(c.Workers, &worker{queue: q})
	c.Queues = make(map[string]river.QueueConfig)
	for _, kind := range q.options.Kinds {
		c.Queues[string(kind)] = river.QueueConfig{MaxWorkers: q.options.Threads}
	}
	return c
}

// Start begins to work, where this process works at anything. ctx is that of the steps: they are stopped when it ends.
func (q *Queue) Start(ctx context.Context) error {
	if len(q.options.Kinds) == 0 {
		return nil
	}
	q.steps = ctx
	// Drain ends the fetching, ctx the work: River's own context knows but one of the two.
	if err := q.client.Start(context.WithoutCancel(ctx)); err != nil {
		return unusable("begin to work", err)
	}
	q.started = true
	return nil
}

// Enqueue hands steps to whichever process works at their kind. One that waits in the queue already is not enqueued again,
// unless whoever has fetched it died before it could claim the step.
func (q *Queue) Enqueue(ctx context.Context, steps ...elt.Step) error {
	return q.enqueue(ctx, river.PriorityDefault, steps)
}

// Behind returns the same queue, to which steps are handed that are begun when no others wait.
func (q *Queue) Behind() *Behind { return &Behind{q} }

// Behind is a queue behind the steps of nights.
type Behind struct{ queue *Queue }

// lastPriority is River's lowest.
const lastPriority = 4

// Enqueue hands steps to whichever process works at their kind, behind all others.
func (b *Behind) Enqueue(ctx context.Context, steps ...elt.Step) error {
	return b.queue.enqueue(ctx, lastPriority, steps)
}

// Done receives as the queue's own Done does, for somebody else.
func (b *Behind) Done() <-chan struct{} { return b.queue.wake[1] }

func (q *Queue) enqueue(ctx context.Context, priority int, steps []elt.Step) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fresh := q.fresh(steps, time.Now())
	for len(fresh) > 0 {
		n := min(len(fresh), mostAtOnce)
		jobs := make([]river.InsertManyParams, n)
		for i, s := range fresh[:n] {
			jobs[i] = river.InsertManyParams{Args: job{s.ID, s.Attempt}, InsertOpts: &river.InsertOpts{
				Queue: string(s.Kind), Priority: priority, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: waiting()},
			}}
		}
		done, err := q.client.InsertMany(ctx, jobs)
		if err == nil && q.unclaimed(ctx, done) {
			_, err = q.client.InsertMany(ctx, jobs)
		}
		if err != nil {
			q.forget(fresh)
			return unusable("enqueue steps", err)
		}
		fresh = fresh[n:]
		if _, err := q.pool.Exec(ctx, q.bringForward); err != nil {
			return unusable("enqueue steps", err)
		}
	}
	return nil
}

// bringForward lets jobs be fetched that were to wait for longer than any should: River writes when a job may be fetched by
// the clock of the process that enqueues it or hands it back, and fetches by the server's.
const bringForward = `UPDATE %s SET scheduled_at = now() WHERE state IN ('available', 'scheduled') AND scheduled_at > now() + interval '1 second'`

// giveUp ends jobs that somebody has fetched a while ago.
const giveUp = `UPDATE %s SET state = 'discarded', finalized_at = now() WHERE id = ANY($1) AND state = 'running' AND attempted_at < now() - make_interval(secs => $2)`

// unclaimed ends those of the jobs that keep a step's new one out whose worker has not claimed the step in a while, and
// reports whether there were any. One that cannot be ended now is met again.
func (q *Queue) unclaimed(ctx context.Context, met []*rivertype.JobInsertResult) bool {
	var fetched []int64
	for _, m := range met {
		if m.UniqueSkippedAsDuplicate && m.Job.State == rivertype.JobStateRunning {
			fetched = append(fetched, m.Job.ID)
		}
	}
	if len(fetched) == 0 {
		return false
	}
	done, err := q.pool.Exec(ctx, q.giveUp, fetched, unclaimedAfter.Seconds())
	if err != nil {
		q.options.Log.Warn("jobs that were lost are left to the next sweep", "error", err)
	}
	return done.RowsAffected() > 0
}

// waiting are the states of a job that will still be worked at.
func waiting() []rivertype.JobState {
	return []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}
}

// fresh returns the steps that this process has not just enqueued, and notes that it does.
func (q *Queue) fresh(steps []elt.Step, now time.Time) (fresh []elt.Step) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, e := range q.recent {
		if now.Sub(e.at) >= insertAgain {
			delete(q.recent, id)
		}
	}
	for _, s := range steps {
		if e, known := q.recent[s.ID]; q.held[s.ID] || known && e.attempt == s.Attempt {
			continue
		}
		q.recent[s.ID] = entry{s.Attempt, now}
		fresh = append(fresh, s)
	}
	return fresh
}

func (q *Queue) forget(steps []elt.Step) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range steps {
		delete(q.recent, s.ID)
	}
}

// Done receives after a step of this process has ended and was recorded: a good moment for the next sweep.
func (q *Queue) Done() <-chan struct{} { return q.wake[0] }

// Err returns why the newest of this process's steps could not be recorded that ended so since it was last called; nil
// when all were.
func (q *Queue) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.err
	q.err = nil
	return err
}

// Busy reports whether this process works at a step.
func (q *Queue) Busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.held) > 0
}

// Drain begins nothing more, and waits until every step that this process works at has ended.
func (q *Queue) Drain() {
	if !q.started {
		return
	}
	if err := q.client.Stop(context.Background()); err != nil {
		q.options.Log.Warn("the queue did not stop cleanly", "error", err)
	}
}

// Close drains the queue and lets go of its connections.
func (q *Queue) Close() error {
	q.Drain()
	q.pool.Close()
	return nil
}

// unusable says what the queue could not do.
func unusable(op string, err error) error {
	return &elt.Error{
		Code: "queue_unusable", Class: elt.Transient, Err: err, What: fmt.Sprintf("the queue on the ledger's server cannot %s", op),
		Do: "nothing: it is tried again; if it lasts, check the server and the network between, and that the ledger's user owns the queue's schema",
	}
}
