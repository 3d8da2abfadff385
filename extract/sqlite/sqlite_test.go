package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/sqlite"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// file returns the path of a new database after the statements, and a connection to it.
func file(t *testing.T, statements ...string) (string, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a shop #1?.db")
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer(" ", "%20", "#", "%23", "?", "%3f").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	exec(t, db, statements...)
	return path, db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func newSource(t *testing.T, path string) *sqlite.Source {
	return sqlite.New(sqlite.Options{Name: "shop", Path: path, Log: extracttest.Log(t), Now: time.Now, BusyTimeout: 100 * time.Millisecond})
}

func TestEveryType(t *testing.T) {
	path, db := file(t)
	for _, c := range []struct {
		declared, value string
		typ             string
		want            string // the canonical text; "!" when it is refused
	}{
		{"INTEGER", "9223372036854775807", "int64", "9223372036854775807"},
		{"BIGINT", "-9223372036854775808", "int64", "-9223372036854775808"},
		{"TINYINT(1)", "5", "int64", "5"},
		{"UNSIGNED BIG INT", "7", "int64", "7"},
		{"INTEGER", "1.5", "int64", "!"},
		{"INTEGER", "'x'", "int64", "!"},
		{"INTEGER", "x'01'", "int64", "!"},
		{"INT", "9223372036854775808", "int64", "!"}, // SQLite made it a REAL
		{"BOOLEAN", "1", "bool", "true"},
		{"BOOL", "0", "bool", "false"},
		{"BOOLEAN", "2", "bool", "!"},
		{"BOOLEAN", "'true'", "bool", "!"},
		{"REAL", "1.5", "float64", "1.5"},
		{"DOUBLE PRECISION", "9e999", "float64", "inf"},
		{"FLOAT", "3", "float64", "3"},
		{"REAL", "'x'", "float64", "!"},
		{"DECIMAL(12,2)", "'0.10'", "decimal(12,2)", "0.10"},
		{"NUMERIC(12, 2)", "-12", "decimal(12,2)", "-12.00"},
		{"DECIMAL(12,2)", "0.3", "decimal(12,2)", "0.30"},
		{"DECIMAL(12,2)", "0.1 + 0.2", "decimal(12,2)", "!"},
		{"DECIMAL(12,2)", "1.005", "decimal(12,2)", "!"},
		{"DECIMAL(12,2)", "12345678901", "decimal(12,2)", "!"},
		{"DECIMAL(38,0)", "1e37", "decimal(38,0)", "1" + strings.Repeat("0", 37)},
		{"DECIMAL(20)", "9007199254740993", "decimal(20,0)", "9007199254740993"},
		{"DECIMAL(12,2)", "'abc'", "decimal(12,2)", "!"},
		{"DECIMAL(40,2)", "1.5", "string", "1.5"},
		{"NUMERIC", "1.5", "string", "1.5"},
		{"NUMERIC", "10", "string", "10"},
		{"TEXT", "'grüße 🌅'", "string", "grüße 🌅"},
		{"TEXT", "''", "string", ""},
		{"VARCHAR(2)", "'longer than two'", "string", "longer than two"},
		{"TEXT", "char(97, 0, 98)", "string", "a\x00b"},
		{"TEXT", "x'ff'", "string", "!"},
		{"TEXT", "CAST(x'ff' AS TEXT)", "string", "!"},
		{"", "5", "string", "5"},
		{"", "x'00'", "string", "!"},
		{"BLOB", "x'0001ff'", "bytes", `\x0001ff`},
		{"BLOB", "x''", "bytes", `\x`},
		{"BLOB", "'text'", "bytes", "!"},
		{"DATE", "'2024-02-29'", "date", "2024-02-29"},
		{"DATE", "'2023-02-29'", "date", "!"},
		{"DATE", "'2024-2-9'", "date", "!"},
		{"DATE", "20240229", "date", "!"},
		{"DATE", "'0000-00-00'", "date", "!"},
		{"TIME", "'23:59:59.999999'", "time", "23:59:59.999999"},
		{"TIME", "'10:20'", "time", "10:20:00"},
		{"TIME", "'24:00:00'", "time", "!"},
		{"DATETIME", "'2026-01-05 10:20:30'", "local_timestamp", "2026-01-05 10:20:30"},
		{"TIMESTAMP", "'2026-01-05T10:20:30.123456'", "local_timestamp", "2026-01-05 10:20:30.123456"},
		{"DATETIME", "'2026-01-05 10:20:30.123456000'", "local_timestamp", "2026-01-05 10:20:30.123456"},
		{"DATETIME", "'2026-01-05 10:20:30.1234567'", "local_timestamp", "!"},
		{"DATETIME", "'2026-01-05 10:20:30Z'", "local_timestamp", "!"},
		{"DATETIME", "1767608430", "local_timestamp", "!"},
		{"DATETIME", "'0001-01-01 00:00:00'", "local_timestamp", "0001-01-01 00:00:00"},
		{"DATETIME", "'9999-12-31 23:59:59.999999'", "local_timestamp", "9999-12-31 23:59:59.999999"},
		{"TIMESTAMPTZ", "'2026-01-05 10:20:30Z'", "timestamp", "2026-01-05 10:20:30+00"},
		{"TIMESTAMP WITH TIME ZONE", "'2026-01-05T10:20:30.5+02:00'", "timestamp", "2026-01-05 08:20:30.5+00"},
		{"TIMESTAMPTZ", "'2026-01-05 10:20:30-0330'", "timestamp", "2026-01-05 13:50:30+00"},
		{"TIMESTAMPTZ", "'2026-01-05 10:20:30'", "timestamp", "!"},
		{"TIMESTAMPTZ", "'0001-01-01 00:00:00+01'", "timestamp", "!"},
		{"JSON", `'{"a": 1.10}'`, "json", `{"a": 1.10}`},
		{"UUID", "'6BA7B810-9DAD-11D1-80B4-00C04FD430C8'", "uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		{"UUID", "x'6ba7b8109dad11d180b400c04fd430c8'", "uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		{"UUID", "'6ba7b8109dad11d180b400c04fd430c8'", "uuid", "!"},
	} {
		t.Run(c.declared+" "+c.value, func(t *testing.T) {
			exec(t, db, `DROP TABLE IF EXISTS v`, `CREATE TABLE v (id INTEGER PRIMARY KEY, v `+c.declared+`)`,
				`INSERT INTO v VALUES (1, NULL), (2, `+c.value+`)`)
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, path), lake), extracttest.Job(extracttest.Table("v"), 1))
			if c.want == "!" {
				extracttest.Fails(t, err, "value_not_representable", "table v", "column v", "id = 2")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][]string{{"1", "NULL"}, {"2", c.want}}, lake.Rows(t, m)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := m.Schema[1].Type.String(); got != c.typ {
				t.Errorf("the type is %s, expected %s", got, c.typ)
			}
		})
	}
}

