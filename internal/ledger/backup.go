package ledger

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A backup is a gzipped text of one JSON value a line: a head, for each table its name and columns and then its rows,
// and a tail that tells how many rows each table has and what they sum up to. It holds texts, integers and nulls only,
// as the ledger does, so that what either engine wrote the other can read.

const (
	backupKind   = "daybreak ledger backup"
	backupFormat = 1
)

// backupHead is the first line.
type backupHead struct {
	Kind    string    `json:"kind"`
	Format  int       `json:"format"`
	Schema  int64     `json:"schema"` // the number of the last migration
	TakenAt time.Time `json:"taken_at"`
	Event   int64     `json:"event"` // the seq of the last event that is in it
}

// backupTable begins a table.
type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

// backupTail is the last line.
type backupTail struct {
	Tables map[string]contents `json:"tables"`
}

// contents is how many rows a table has and what they sum up to, in whichever order they are read.
type contents struct {
	Rows int64  `json:"rows"`
	Sum  string `json:"sum"`
}

// tally sums up rows.
type tally struct {
	rows int64
	sum  uint64
}

func (t *tally) add(row []byte) {
	digest := sha256.Sum256(row)
	t.rows++
	t.sum += binary.BigEndian.Uint64(digest[:8])
}

func (t *tally) contents() contents { return contents{t.rows, fmt.Sprintf("%016x", t.sum)} }

// Backup writes the whole ledger as it is at one moment, while others go on working with it. A ledger that an older
// Daybreak wrote is written as it is.
func (l *Ledger) Backup(ctx context.Context, to io.Writer) (b elt.Backup, err error) {
	const op = "back up the ledger"
	t, err := l.reader.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return b, l.fault(op, err)
	}
	zipped := gzip.NewWriter(to)
	w := backupWriter{to: zipped, tail: backupTail{make(map[string]contents)}}
	err = l.writeBackup(ctx, t, &w)
	if err = errors.Join(err, rollback(t)); elt.CodeOf(err) != "" {
		return b, err // of the writer, which knows better what it could not write
	} else if err != nil {
		return b, l.fault(op, err)
	}
	if err := zipped.Close(); err != nil {
		return b, fmt.Errorf("write the backup: %w", err)
	}
	return w.told(), nil
}

func (l *Ledger) writeBackup(ctx context.Context, t *sql.Tx, w *backupWriter) (err error) {
	w.head = backupHead{Kind: backupKind, Format: backupFormat}
	if w.head.Schema, err = readSchema(ctx, t, l.engine.dialect()); err != nil {
		return err
	}
	if w.head.TakenAt, err = l.clock(ctx, t); err != nil {
		return err
	}
	if err := t.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = 'event'`).Scan(&w.head.Event); err != nil {
		return err
	}
	if err := w.line(w.head); err != nil {
		return err
	}
	tables, err := l.tables(ctx, t)
	if err != nil {
		return err
	}
	for _, table := range tables {
		sum, err := eachRow(ctx, t, table, func(columns []string) error { return w.line(backupTable{table, columns}) }, w.raw)
		if err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
		w.tail.Tables[table] = sum
	}
	return w.line(w.tail)
}

// backupWriter writes lines.
type backupWriter struct {
	to   io.Writer
	head backupHead
	tail backupTail
}

func (w *backupWriter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.raw(b)
}

func (w *backupWriter) raw(b []byte) error {
	_, err := w.to.Write(append(b, '\n'))
	return err
}

func (w *backupWriter) told() elt.Backup { return told(w.head, w.tail) }

func told(head backupHead, tail backupTail) elt.Backup {
	b := elt.Backup{Schema: head.Schema, TakenAt: head.TakenAt, Tables: len(tail.Tables)}
	for name, c := range tail.Tables {
		b.Rows += c.Rows
		switch name {
		case "runs":
			b.Runs = c.Rows
		case "versions":
			b.Versions = c.Rows
		case "events":
			b.Events = c.Rows
		}
	}
	return b
}

// tables returns the ledger's own tables, each after those that it refers to.
func (l *Ledger) tables(ctx context.Context, q queryer) ([]string, error) {
	text := func(row scanner) (s string, err error) { return s, row.Scan(&s) }
	names, err := collect(ctx, q, text, l.engine.dialect().names)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var ordered []string
	var add func(name string) error
	add = func(name string) error {
		if slices.Contains(ordered, name) || !slices.Contains(names, name) {
			return nil
		}
		parents, err := collect(ctx, q, text, l.engine.dialect().parents, name)
		if err != nil {
			return err
		}
		for _, p := range parents {
			if err := add(p); err != nil {
				return err
			}
		}
		ordered = append(ordered, name)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// eachRow hands every row of a table over as a JSON array, after the names of its columns.
func eachRow(ctx context.Context, q queryer, table string, begin func(columns []string) error, row func([]byte) error) (contents, error) {
	var t tally
	columns, err := columnNames(ctx, q, table)
	if err != nil {
		return contents{}, err
	}
	if err := begin(columns); err != nil {
		return contents{}, err
	}
	rows, err := q.QueryContext(ctx, `SELECT `+quoted(columns)+` FROM `+table)
	if err != nil {
		return contents{}, err
	}
	defer rows.Close()
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return contents{}, err
		}
		for i, v := range values {
			switch v := v.(type) {
			case nil, int64, string:
			case []byte:
				values[i] = string(v)
			default:
				return contents{}, fmt.Errorf("column %s holds %T, which no ledger has", columns[i], v)
			}
		}
		line, err := json.Marshal(values)
		if err != nil {
			return contents{}, err
		}
		t.add(line)
		if err := row(line); err != nil {
			return contents{}, err
		}
	}
	return t.contents(), rows.Err()
}

// columnNames returns a table's columns by name, so that both engines give them in one order.
func columnNames(ctx context.Context, q queryer, table string) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT * FROM `+table+` WHERE 1 = 0`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	slices.Sort(columns)
	return columns, rows.Err()
}

