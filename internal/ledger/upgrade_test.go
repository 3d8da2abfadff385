package ledger_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	migrations "github.com/daybreak-data/daybreak/sql"
)

// reference is a column of another table.
type reference struct{ table, column string }

// references returns to what a table's columns refer.
func references(t *testing.T, db *sql.DB, table string) map[string]reference {
	t.Helper()
	const sqlite = `SELECT "from", "table", coalesce("to", 'id') FROM pragma_foreign_key_list($1)`
	const postgres = `SELECT k.column_name, c.table_name, c.column_name FROM information_schema.table_constraints f
		JOIN information_schema.key_column_usage k USING (constraint_schema, constraint_name) JOIN information_schema.constraint_column_usage c USING (constraint_schema, constraint_name)
		WHERE f.constraint_type = 'FOREIGN KEY' AND f.constraint_schema = current_schema() AND f.table_name = $1`
	rows, err := db.QueryContext(t.Context(), sqlite, table)
	if err != nil {
		rows, err = db.QueryContext(t.Context(), postgres, table)
	}
	ok(t, err)
	defer rows.Close()
	out := make(map[string]reference)
	for rows.Next() {
		var from string
		var to reference
		ok(t, rows.Scan(&from, &to.table, &to.column))
		out[from] = to
	}
	ok(t, rows.Err())
	return out
}

// valueOf is what populate puts into a column of the nth row.
func valueOf(table, column, kind string, n int, refers map[string]map[string]reference) any {
	if to, has := refers[table][column]; has {
		return valueOf(to.table, to.column, kind, n, refers)
	}
	switch {
	case kind != "TEXT":
		return int64(1_000_000_007*(n+1) + len(column))
	case column == "id":
		return fmt.Sprintf("%s-%d", table, n)
	}
	return fmt.Sprintf("%s %d 'ü' <&> \"\u2028\\ \n", column, n)
}

// populate puts two rows into each table of the ledger, whatever its schema, and returns what each then holds.
func populate(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	tables := tablesOf(t, db)
	refers := make(map[string]map[string]reference, len(tables))
	for _, table := range tables {
		refers[table] = references(t, db, table)
	}
	filled := map[string]bool{"counters": true}
	var fill func(table string)
	fill = func(table string) {
		if filled[table] {
			return
		}
		filled[table] = true
		for _, to := range refers[table] {
			fill(to.table)
		}
		names, kinds := columnsOf(t, db, table)
		for n := range 2 {
			values, marks := make([]any, len(names)), make([]string, len(names))
			for i, name := range names {
				values[i], marks[i] = valueOf(table, name, kinds[i], n, refers), fmt.Sprintf("$%d", i+1)
			}
			_, err := db.ExecContext(t.Context(), `INSERT INTO `+table+` ("`+strings.Join(names, `", "`)+`") VALUES (`+strings.Join(marks, ", ")+`)`, values...)
			if err != nil {
				t.Fatalf("table %s: %v", table, err)
			}
		}
	}
	out := make(map[string][]string)
	for _, table := range tables {
		fill(table)
	}
	for _, table := range tables {
		names, _ := columnsOf(t, db, table)
		out[table+"("+strings.Join(names, ",")+")"] = dump(t, db, table, names)
	}
	return out
}

// tablesOf returns the ledger's tables.
func tablesOf(t *testing.T, db *sql.DB) []string {
	t.Helper()
	if names := texts(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'schema_migrations'`); names != nil {
		return names
	}
	return texts(t, db, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_name <> 'schema_migrations'`)
}

// texts returns the first column of a query; nil when the engine does not know what it asks for.
func texts(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		ok(t, rows.Scan(&s))
		out = append(out, s)
	}
	ok(t, rows.Err())
	return out
}

func columnsOf(t *testing.T, db *sql.DB, table string) (names, kinds []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table+` WHERE 1 = 0`)
	ok(t, err)
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	ok(t, err)
	for _, c := range columns {
		names, kinds = append(names, c.Name()), append(kinds, strings.ToUpper(c.DatabaseTypeName()))
	}
	ok(t, rows.Err())
	return names, kinds
}

