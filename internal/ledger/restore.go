package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/golang-migrate/migrate/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// RestoreBackup fills the empty ledger at dsn with a backup, of whichever engine, and brings its tables to what this
// binary knows. The file is read to its end before anything is touched; then everything comes in one transaction, is read
// again in it and compared. An error leaves the ledger empty. A ledger that holds anything is refused with code
// ledger_not_empty, unless it was filled with this very backup, and whoever did so never said Restored: a process that
// was killed begins again.
func RestoreBackup(ctx context.Context, dsn string, from io.ReadSeeker, log *slog.Logger) (b elt.Backup, err error) {
	whole, err := verifyBackup(from)
	if err != nil {
		return b, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return b, fmt.Errorf("read the backup again: %w", err)
	}
	r, err := readBackup(from)
	if err != nil {
		return b, err
	}
	l, err := Open(ctx, dsn, log)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	fingerprint, err := whole.fingerprint()
	if err != nil {
		return b, err
	}
	filled, err := l.filledWith(ctx, fingerprint)
	if err != nil {
		return b, err
	}
	if !filled {
		err = l.fillEmpty(ctx, r, fingerprint)
	}
	if err != nil {
		return b, err
	}
	return told(whole.head, whole.tail), l.Migrate(ctx)
}

// fillEmpty fills an empty ledger.
func (l *Ledger) fillEmpty(ctx context.Context, r *backupReader, fingerprint int64) error {
	if err := l.wantEmpty(ctx); err != nil {
		return err
	}
	if err := l.migrate(ctx, func(m *migrate.Migrate) error { return m.Migrate(uint(r.head.Schema)) }); err != nil {
		return err
	}
	const op = "restore the ledger"
	t, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return l.fault(op, err)
	}
	if err = l.fill(ctx, t, r); err == nil {
		_, err = t.ExecContext(ctx, `INSERT INTO counters (name, value) VALUES ('`+restoring+`', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, fingerprint)
	}
	if err == nil {
		failpoint.Here("ledger.restore")
		err = t.Commit()
		failpoint.Here("ledger.restored")
	}
	if err != nil {
		err = errors.Join(err, rollback(t))
		if elt.CodeOf(err) == "" {
			err = l.fault(op, err)
		}
	}
	return err
}

// restoring names the counter that tells which backup a ledger was filled with, until whoever restores it is done.
const restoring = "restoring"

// fingerprint tells one backup from another.
func (r *backupReader) fingerprint() (int64, error) {
	text, err := json.Marshal([]any{r.head, r.tail})
	if err != nil {
		return 0, fmt.Errorf("tell the backup from others: %w", err)
	}
	sum := sha256.Sum256(text)
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1), nil
}

// filledWith reports whether the ledger was filled with the backup, by a process that did not get to the end.
func (l *Ledger) filledWith(ctx context.Context, fingerprint int64) (bool, error) {
	if schema, err := readSchema(ctx, l.reader, l.engine.dialect()); err != nil || schema == 0 {
		return false, err
	}
	var with int64
	err := l.reader.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = '`+restoring+`'`).Scan(&with)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, l.fault("look at the ledger", err)
	}
	return with == fingerprint, nil
}

// Restored says that all is done that follows RestoreBackup: from now on the ledger holds something.
func (l *Ledger) Restored(ctx context.Context) error {
	return l.update(ctx, "end the restore", func(ctx context.Context, t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `DELETE FROM counters WHERE name = '`+restoring+`'`)
		return err
	})
}

// wantEmpty refuses a ledger in which anything has happened.
func (l *Ledger) wantEmpty(ctx context.Context) error {
	schema, err := readSchema(ctx, l.reader, l.engine.dialect())
	if err != nil || schema == 0 {
		return err
	}
	tables, err := l.tables(ctx, l.reader)
	if err != nil {
		return l.fault("look at the ledger", err)
	}
	for _, table := range tables {
		var rows int64
		if err := l.reader.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+table).Scan(&rows); err != nil {
			return l.fault("look at the ledger", err)
		}
		if rows > 0 && table != "counters" {
			return &elt.Error{
				Code: "ledger_not_empty", Class: elt.Conflict,
				What: fmt.Sprintf("ledger %s holds something: %d rows in %s", l.engine.name(), rows, table),
				Do:   "restore into an empty one: move the file (and what lies beside it) away, or make a new database; nothing was changed",
			}
		}
	}
	return nil
}

// fill inserts everything and compares what the ledger then holds.
func (l *Ledger) fill(ctx context.Context, t *sql.Tx, r *backupReader) error {
	tables, err := l.tables(ctx, t)
	if err != nil {
		return err
	}
	if _, err := t.ExecContext(ctx, `DELETE FROM counters`); err != nil {
		return err
	}
	f := filler{tx: t}
	begin := func(table backupTable) error {
		if err := f.flush(ctx); err != nil {
			return err
		}
		if !slices.Contains(tables, table.Table) {
			return r.damaged("it has the table " + table.Table + ", which a ledger of its schema has not")
		}
		columns, err := columnNames(ctx, t, table.Table)
		if err != nil {
			return err
		}
		if !slices.Equal(columns, table.Columns) {
			return r.damaged("table " + table.Table + " has other columns than a ledger of its schema")
		}
		f.into = table
		return nil
	}
	row := func(_ string, line []byte) error {
		if err := f.add(ctx, line); err != nil {
			return fmt.Errorf("line %d: %w", r.lines, err)
		}
		return nil
	}
	if err := r.each(begin, row); err != nil {
		return err
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	for _, table := range tables {
		got, err := eachRow(ctx, t, table, func([]string) error { return nil }, func([]byte) error { return nil })
		if err != nil {
			return err
		}
		if want, known := r.tail.Tables[table]; !known || got != want {
			return r.damaged(fmt.Sprintf("table %s holds %d rows (%s) after the restore, and not %d (%s)", table, got.Rows, got.Sum, want.Rows, want.Sum))
		}
	}
	return nil
}

// filler inserts rows, many at a time.
type filler struct {
	tx   *sql.Tx
	into backupTable
	rows int
	args []any
}

// fillAtOnce bounds the parameters of one statement; both engines take more.
const fillAtOnce = 4000

func (f *filler) add(ctx context.Context, line []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	var values []any
	if err := decoder.Decode(&values); err != nil || len(values) != len(f.into.Columns) {
		return fmt.Errorf("a row of %s has %d values, and it has %d columns (%w)", f.into.Table, len(values), len(f.into.Columns), err)
	}
	for i, v := range values {
		if n, ok := v.(json.Number); ok {
			whole, err := n.Int64()
			if err != nil {
				return err
			}
			values[i] = whole
		}
	}
	f.args = append(f.args, values...)
	f.rows++
	if len(f.args)+len(f.into.Columns) > fillAtOnce {
		return f.flush(ctx)
	}
	return nil
}

func (f *filler) flush(ctx context.Context) error {
	if f.rows == 0 {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "INSERT INTO %s (%s) VALUES ", f.into.Table, quoted(f.into.Columns))
	for i := range f.args {
		switch {
		case i == 0:
			text.WriteString("($1")
		case i%len(f.into.Columns) == 0:
			fmt.Fprintf(&text, "), ($%d", i+1)
		default:
			fmt.Fprintf(&text, ", $%d", i+1)
		}
	}
	text.WriteString(")")
	_, err := f.tx.ExecContext(ctx, text.String(), f.args...)
	f.rows, f.args = 0, f.args[:0]
	if err != nil {
		return fmt.Errorf("table %s: %w", f.into.Table, err)
	}
	return nil
}
