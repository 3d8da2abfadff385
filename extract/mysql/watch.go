package mysql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/extract"
)

// listLocksWaited selects who waits for which table's definition, where the server tells.
const listLocksWaited = `
SELECT t.PROCESSLIST_ID, l.OBJECT_SCHEMA, l.OBJECT_NAME
FROM performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
WHERE l.OBJECT_TYPE = 'TABLE' AND l.LOCK_STATUS = 'PENDING' AND l.LOCK_TYPE IN ('EXCLUSIVE', 'SHARED_UPGRADABLE', 'SHARED_NO_READ_WRITE', 'SHARED_NO_WRITE')`

// listWaiting selects the statements that wait for a table's definition, or for tables to be closed.
const listWaiting = `
SELECT ID, COALESCE(DB, ''), COALESCE(INFO, ''), STATE FROM information_schema.PROCESSLIST
WHERE STATE IN ('Waiting for table metadata lock', 'Waiting for table flush') AND USER <> 'system user'`

// tellsLocks selects something where the server tells of locks on tables' definitions.
const tellsLocks = `SELECT 1 FROM performance_schema.setup_instruments WHERE NAME = 'wait/lock/metadata/sql/mdl' AND ENABLED = 'YES' AND @@performance_schema`

// waiter is somebody who waits for a table.
type waiter struct{ thread, table string }

// watch looks after production until the snapshot is let go.
func (s *snapshot) watch() {
	defer close(s.watched)
	tick := time.NewTicker(s.source.opts.Glance)
	defer tick.Stop()
	for {
		select {
		case <-s.closing.Done():
			if s.eyes != nil {
				s.eyes.hangUp()
			}
			return
		case <-tick.C:
			s.look()
		}
	}
}

// look takes a look, through a session of its own.
func (s *snapshot) look() {
	if held := time.Since(s.begun); held > s.source.opts.Budget.SnapshotAge {
		s.rest(fmt.Sprintf("a snapshot was held for %s, at most %s", brief(held), s.source.opts.Budget.SnapshotAge),
			"raise budget.snapshot_age of the source, make its largest tables incremental, or allow more connections")
		return
	}
	ctx, cancel := s.source.soon(s.closing)
	defer cancel()
	if s.eyes == nil {
		w, err := s.source.connect(ctx)
		if err == nil {
			s.eyes = w
			err = w.sameServer(s.server)
		}
		if err != nil {
			s.blind(err)
			return
		}
		tells, err := w.list(ctx, tellsLocks)
		s.exact = err == nil && len(tells) > 0
	}
	for _, glance := range []func(context.Context) error{s.findWaiters, s.findLag} {
		if err := glance(ctx); err != nil {
			s.blind(err)
			return
		}
	}
}

// blind notes that a look failed: the first time with a warning, for whoever reads goes on.
func (s *snapshot) blind(err error) {
	if s.eyes != nil {
		s.eyes.hangUp()
		s.eyes = nil
	}
	if s.closing.Err() != nil {
		return
	}
	log := s.source.opts.Log.Debug
	if !s.warned {
		log = s.source.opts.Log.Warn
	}
	s.warned = true
	log("cannot see how the source is doing", "source", s.source.opts.Name, "error", err)
}

// findWaiters lets go of the snapshot when somebody has waited for one of the tables that are being read for too long:
// whoever comes after that one waits, too, if only to read.
func (s *snapshot) findWaiters(ctx context.Context) error {
	waiting, err := s.whoWaits(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	seen := make(map[waiter]time.Time)
	for _, w := range waiting {
		since, known := s.waiters[w]
		if !known {
			since = now
		}
		seen[w] = since
		if waits := now.Sub(since); waits > s.source.opts.Budget.LockWait {
			s.rest(fmt.Sprintf("connection %s waited for %s for %s, at most %s", w.thread, w.table, brief(waits), s.source.opts.Budget.LockWait),
				"nothing: it is tried again; move the migration or the schedule if they meet every night")
			return nil
		}
	}
	s.waiters = seen
	return nil
}

// whoWaits lists who waits for what we hold. The server tells it exactly, or the statements that wait are looked at
// for the names of tables: those of others, for a session of ours waits behind whoever alters a table as everybody does.
// A table of the same name in another database is another table: a statement means ours when it names our database, or
// is given in it.
func (s *snapshot) whoWaits(ctx context.Context) (all []waiter, err error) {
	held := s.held()
	if len(held) == 0 {
		return nil, nil
	}
	if s.exact {
		rows, err := s.eyes.list(ctx, listLocksWaited)
		if err == nil {
			for _, row := range rows {
				if slices.ContainsFunc(held, func(n tableName) bool {
					return strings.EqualFold(n.database, row[1]) && strings.EqualFold(n.table, row[2])
				}) {
					all = append(all, waiter{row[0], "table " + row[1] + "." + row[2]})
				}
			}
			return all, nil
		}
		if s.exact = false; ends(err) {
			return nil, err
		}
	}
	rows, err := s.eyes.list(ctx, listWaiting)
	for _, row := range rows {
		if _, ours := s.source.own.Load(row[0]); ours {
			continue
		}
		statement := strings.ToLower(row[2])
		for _, n := range held {
			here := strings.EqualFold(row[1], n.database) || strings.Contains(statement, strings.ToLower(n.database))
			if row[3] == "Waiting for table flush" || here && strings.Contains(statement, strings.ToLower(n.table)) {
				all = append(all, waiter{row[0], "table " + n.String()})
				break
			}
		}
	}
	return all, err
}

// findLag has reading pause while the replica that is read lags behind, and lets go of the snapshot when pausing does
// not help.
func (s *snapshot) findLag(ctx context.Context) error {
	most := s.source.opts.Budget.ReplicaLag
	if most <= 0 {
		return nil
	}
	lag, replica, err := s.eyes.lag(ctx)
	if err != nil || !replica {
		return err
	}
	if lag >= 0 && lag <= most {
		s.lagging = time.Time{}
		s.pace.Set("")
		return nil
	}
	why := fmt.Sprintf("replica lag %s, at most %s", brief(lag), most)
	if lag < 0 {
		why = "the replica does not replicate"
	}
	if s.lagging.IsZero() {
		s.lagging = time.Now()
	}
	s.pace.Set("source budget (" + why + ")")
	if time.Since(s.lagging) > most {
		s.rest(why, "look at what the replica is busy with, or raise budget.replica_lag of the source")
	}
	return nil
}

// lag returns how far the server lags behind the one that it replicates, the worst where there are several; negative
// when it has stopped.
func (w *session) lag(ctx context.Context) (lag time.Duration, replica bool, err error) {
	var rows []map[string]string
	for _, statement := range []string{"SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS", "SHOW SLAVE STATUS"} { // MariaDB, MySQL since 8.0.22, and before
		if rows, err = w.records(ctx, statement); err == nil || !isServer(err, errSyntax) {
			break
		}
	}
	for _, row := range rows {
		text, ok := row["Seconds_Behind_Source"]
		if !ok {
			text = row["Seconds_Behind_Master"]
		}
		if text == "" {
			return -1, true, nil
		}
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, true, err
		}
		lag = max(lag, time.Duration(seconds)*time.Second)
	}
	return lag, len(rows) > 0, err
}

// rest lets go of the snapshot for production's sake; whoever reads in it fails with why.
func (s *snapshot) rest(why, do string) {
	s.source.opts.Log.Warn("the snapshot is let go", "source", s.source.opts.Name, "why", why)
	s.letGo(extract.OverBudget(s.source.opts.Name, why, do))
}

// brief writes a duration as people do.
func brief(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}