func quoted(columns []string) string { return `"` + strings.Join(columns, `", "`) + `"` }

// backupReader reads what a backupWriter wrote.
type backupReader struct {
	from  *bufio.Reader
	lines int
	head  backupHead
	tail  backupTail
}

// damaged is the error of a file that is no whole backup.
func (r *backupReader) damaged(why any) error {
	return &elt.Error{
		Code: "backup_damaged", Class: elt.Data,
		What: fmt.Sprintf("this is no whole backup of a ledger: line %d: %v", r.lines, why), Do: "take another backup; nothing was changed",
	}
}

func readBackup(from io.Reader) (*backupReader, error) {
	r := &backupReader{}
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return nil, r.damaged(err)
	}
	r.from = bufio.NewReaderSize(unzipped, 1<<16)
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, &r.head); err != nil || r.head.Kind != backupKind || r.head.Schema < 1 {
		return nil, r.damaged("its first line does not say that it is one")
	}
	known, err := knownSchema()
	if err != nil {
		return nil, err
	}
	if r.head.Format != backupFormat || r.head.Schema > known {
		return nil, &elt.Error{
			Code: "backup_newer", Class: elt.Config,
			What: fmt.Sprintf("the backup was taken by a newer Daybreak: its schema is %d, this binary knows %d", r.head.Schema, known), Do: "restore it with that Daybreak or a newer one",
		}
	}
	return r, nil
}

func (r *backupReader) line() ([]byte, error) {
	r.lines++
	line, err := r.from.ReadBytes('\n')
	if err != nil {
		return nil, r.damaged("it ends too early, or was changed (" + err.Error() + ")")
	}
	return bytes.TrimSuffix(line, []byte("\n")), nil
}

// each hands the tables and their rows over, and checks both against the tail.
func (r *backupReader) each(begin func(backupTable) error, row func(table string, line []byte) error) error {
	found := make(map[string]contents)
	var table backupTable
	var sum tally
	end := func() {
		if table.Table != "" {
			found[table.Table] = sum.contents()
		}
		sum = tally{}
	}
	for {
		line, err := r.line()
		switch {
		case err != nil:
			return err
		case len(line) > 0 && line[0] == '[':
			sum.add(line)
			if err := row(table.Table, line); err != nil {
				return err
			}
			continue
		case bytes.HasPrefix(line, []byte(`{"tables":`)):
			end()
			return r.finish(line, found)
		}
		end()
		table = backupTable{}
		if err := json.Unmarshal(line, &table); err != nil || table.Table == "" {
			return r.damaged("neither a table nor a row")
		}
		if err := begin(table); err != nil {
			return err
		}
	}
}

func (r *backupReader) finish(line []byte, found map[string]contents) error {
	if err := json.Unmarshal(line, &r.tail); err != nil {
		return r.damaged(err)
	}
	for table, want := range r.tail.Tables {
		if got := found[table]; got != want {
			return r.damaged(fmt.Sprintf("table %s has %d rows that sum up to %s, and the backup was written with %d and %s", table, got.Rows, got.Sum, want.Rows, want.Sum))
		}
	}
	if len(found) != len(r.tail.Tables) {
		return r.damaged("it has tables that it does not tell of")
	}
	if _, err := r.from.ReadByte(); err != io.EOF { // also the checksum of the whole file
		return r.damaged("something follows its end")
	}
	return nil
}

// VerifyBackup reads a backup to its end and checks that it is whole.
func VerifyBackup(from io.Reader) (elt.Backup, error) {
	r, err := verifyBackup(from)
	if err != nil {
		return elt.Backup{}, err
	}
	return told(r.head, r.tail), nil
}

// verifyBackup returns a reader that has read all of it.
func verifyBackup(from io.Reader) (*backupReader, error) {
	r, err := readBackup(from)
	if err != nil {
		return nil, err
	}
	return r, r.each(func(backupTable) error { return nil }, func(string, []byte) error { return nil })
}