// TestOneSnapshot writes between two tables: the second must be as it was with the first.
func TestOneSnapshot(t *testing.T) {
	path, db := file(t, `PRAGMA journal_mode = WAL`, `CREATE TABLE a (n INTEGER)`, `CREATE TABLE b (n INTEGER)`,
		`INSERT INTO a VALUES (10)`, `INSERT INTO b VALUES (0)`)
	lake := &extracttest.Lake{}
	tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("main.b")}
	night := extracttest.New(t, newSource(t, path), lake).Begin("r1", tables, tables)
	var rows [][]string
	for i, e := range tables {
		m, err := night.Extract(t.Context(), extracttest.Job(e, 1), func(elt.Progress) {})
		if err != nil {
			t.Fatal(err)
		}
		if !m.Source.CrossTableConsistent {
			t.Errorf("%s is said not to be consistent", e.Dataset)
		}
		rows = append(rows, lake.Rows(t, m)...)
		exec(t, db, fmt.Sprintf(`UPDATE a SET n = %d; UPDATE b SET n = %d`, i, 10-i))
	}
	if diff := cmp.Diff([][]string{{"10"}, {"0"}}, rows); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := night.Close(); err != nil {
		t.Error(err)
	}
}

func TestWindows(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		declared string
		zone     *time.Location
		overlap  time.Duration
		from     time.Time
		rows     []string
		want     string // ids, or the code of the error
	}{
		{"DATETIME", time.UTC, 0, day(5), []string{"'2026-01-04 23:59:59.999999'", "'2026-01-05 00:00'", "'2026-01-05T23:59:59.999999'", "'2026-01-06 00:00:00'"}, "2 3"},
		{"DATETIME", time.UTC, time.Hour, day(5), []string{"'2026-01-04 22:59:59'", "'2026-01-04 23:00:00'"}, "2"},
		{"DATETIME", time.UTC, 0, time.Time{}, []string{"'0001-01-01 00:00:00'", "'2026-01-06 00:00:00'"}, "1"},
		{"DATETIME", berlin, 0, day(5), []string{"'2026-01-05 00:59:59'", "'2026-01-05 01:00:00'", "'2026-01-06 00:59:59'", "'2026-01-06 01:00:00'"}, "2 3"},
		{"TIMESTAMPTZ", nil, 0, day(5), []string{"'2026-01-05T01:59:59+02:00'", "'2026-01-05 02:00:00+02:00'", "'2026-01-05 23:59:59-00:01'", "'2026-01-04 23:59:59-00:01'"}, "2 4"},
		{"DATE", time.UTC, 0, day(5), []string{"'2026-01-04'", "'2026-01-05'", "'2026-01-06'"}, "2"},
		{"DATETIME", time.UTC, 0, day(5), []string{"'05/01/2026 10:00'"}, "value_not_representable"},
		{"DATETIME", time.UTC, 0, day(5), []string{"1767608430"}, "value_not_representable"},
		{"DATETIME", time.UTC, 0, day(5), []string{"x'00'"}, "value_not_representable"},
		{"DATETIME", time.UTC, 0, day(5), []string{"NULL"}, "cursor_null"},
		{"DATETIME", nil, 0, day(5), nil, "cursor_zone_missing"},
		{"INTEGER", nil, 0, day(5), nil, "cursor_overlap"},
		{"TEXT", nil, 0, day(5), nil, "cursor_type"},
	} {
		t.Run(c.declared+" "+c.want, func(t *testing.T) {
			path, db := file(t, `CREATE TABLE v (id INTEGER PRIMARY KEY, at `+c.declared+`)`)
			for i, r := range c.rows {
				exec(t, db, fmt.Sprintf(`INSERT INTO v VALUES (%d, %s)`, i+1, r))
			}
			e := extracttest.Table("v")
			e.Mode, e.Key, e.Cursor, e.CursorZone, e.Overlap = elt.Incremental, []string{"id"}, "at", c.zone, c.overlap
			job := extracttest.Job(e, 1)
			job.Window = &elt.Window{From: c.from, To: day(6)}
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, path), lake), job)
			if strings.Contains(c.want, "_") {
				named := "id = 1"
				if len(c.rows) == 0 {
					named = `"at"`
				}
				extracttest.Fails(t, err, elt.Code(c.want), named)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, row := range lake.Rows(t, m) {
				ids = append(ids, row[0])
			}
			if got := strings.Join(ids, " "); got != c.want {
				t.Errorf("the window brought %q, expected %q", got, c.want)
			}
		})
	}
}

