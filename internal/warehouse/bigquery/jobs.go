package bigquery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

const (
	repetitions  = 5                // of a request or a job before the step gives up
	generations  = 100              // of one job's ID
	requestTime  = 2 * time.Minute  // for a request without a part in it, with the client's own repetitions
	cancelTime   = 30 * time.Second // to see that a cancelled job has ended
	longestPause = 30 * time.Second
	firstLook    = 50 * time.Millisecond // at a job that is not done yet
	longestLook  = 5 * time.Second
)

// job is a piece of BigQuery's work.
type job struct {
	what string // for messages: "load part 3 of shop.users"
	// id is a function of what the job does, so that whoever asks for it again finds it. The generation that is
	// added to it rises only after a job of that ID was seen to have failed.
	id     string
	insert func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error)
	// same tells whether a job that was found under the ID does what this one should.
	same func(bigquery.JobConfig) bool
	// since is when the job's table was made: a job that is older filled a table which is gone.
	since time.Time
	media bool // the request carries a part, for as long as that takes
}

// run has BigQuery do a job exactly once, whatever happens to requests and answers, and waits until it is done. A job
// of the same ID that is there already is waited for instead. When ctx is cancelled the job is cancelled too. The
// error is BigQuery's own, for fail or refused to explain.
func (w *Warehouse) run(ctx context.Context, j job) (*bigquery.Job, *bigquery.JobStatus, error) {
	failures := 0
	for generation := range generations {
		id := bigquery.JobIDConfig{JobID: fmt.Sprintf("%s_%d", j.id, generation), Location: w.Location}
		at, ours, err := w.submit(ctx, j, id)
		if err != nil {
			return nil, nil, err
		}
		if err := check(j, at, ours); err != nil {
			return nil, nil, err
		}
		status, err := w.wait(ctx, j.what, at)
		if err != nil {
			return nil, nil, err
		}
		failpoint.Here("bigquery.job_done")
		failed := status.Err()
		past := !ours && (failed != nil || status.Statistics.CreationTime.Before(j.since))
		if !past {
			elt.AddUsage(ctx, usageOf(status))
		}
		switch {
		case failed == nil && !past:
			w.Log.Debug("job done", "job", at.ID(), "what", j.what, "bytes", status.Statistics.TotalBytesProcessed, "slot_time", status.Statistics.TotalSlotDuration)
			return at, status, nil
		case !ours:
			w.Log.Debug("job belongs to the past", "job", at.ID(), "what", j.what, "error", failed)
		case !runAgain(failed) || failures == repetitions:
			return nil, nil, failed
		default:
			w.Log.Warn("job failed; it runs again", "job", at.ID(), "what", j.what, "error", failed)
			if err := w.pause(ctx, failures); err != nil {
				return nil, nil, err
			}
			failures++
		}
	}
	return nil, nil, fmt.Errorf("%s: %d jobs of this name have failed", j.what, generations)
}

// submit inserts the job, or finds it where it was inserted before. ours is true when this call inserted it, or may
// have: an answer can be lost on its way.
func (w *Warehouse) submit(ctx context.Context, j job, id bigquery.JobIDConfig) (at *bigquery.Job, ours bool, err error) {
	for attempt := 0; ; attempt++ {
		failpoint.Here("bigquery.submit")
		at, err = w.request(ctx, j, id)
		failpoint.Here("bigquery.submitted")
		switch {
		case err == nil:
			return at, true, nil
		case isStatus(err, http.StatusConflict):
			err = limited(ctx, func(ctx context.Context) error {
				at, err = w.client.JobFromIDLocation(ctx, id.JobID, id.Location)
				return err
			})
			return at, ours, err
		case ctx.Err() != nil:
			w.cancelUnseen(ctx, id)
			return nil, false, fmt.Errorf("%s: %w", j.what, ctx.Err())
		case !sendAgain(err) || attempt == repetitions:
			return nil, false, err
		}
		w.Log.Warn("request failed; it is sent again", "job", id.JobID, "what", j.what, "error", err)
		ours = true
		if err := w.pause(ctx, attempt); err != nil {
			w.cancelUnseen(ctx, id)
			return nil, false, err
		}
	}
}

func (w *Warehouse) request(ctx context.Context, j job, id bigquery.JobIDConfig) (*bigquery.Job, error) {
	if !j.media {
		limited, done := context.WithTimeout(ctx, requestTime)
		defer done()
		ctx = limited
	}
	return j.insert(ctx, id)
}

// check refuses a job that was found under the ID and does something else.
func check(j job, at *bigquery.Job, ours bool) error {
	if ours && j.same == nil {
		return nil
	}
	config, err := at.Config()
	if err != nil {
		return err
	}
	if j.same != nil && !j.same(config) {
		return &elt.Error{
			Code: codeJobTaken, Class: elt.Internal,
			What: fmt.Sprintf("%s: BigQuery has a job %s that does something else", j.what, at.ID()),
			Do:   "start another run; report it with the step's log",
		}
	}
	return nil
}