// dump returns these columns of a table's rows, in order.
func dump(t *testing.T, db *sql.DB, table string, names []string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT "`+strings.Join(names, `", "`)+`" FROM `+table)
	ok(t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		ok(t, rows.Scan(into...))
		if table == "counters" && slices.Contains([]any{"schema", "history", "forgotten"}, values[slices.Index(names, "name")]) {
			continue // a migration's own
		}
		out = append(out, fmt.Sprint(values...))
	}
	ok(t, rows.Err())
	slices.Sort(out)
	return out
}

// compare checks that a ledger holds what populate found, whatever else it holds.
func compare(t *testing.T, when string, want map[string][]string, db *sql.DB) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		table, columns, _ := strings.Cut(strings.TrimSuffix(key, ")"), "(")
		if diff := cmp.Diff(want[key], dump(t, db, table, strings.Split(columns, ","))); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", when, table, diff)
		}
	}
}

// schemas returns the number of each migration.
func schemas(t *testing.T) (out []uint) {
	t.Helper()
	files, err := migrations.Migrations.ReadDir("migrations")
	ok(t, err)
	for _, f := range files {
		var n uint
		if _, err := fmt.Sscanf(f.Name(), "%06d_", &n); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// From every older schema, with rows in every table, the way up and back down loses nothing.
func TestMigrationsKeepEveryTablesRows(t *testing.T) {
	for engine, address := range engines() {
		for i, schema := range schemas(t) {
			if engine == "postgres" && i%4 != 0 { // the same files for both, and a server is slower
				continue
			}
			t.Run(fmt.Sprint(engine, " from ", schema), func(t *testing.T) {
				l := open(t, address(t))
				ok(t, l.MigrateTo(t.Context(), schema))
				held := populate(t, l.Writer())
				ok(t, l.Migrate(t.Context()))
				compare(t, "up", held, l.Writer())
				ok(t, l.MigrateTo(t.Context(), schema))
				compare(t, "and down", held, l.Writer())
			})
		}
	}
}

// A backup brings every row of every table back, into either engine and from every schema before.
func TestBackupAndRestore(t *testing.T) {
	all := schemas(t)
	for from, source := range engines() {
		for _, schema := range []uint{all[len(all)-1], all[0], all[len(all)/2]} {
			l := open(t, source(t))
			ok(t, l.MigrateTo(t.Context(), schema))
			held := populate(t, l.Writer())
			var file bytes.Buffer
			taken := must(l.Backup(t.Context(), &file))(t)
			if taken.Schema != int64(schema) || taken.Runs != 2 || taken.Tables != len(held) {
				t.Errorf("the backup says %+v of %d tables", taken, len(held))
			}
			for into, target := range engines() {
				t.Run(fmt.Sprint(from, " of ", schema, " to ", into), func(t *testing.T) {
					dsn := target(t)
					got := must(ledger.RestoreBackup(t.Context(), dsn, bytes.NewReader(file.Bytes()), discard()))(t)
					if diff := cmp.Diff(taken, got); diff != "" {
						t.Error(diff)
					}
					// Killed now, the process that restores is started again, and only then is the ledger not empty.
					if again := must(ledger.RestoreBackup(t.Context(), dsn, bytes.NewReader(file.Bytes()), discard()))(t); again != got {
						t.Errorf("begun again: %+v, and at first %+v", again, got)
					}
					restored := open(t, dsn)
					if err := restored.Restored(t.Context()); err != nil {
						t.Fatal(err)
					}
					compare(t, "restored", held, restored.Writer())
					_, err := ledger.RestoreBackup(t.Context(), dsn, bytes.NewReader(file.Bytes()), discard())
					wantCode(t, err, "ledger_not_empty")
					var again bytes.Buffer
					if b := must(restored.Backup(t.Context(), &again))(t); b.Runs != taken.Runs || b.Events != taken.Events {
						t.Errorf("a backup of what was restored says %+v", b)
					}
				})
			}
		}
	}
}

// A backup that is not whole is refused, and leaves the ledger as empty as it was.
func TestDamagedBackups(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		populate(t, l.Writer())
		var file bytes.Buffer
		must(l.Backup(t.Context(), &file))(t)
		unzipped := must(gzip.NewReader(bytes.NewReader(file.Bytes())))(t)
		text := string(must(io.ReadAll(unzipped))(t))
		zip := func(s string) []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			must(w.Write([]byte(s)))(t)
			ok(t, w.Close())
			return b.Bytes()
		}
		lines := strings.SplitAfter(text, "\n")
		row := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "[") })
		for name, c := range map[string]struct {
			file []byte
			code elt.Code
		}{
			"empty":          {nil, "backup_damaged"},
			"another file":   {zip("{}\n"), "backup_damaged"},
			"no gzip":        {[]byte(text), "backup_damaged"},
			"cut off":        {file.Bytes()[:file.Len()/2], "backup_damaged"},
			"a flipped bit":  {flipped(file.Bytes()), "backup_damaged"},
			"a row less":     {zip(strings.Join(slices.Delete(slices.Clone(lines), row, row+1), "")), "backup_damaged"},
			"a row twice":    {zip(strings.Join(slices.Insert(slices.Clone(lines), row, lines[row]), "")), "backup_damaged"},
			"a row changed":  {zip(strings.Replace(text, "runs-1", "runs-0", 1)), "backup_damaged"},
			"without a tail": {zip(strings.Join(lines[:len(lines)-2], "")), "backup_damaged"},
			"more after it":  {zip(text + "{}\n"), "backup_damaged"},
			"of a newer one": {zip(strings.Replace(text, `"schema":`, `"schema":9`, 1)), "backup_newer"},
		} {
			t.Run(name, func(t *testing.T) {
				dsn := engines()["sqlite"](t)
				_, err := ledger.VerifyBackup(bytes.NewReader(c.file))
				wantCode(t, err, c.code)
				_, err = ledger.RestoreBackup(t.Context(), dsn, bytes.NewReader(c.file), discard())
				wantCode(t, err, c.code)
				fresh := open(t, dsn)
				if runs := must(fresh.Runs(t.Context(), elt.RunFilter{}))(t); len(runs) > 0 {
					t.Errorf("%d runs were restored", len(runs))
				}
			})
		}
	})
}

func flipped(b []byte) []byte {
	out := bytes.Clone(b)
	out[len(out)/2] ^= 4
	return out
}

// A backup that is taken while others write is of one moment: every run in it has all of its steps, days and events.
func TestABackupIsOfOneMoment(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx, stop := context.WithCancel(t.Context())
		written := make(chan int)
		go func() {
			n := 0
			for ; ctx.Err() == nil && n < 500; n++ {
				run, steps, days := night(fmt.Sprintf("run-%d", n), day("2026-01-05").AddDays(n))
				if _, _, err := l.CreateRun(ctx, run, steps, days); err != nil {
					break
				}
			}
			written <- n
		}()
		var last int64
		for range 5 {
			var file bytes.Buffer
			must(l.Backup(t.Context(), &file))(t)
			dsn := engines()["sqlite"](t)
			b := must(ledger.RestoreBackup(t.Context(), dsn, bytes.NewReader(file.Bytes()), discard()))(t)
			restored := open(t, dsn)
			for query, want := range map[string]int64{
				`SELECT COUNT(*) FROM steps`: 6 * b.Runs, `SELECT COUNT(*) FROM days`: 3 * b.Runs, `SELECT COUNT(*) FROM events WHERE kind = 'run.created'`: b.Runs,
				`SELECT COUNT(*) FROM events WHERE seq > (SELECT value FROM counters WHERE name = 'event')`: 0,
			} {
				var got int64
				ok(t, restored.Writer().QueryRowContext(t.Context(), query).Scan(&got))
				if got != want {
					t.Errorf("%s: %d, and %d runs", query, got, b.Runs)
				}
			}
			if b.Runs < last {
				t.Errorf("%d runs after %d", b.Runs, last)
			}
			last = b.Runs
		}
		stop()
		<-written
	})
}
