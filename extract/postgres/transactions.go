package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// listTransactions selects the transactions that are open in this database, with when they began where that
// can be seen. Everyone may see the locks; only some may see the rest.
const listTransactions = `
SELECT 'process ' || l.pid || ', transaction ' || l.virtualtransaction, a.xact_start, coalesce(a.application_name, ''), statement_timestamp()
FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted
  AND l.pid <> pg_backend_pid() AND coalesce(a.application_name, '') <> $1
  AND (a.pid IS NULL OR a.datname = current_database() AND a.usesysid IS NOT NULL) -- autovacuum is nobody
  AND coalesce(a.backend_type, '') NOT IN ('walsender', 'parallel worker')
UNION ALL
SELECT 'prepared transaction ' || gid, NULL, '', statement_timestamp() FROM pg_catalog.pg_prepared_xacts
WHERE database = current_database()
UNION ALL
SELECT '', NULL, '', statement_timestamp()`

// transaction is one that was open when a snapshot was wanted.
type transaction struct {
	name        string
	began       *time.Time // nil where that cannot be seen
	application string
}

// older are the transactions that were open just before a snapshot was taken.
type older struct {
	listedAt     time.Time // by the server's clock; whatever else was open in the snapshot began later
	transactions []transaction
}

// listOlder lists the open transactions. For those whose beginning cannot be seen it waits a while: most of
// them end at once, and what begins afterwards began after listedAt.
func (s *Source) listOlder(ctx context.Context, conn *pgx.Conn) (older, error) {
	first, err := s.listOnce(ctx, conn)
	if err != nil {
		return older{}, err
	}
	deadline := time.NewTimer(s.opts.TransactionWait)
	defer deadline.Stop()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for first.hidden() {
		select {
		case <-ctx.Done():
			return older{}, context.Cause(ctx)
		case <-deadline.C:
			return first, nil
		case <-poll.C:
		}
		now, err := s.listOnce(ctx, conn)
		if err != nil {
			return older{}, err
		}
		first.keep(now)
	}
	return first, nil
}

func (s *Source) listOnce(ctx context.Context, conn *pgx.Conn) (older, error) {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	var o older
	rows, err := conn.Query(ctx, listTransactions, applicationName)
	if err != nil {
		return o, fault(ctx, err, "cannot list the open transactions of source %s", s.opts.Name)
	}
	var t transaction
	_, err = pgx.ForEachRow(rows, []any{&t.name, &t.began, &t.application, &o.listedAt}, func() error {
		if t.name != "" {
			o.transactions = append(o.transactions, t)
		}
		t.began = nil
		return nil
	})
	if err != nil {
		return o, fault(ctx, err, "cannot list the open transactions of source %s", s.opts.Name)
	}
	return o, nil
}

func (o *older) hidden() bool {
	for _, t := range o.transactions {
		if t.began == nil {
			return true
		}
	}
	return false
}

// keep forgets the transactions that are not open any more.
func (o *older) keep(now older) {
	open := make(map[string]bool, len(now.transactions))
	for _, t := range now.transactions {
		open[t.name] = true
	}
	kept := o.transactions[:0]
	for _, t := range o.transactions {
		if open[t.name] {
			kept = append(kept, t)
		}
	}
	o.transactions = kept
}

// since returns when the oldest of the transactions began: the beginning of time where that cannot be seen.
func (o *older) since() (oldest time.Time) {
	for _, t := range o.transactions {
		switch {
		case t.began == nil:
			return time.Unix(0, 0).UTC()
		case oldest.IsZero() || t.began.Before(oldest):
			oldest = t.began.UTC()
		}
	}
	return oldest
}

// closed refuses a window into which an open transaction could still bring rows.
func (o *older) closed(dataset elt.DatasetName, to time.Time) error {
	refuse := func(why string) error {
		return &elt.Error{
			Code: extract.CodeWindowOpen, Class: elt.Budget,
			What: fmt.Sprintf("%s: rows may still come into the window that ends at %s: %s", dataset, to.UTC().Format(time.RFC3339), why),
			Do:   "nothing: it is tried again; if it stays, end that transaction, or grant pg_read_all_stats to the source's user so that it sees when transactions began",
		}
	}
	if o.listedAt.Before(to) {
		return refuse("it had not ended by the source's clock")
	}
	for _, t := range o.transactions {
		who := t.name
		if t.application != "" {
			who += " of " + t.application
		}
		switch {
		case t.began == nil:
			return refuse(who + " is open since nobody knows when")
		case t.began.Before(to):
			return refuse(who + " is open since " + t.began.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