// wait looks at the job until it is done.
func (w *Warehouse) wait(ctx context.Context, what string, at *bigquery.Job) (*bigquery.JobStatus, error) {
	for look := firstLook; ; look = min(look*3/2, longestLook) {
		status, err := statusOf(ctx, at)
		if ctx.Err() != nil {
			return nil, w.cancel(ctx, what, at)
		}
		if err != nil {
			return nil, err
		}
		if status.Done() {
			return status, nil
		}
		if err := sleep(ctx, look); err != nil {
			return nil, w.cancel(ctx, what, at)
		}
	}
}

func statusOf(ctx context.Context, at *bigquery.Job) (status *bigquery.JobStatus, err error) {
	err = limited(ctx, func(ctx context.Context) error {
		status, err = at.Status(ctx)
		return err
	})
	return status, err
}

// cancel stops a job whose context was cancelled, which BigQuery does not notice by itself, and sees it end: what
// follows must not meet it still at work.
func (w *Warehouse) cancel(ctx context.Context, what string, at *bigquery.Job) error {
	fresh, done := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer done()
	if err := at.Cancel(fresh); err != nil {
		w.Log.Warn("cannot cancel a job", "job", at.ID(), "what", what, "error", err)
	}
	for look := firstLook; ; look = min(look*3/2, longestLook) {
		status, err := at.Status(fresh)
		if err == nil && status.Done() {
			break
		}
		if err := sleep(fresh, look); err != nil {
			w.Log.Warn("a cancelled job is still at work", "job", at.ID(), "what", what)
			break
		}
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}

// cancelUnseen stops a job that was asked for and whose answer nobody waited for.
func (w *Warehouse) cancelUnseen(ctx context.Context, id bigquery.JobIDConfig) {
	fresh, done := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer done()
	at, err := w.client.JobFromIDLocation(fresh, id.JobID, id.Location)
	if isStatus(err, http.StatusNotFound) {
		return
	}
	if err == nil {
		err = at.Cancel(fresh)
	}
	if err != nil {
		w.Log.Warn("cannot cancel a job", "job", id.JobID, "error", err)
	}
}

// pause waits before repetition n, from 0, longer each time and not in step with others.
func (w *Warehouse) pause(ctx context.Context, n int) error {
	d := min(w.Pause<<n, longestPause)
	return sleep(ctx, d/2+rand.N(d/2+1))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for BigQuery: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}

// statement is SQL for BigQuery to run.
type statement struct {
	what   string
	step   string // for the labels
	sql    string
	id     string // a function of what it does; empty for one that may as well run twice
	labels map[string]string
	into   *bigquery.Table // where the rows of a SELECT go, replacing what is there
	layout elt.Layout      // of into
	guard  bool            // it is a person's: maximum_bytes_billed applies
}

// execute runs a statement.
func (w *Warehouse) execute(ctx context.Context, s statement) (*bigquery.Job, *bigquery.JobStatus, error) {
	if s.id == "" {
		s.id = unique()
	}
	return w.run(ctx, job{
		what: s.what, id: "daybreak_" + s.step + "_" + s.id,
		insert: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			q := w.client.Query(s.sql)
			q.JobIDConfig = id
			q.Labels = s.labels
			if s.into != nil {
				q.DestinationEncryptionConfig = w.encryption()
			}
			if s.into != nil {
				q.Dst, q.WriteDisposition, q.CreateDisposition = s.into, bigquery.WriteTruncate, bigquery.CreateIfNeeded
				q.TimePartitioning, q.Clustering = partitioning(s.layout), clustering(s.layout)
			}
			if s.guard {
				q.MaxBytesBilled = w.MaxBytesBilled
			}
			return q.Run(ctx)
		},
		same: func(c bigquery.JobConfig) bool {
			q, ok := c.(*bigquery.QueryConfig)
			return ok && q.Q == s.sql
		},
	})
}

// rows runs a SELECT and calls do for each of its rows.
func (w *Warehouse) rows(ctx context.Context, s statement, do func([]bigquery.Value) error) error {
	at, _, err := w.execute(ctx, s)
	if err != nil {
		return err
	}
	return limited(ctx, func(ctx context.Context) error { return readRows(ctx, at, do) })
}

// readRows calls do for each row of a query's result, which is small: what is asked are aggregates and Daybreak's own
// tables.
func readRows(ctx context.Context, at *bigquery.Job, do func([]bigquery.Value) error) error {
	it, err := at.Read(ctx)
	if err != nil {
		return err
	}
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(row); err != nil {
			return err
		}
	}
}

// number runs a SELECT of one integer.
func (w *Warehouse) number(ctx context.Context, s statement) (n int64, err error) {
	err = w.rows(ctx, s, func(row []bigquery.Value) error {
		var ok bool
		if n, ok = row[0].(int64); !ok {
			return fmt.Errorf("%s: BigQuery answers %v where an integer is due", s.what, row[0])
		}
		return nil
	})
	return n, err
}