func TestMasks(t *testing.T) {
	path, _ := file(t, `CREATE TABLE v (id INTEGER PRIMARY KEY, email TEXT, at TIMESTAMPTZ, note TEXT)`,
		`INSERT INTO v VALUES (1, 'a@example.com', '2026-01-05T10:00:00Z', 'x'), (2, NULL, NULL, NULL), (3, 'a@example.com', '2026-01-05 11:00:00+01', '')`)
	e := extracttest.Table("v")
	e.Hash, e.Redact = []string{"email", "at"}, []string{"note"}
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, path), lake), extracttest.Job(e, 1))
	if err != nil {
		t.Fatal(err)
	}
	// The same HMAC-SHA-256 as PostgreSQL's test has it: hashed columns can be joined across sources.
	const mail = "10db37347aecf9de936509c1f62399b6cce2422a07d3a5a6c7595cefdc80fd6f"
	rows := lake.Rows(t, m)
	at := rows[0][2]
	if diff := cmp.Diff([][]string{{"1", mail, at, "***"}, {"2", "NULL", "NULL", "NULL"}, {"3", mail, at, "***"}}, rows); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCatalog(t *testing.T) {
	path, _ := file(t, `CREATE TABLE users (id INTEGER PRIMARY KEY, firstName TEXT NOT NULL, email TEXT, updated_at DATETIME NOT NULL, "e mail" TEXT, len INT GENERATED ALWAYS AS (length(email)) VIRTUAL)`,
		`INSERT INTO users (id, firstName, updated_at) VALUES (7, 'a', '2026-01-05 00:00:00')`,
		`CREATE TABLE pairs (b INT, a INT, PRIMARY KEY (a, b)) WITHOUT ROWID`, `CREATE VIEW v AS SELECT id FROM users`)
	infos, err := newSource(t, path).Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != 3 {
		t.Fatalf("there are %d tables: %+v", len(infos), infos)
	}
	pairs, users, view := infos[0], infos[1], infos[2]
	if diff := cmp.Diff([]string{"a", "b"}, pairs.Key); diff != "" || pairs.Mode != elt.Full || pairs.Rows != -1 {
		t.Errorf("pairs is %+v", pairs)
	}
	if users.Mode != elt.Full || users.Cursor != "updated_at" || users.Rows != 7 || users.Columns[0].Nullable {
		t.Errorf("users is %+v", users)
	}
	if diff := cmp.Diff([]string{"firstName", "email", "e mail"}, users.Personal); diff != "" {
		t.Errorf("personal columns (-want +got)\n%s", diff)
	}
	if view.Name != "v" || view.Rows != -1 {
		t.Errorf("the view is %+v", view)
	}
}

