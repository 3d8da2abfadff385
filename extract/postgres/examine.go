package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// mostLag is how far a replica may be behind where no budget says it: nights read what was true then.
const mostLag = time.Minute

// mostAge is how many transactions old a database may be: at 2,147 million the server refuses to write.
const mostAge = 1_500_000_000

// readRisks selects what may spoil the reading of a night. The last is a setting up to version 16.
const readRisks = `SELECT current_setting('hot_standby_feedback') = 'on', current_setting('max_standby_streaming_delay'),
  (SELECT age(datfrozenxid) FROM pg_catalog.pg_database WHERE datname = current_database()), coalesce(current_setting('old_snapshot_threshold', true), '-1')`

// Examine tells what may spoil a night: a replica that lags, or that ends long statements, a server that forgets old snapshots,
// a database that is about to run out of transaction numbers.
func (s *Source) Examine(ctx context.Context) (found elt.Problems, err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := hangUp(conn); err == nil && e != nil {
			err = fault(ctx, e, "cannot examine source %s", s.opts.Name)
		}
	}()
	var replica, feedback bool
	var behind float64
	var delay, threshold string
	var age int64
	if err := conn.QueryRow(ctx, readLag).Scan(&replica, &behind); err != nil {
		return nil, fault(ctx, err, "cannot examine source %s", s.opts.Name)
	}
	if err := conn.QueryRow(ctx, readRisks).Scan(&feedback, &delay, &age, &threshold); err != nil {
		return nil, fault(ctx, err, "cannot examine source %s", s.opts.Name)
	}
	warn := func(code elt.Code, what, do string) {
		found = append(found, elt.Problem{Code: code, What: what, Do: do, Warning: true})
	}
	most := s.opts.Budget.ReplicaLag
	if most <= 0 {
		most = mostLag
	}
	if lag := time.Duration(behind * float64(time.Second)); lag > most {
		who := "its replicas are"
		if replica {
			who = "this replica is"
		}
		warn("replica_lags", fmt.Sprintf("%s %s behind", who, brief(lag)), "look at what holds its replay up; with budget.replica_lag nights wait for it")
	}
	if replica && !feedback && delay != "-1" {
		warn("replica_cancels", fmt.Sprintf("this replica ends statements that stand in the way of its replay for %s: a large table may have to be read in many attempts", delay),
			"set hot_standby_feedback = on, or a longer max_standby_streaming_delay, on the replica")
	}
	if threshold != "-1" {
		warn("snapshot_expires", fmt.Sprintf("the server forgets what snapshots older than %s see: a night that reads for longer fails", threshold),
			"set old_snapshot_threshold = -1, or longer than nights take")
	}
	if age > mostAge {
		warn("wraparound_near", fmt.Sprintf("the database is %d million transactions old, and at 2,147 million its server stops writing: a night's snapshot holds VACUUM up", age/1_000_000),
			"let VACUUM FREEZE finish before the next night")
	}
	return found, nil
}
