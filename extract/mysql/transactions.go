package mysql

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// listTransactions selects the transactions that have written something, with when they began. The server tells that
// by the clock of its own zone, whatever the session's is, and from a list that may be a little old: what is said to
// be now is a second ago.
const listTransactions = `
SELECT trx_mysql_thread_id, UNIX_TIMESTAMP(trx_started), UNIX_TIMESTAMP(NOW(6)) - 1
FROM information_schema.INNODB_TRX WHERE trx_rows_modified > 0
UNION ALL SELECT '', 0, UNIX_TIMESTAMP(NOW(6)) - 1`

// transaction is one that was open when a snapshot was wanted.
type transaction struct {
	thread string
	began  time.Time
}

// older are the transactions that had written and were open just before a snapshot was taken.
type older struct {
	listedAt     time.Time // by the server's clock; whatever else writes in the snapshot's past has a later cursor
	transactions []transaction
	hidden       error  // set when the user may not see them
	replica      string // why nobody knows how old a replica's rows are; empty where it is known
}

// listOlder lists the open transactions.
func (w *session) listOlder(ctx context.Context) (older, error) {
	source := w.source.opts.Name
	failed := func(err error) (older, error) {
		return older{}, fault(ctx, err, "cannot list the open transactions of source %s", source)
	}
	if err := w.exec(ctx, "SET SESSION time_zone = 'SYSTEM'"); err != nil {
		return failed(err)
	}
	rows, err := w.list(ctx, listTransactions)
	if e := w.exec(ctx, "SET SESSION time_zone = '+00:00'"); e != nil {
		return failed(e)
	}
	if isServer(err, errDenied) {
		return older{hidden: err}, nil
	}
	if err != nil {
		return failed(err)
	}
	var o older
	for _, row := range rows {
		began, err := unix(row[1])
		if err != nil {
			return failed(err)
		}
		if o.listedAt, err = unix(row[2]); err != nil {
			return failed(err)
		}
		if row[0] != "" {
			o.transactions = append(o.transactions, transaction{row[0], began})
		}
	}
	if err := w.replicates(ctx, &o); err != nil {
		return failed(err)
	}
	return o, nil
}

// replicates makes the list as old as the rows that a replica has of the server that it replicates.
func (w *session) replicates(ctx context.Context, o *older) error {
	lag, replica, err := w.lag(ctx)
	server, refused := serverError(err)
	switch {
	case refused && verdictOf(server.Number) == grant: // it may not be one
		threads, err := w.list(ctx, "SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = 'system user' AND COMMAND <> 'Daemon' LIMIT 1")
		if err == nil && len(threads) > 0 {
			o.replica = "it is a replica, and the user may not see how far behind (grant REPLICATION CLIENT; SLAVE MONITOR on MariaDB)"
		}
		return err
	case err != nil:
		return err
	case replica && lag < 0:
		o.replica = "it is a replica that does not replicate"
	}
	o.listedAt = o.listedAt.Add(-max(lag, 0))
	return nil
}

// unix reads seconds since 1970-01-01 with their fraction.
func unix(text string) (time.Time, error) {
	seconds, err := strconv.ParseFloat(text, 64)
	return time.UnixMicro(int64(seconds * 1e6)), err
}

// since returns when the oldest of the transactions began: the beginning of time where they cannot be seen.
func (o *older) since() (oldest time.Time) {
	if o.hidden != nil {
		return time.Unix(0, 0).UTC()
	}
	for _, t := range o.transactions {
		if oldest.IsZero() || t.began.Before(oldest) {
			oldest = t.began.UTC()
		}
	}
	return oldest
}

// closed refuses a window into which an open transaction could still bring rows.
func (o *older) closed(dataset elt.DatasetName, to time.Time) error {
	if o.hidden != nil {
		return &elt.Error{
			Code: grant.code, Class: grant.class, Err: o.hidden,
			What: fmt.Sprintf("%s: nobody can say whether rows may still come into the window that ends at %s", dataset, to.UTC().Format(time.RFC3339)),
			Do:   "run GRANT PROCESS ON *.* for the source's user, so that it sees when transactions began, or make the table mode: full",
		}
	}
	refuse := func(why string) error {
		return &elt.Error{
			Code: extract.CodeWindowOpen, Class: elt.Budget,
			What: fmt.Sprintf("%s: rows may still come into the window that ends at %s: %s", dataset, to.UTC().Format(time.RFC3339), why),
			Do:   "nothing: it is tried again; if it stays, end that transaction",
		}
	}
	if o.replica != "" {
		return refuse(o.replica)
	}
	if o.listedAt.Before(to) {
		return refuse("it had not ended by the source's clock")
	}
	for _, t := range o.transactions {
		if t.began.Before(to) {
			return refuse("the transaction of connection " + t.thread + " is open since " + t.began.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