func TestBadFiles(t *testing.T) {
	good, _ := file(t, `CREATE TABLE a (n INTEGER)`)
	dir := t.TempDir()
	rubbish := filepath.Join(dir, "rubbish.db")
	if err := os.WriteFile(rubbish, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.db")
	for _, c := range []struct {
		path, table string
		code        elt.Code
	}{
		{missing, "a", "source_unreachable"}, {dir, "a", "source_unreachable"}, {rubbish, "a", "source_unreachable"},
		{good, "b", "table_missing"}, {good, `a"; DROP TABLE a; --`, "table_missing"},
	} {
		x := extracttest.New(t, newSource(t, c.path), &extracttest.Lake{})
		_, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table(c.table), 1))
		extracttest.Fails(t, err, c.code, "shop")
		if problems := x.Check(t.Context(), []elt.Extraction{extracttest.Table(c.table)}, nil); len(problems) != 1 || problems[0].Code != c.code {
			t.Errorf("check says %v", problems)
		}
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("the missing file was made: %v", err)
	}
}

// TestLargeTable reads more rows than a row group holds, and values of many sizes.
func TestLargeTable(t *testing.T) {
	path, _ := file(t, `CREATE TABLE a (id INTEGER PRIMARY KEY, v TEXT)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 130000) INSERT INTO a SELECT i, hex(zeroblob(i % 50)) FROM n`)
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, path), lake), extracttest.Job(extracttest.Table("a"), 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(lake.Rows(t, m)); got != 130000 || m.Stats.Columns[0].Sum != "8450065000" || m.Stats.Columns[1].Length != 6370000 {
		t.Errorf("%d rows came: %+v", got, m.Stats)
	}
}

// TestDescribeFollowsTheFile: what is described is the file that is there now, as it is now.
func TestDescribeFollowsTheFile(t *testing.T) {
	path, db := file(t, "CREATE TABLE a (id INTEGER PRIMARY KEY)")
	source := newSource(t, path)
	names := func() string {
		t.Helper()
		info, err := source.Describe(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(info.Columns.Names(), " ")
	}
	if got := names(); got != "id" {
		t.Errorf("at first there are %s", got)
	}
	exec(t, db, "ALTER TABLE a ADD COLUMN b TEXT")
	if got := names(); got != "id b" {
		t.Errorf("with another column there are %s", got)
	}
	other, _ := file(t, "CREATE TABLE a (c TEXT)")
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "c" {
		t.Errorf("in another file there are %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := source.Describe(t.Context(), "a")
	extracttest.Fails(t, err, "source_unreachable")
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}
