package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// engine is a source of the incremental nights, and how its tables are declared.
type engine struct {
	source string // of daybreak.yaml
	db     *sql.DB
	stamp  string // the type of a cursor
	zone   string // what a schedule says of it
}

func (e engine) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := e.db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// rows returns a query's rows of texts.
func (e engine) rows(t *testing.T, query string) (out []string) {
	t.Helper()
	rows, err := e.db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, name sql.NullString
		if err := rows.Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		out = append(out, id.String+","+name.String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t *testing.T, driver, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// engines are the sources, each made when it is asked for.
var engines = map[string]func(t *testing.T) engine{
	"PostgreSQL": func(t *testing.T) engine {
		url := testenv.Postgres(t).URL
		return engine{fmt.Sprintf("{postgres: %q}", url), open(t, "pgx", url), "timestamptz", ""}
	},
	"MariaDB": func(t *testing.T) engine {
		server := testenv.MariaDB(t)
		url := "mysql://root@" + server.Addr + "/" + server.Database
		return engine{fmt.Sprintf("{mysql: %q}", url), open(t, "mysql", "root@tcp("+server.Addr+")/"+server.Database), "datetime(6)", "cursor_timezone: UTC, "}
	},
	"SQLite": func(t *testing.T) engine {
		file := filepath.Join(t.TempDir(), "shop.db")
		return engine{fmt.Sprintf("{sqlite: %q}", file), open(t, "sqlite", "file:"+file+"?_pragma=busy_timeout(300000)"), "datetime", "cursor_timezone: UTC, "}
	},
}

// newShop makes a workspace with a table for each way to follow a source: by a time with deletes by key, with a flag, and
// with rows that have no cursor; and by a number.
func newShop(t *testing.T, e engine) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml": "sources:\n  shop: " + e.source + "\nstatus: {public: true}\n",
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
catch_up: all
owners: [data@example.com, shop@example.com]
retries: {first_delay: 10ms, max_delay: 10ms, max_wait: 10ms}
tables:
  shop.orders: {mode: incremental, key: [id], cursor: at, ` + e.zone + `overlap: 2h, deletes: key_diff, max_deletes: 50%, verify: rows}
  shop.users:  {mode: incremental, key: [id], cursor: at, ` + e.zone + `deletes: soft, soft_delete: gone, null_cursor: include, verify: rows}
  shop.notes:  {mode: incremental, key: [id], cursor: at, ` + e.zone + `null_cursor: skip, verify: counts}
  shop.clicks: {mode: incremental, key: [id], cursor: id, overlap: 2, verify: rows}
`})
	e.exec(t,
		"CREATE TABLE orders (id BIGINT PRIMARY KEY, name VARCHAR(50), at "+e.stamp+" NOT NULL)",
		"CREATE TABLE users (id BIGINT PRIMARY KEY, name VARCHAR(50), at "+e.stamp+" NULL, gone "+e.stamp+" NULL)",
		"CREATE TABLE notes (id BIGINT PRIMARY KEY, name VARCHAR(50), at "+e.stamp+" NULL)",
		"CREATE TABLE clicks (id BIGINT PRIMARY KEY, name VARCHAR(50))")
	return dir
}

// fill is what the source holds before the first night, whose date is d, and change what becomes of it on the next date.
func (e engine) fill(t *testing.T, d elt.Date) {
	t.Helper()
	on := func(clock string) string { return "'" + d.String() + " " + clock + "'" }
	e.exec(t,
		"INSERT INTO orders VALUES (1, 'one', "+on("10:00:00.123456")+"), (2, 'two', "+on("10:00:00")+"), (3, 'three', "+on("23:59:59.999999")+"), (4, 'four', "+on("00:00:00")+")",
		"INSERT INTO users VALUES (1, 'ann', "+on("10:00:00")+", NULL), (2, 'bob', "+on("11:00:00")+", "+on("11:00:00")+"), (3, 'cyd', NULL, NULL)",
		"INSERT INTO notes VALUES (1, 'a', "+on("10:00:00")+"), (2, 'b', NULL)",
		"INSERT INTO clicks VALUES (1, 'x'), (2, 'y'), (7, 'z')")
}

func (e engine) change(t *testing.T, d elt.Date) {
	t.Helper()
	on := func(d elt.Date, clock string) string { return "'" + d.String() + " " + clock + "'" }
	e.exec(t,
		"INSERT INTO orders VALUES (5, 'five', "+on(d, "09:00:00")+")",
		"INSERT INTO orders VALUES (6, 'late, within the overlap', "+on(d.AddDays(-1), "23:00:00")+")",
		"INSERT INTO orders VALUES (7, 'late, beyond it', "+on(d.AddDays(-1), "21:00:00")+")",
		"UPDATE orders SET name = 'TWO', at = "+on(d, "00:00:00")+" WHERE id = 2",
		"DELETE FROM orders WHERE id = 1",
		"UPDATE users SET gone = "+on(d, "12:00:00")+", at = "+on(d, "12:00:00")+" WHERE id = 1",
		"UPDATE users SET gone = NULL, at = "+on(d, "12:00:00")+" WHERE id = 2",
		"UPDATE users SET name = 'cyd, who has no cursor' WHERE id = 3",
		"INSERT INTO notes VALUES (3, 'c', "+on(d, "10:00:00")+")",
		"INSERT INTO clicks VALUES (6, 'came late'), (8, 'n'), (9, 'm')", "UPDATE clicks SET name = 'Z' WHERE id = 7")
}

func published(t *testing.T, dir string, table string) (out []string) {
	t.Helper()
	for _, row := range query(t, dir, "SELECT id, name FROM shop."+table+" ORDER BY id") {
		out = append(out, strings.Join(row, ","))
	}
	return out
}

// wantShop compares what is published with the source after the second night.
func wantShop(t *testing.T, dir string, e engine) {
	t.Helper()
	for table, source := range map[string]string{
		"orders": "SELECT id, name FROM orders WHERE id <> 7 ORDER BY id", // beyond the overlap nobody looks
		"users":  "SELECT id, name FROM users WHERE gone IS NULL ORDER BY id",
		"notes":  "SELECT id, name FROM notes WHERE at IS NOT NULL ORDER BY id",
		"clicks": "SELECT id, name FROM clicks ORDER BY id",
	} {
		if diff := cmp.Diff(e.rows(t, source), published(t, dir, table)); diff != "" {
			t.Errorf("%s (-source +warehouse):\n%s", table, diff)
		}
	}
}

// Two nights of each source end with the source's rows, and say how they were verified and what was deleted.
func TestIncrementalNights(t *testing.T) {
	t.Parallel()
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			dir := newShop(t, e)
			first := lastDate(t).AddDays(-4)
			e.fill(t, first)
			must(t, dir, nil, "check")
			must(t, dir, nil, "run", "--yes", "--date", first.String())
			if diff := cmp.Diff([]string{"1,ann", "3,cyd"}, published(t, dir, "users")); diff != "" {
				t.Errorf("users after the first night (-want +got):\n%s", diff)
			}
			e.change(t, first.AddDays(1))
			must(t, dir, nil, "run", "--date", first.AddDays(1).String())
			wantShop(t, dir, e)
			want := [][]string{{"shop.clicks", "rows", "0"}, {"shop.notes", "counts", "0"}, {"shop.orders", "rows", "1"}, {"shop.users", "rows", "1"}}
			got := query(t, dir, fmt.Sprintf("SELECT dataset, level, deletes FROM _daybreak.versions WHERE data_date = DATE '%s' ORDER BY 1", first.AddDays(1)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("versions (-want +got):\n%s", diff)
			}
			must(t, dir, nil, "verify")
			// A date that nobody brought is brought with the next one, and an integer cursor has no past.
			e.exec(t, "INSERT INTO orders VALUES (8, 'of a date that was left out', '"+first.AddDays(2).String()+" 01:00:00')")
			must(t, dir, nil, "run", "--date", first.AddDays(3).String())
			if got := published(t, dir, "orders"); !slices.Contains(got, "8,of a date that was left out") {
				t.Errorf("orders after a gap: %v", got)
			}
			must(t, dir, nil, "run", "--date", first.AddDays(2).String())
			if n := query(t, dir, fmt.Sprintf("SELECT dataset FROM _daybreak.versions WHERE data_date = DATE '%s' ORDER BY 1", first.AddDays(2))); len(n) != 3 {
				t.Errorf("of the date that was left out there are %v", n)
			}
			// More deletes than are allowed hold the table back, and a person lets them pass once.
			e.exec(t, "DELETE FROM orders WHERE id > 2")
			last := first.AddDays(4)
			wantRefusal(t, do(t, dir, nil, "run", "--date", last.String()), 65, "deletes_over_cap", "max_deletes is 50.0%")
			if got := published(t, dir, "orders"); len(got) < 5 {
				t.Errorf("although they were held back, deletes were published: %v", got)
			}
			must(t, dir, nil, "allow", "shop.orders", last.String(), "--reason", "the season is over")
			must(t, dir, nil, "run", "--date", last.String())
			if diff := cmp.Diff([]string{"2,TWO"}, published(t, dir, "orders")); diff != "" {
				t.Errorf("orders after they were let pass (-want +got):\n%s", diff)
			}
			must(t, dir, nil, "verify")
		})
	}
}

// A night with deletes that is killed at any moment and run again ends with the rows of an undisturbed one.
func TestKilledIncrementalNights(t *testing.T) {
	t.Parallel()
	e := engines["PostgreSQL"](t)
	dir := newShop(t, e)
	first := lastDate(t).AddDays(-3)
	second := first.AddDays(1).String()
	e.fill(t, first)
	must(t, dir, nil, "run", "--yes", "--date", first.String())
	e.change(t, first.AddDays(1))
	before := len(ask(t, filepath.Join(dir, "state", "ledger.db"), "SELECT seq FROM events"))
	undisturbed := filepath.Join(t.TempDir(), "undisturbed")
	if err := os.CopyFS(undisturbed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	must(t, undisturbed, nil, "run", "--date", second)
	wantShop(t, undisturbed, e)
	want := contents(t, undisturbed)
	events := len(ask(t, filepath.Join(undisturbed, "state", "ledger.db"), "SELECT seq FROM events"))
	const moments = 14
	for i := range moments {
		after := before + 1 + i*(events-before-1)/moments
		t.Run(fmt.Sprintf("after event %d of %d", after, events), func(t *testing.T) {
			t.Parallel()
			copied := filepath.Join(t.TempDir(), "shop")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			killAfter(t, copied, second, after)
			must(t, copied, nil, "run", "--date", second)
			if diff := cmp.Diff(want, contents(t, copied)); diff != "" {
				t.Errorf("(-undisturbed +killed and run again):\n%s", diff)
			}
			if got := query(t, copied, "SELECT deletes FROM _daybreak.versions WHERE dataset = 'shop.orders' ORDER BY data_date"); len(got) != 2 || got[1][0] != "1" {
				t.Errorf("the versions say that %v rows were deleted", got)
			}
		})
	}
}

// Edge values of MariaDB's types, at the level rows: source, lake and warehouse take the same digest, or nothing is published.
func TestMariaDBEdgesAgreeRowByRow(t *testing.T) {
	t.Parallel()
	e := engines["MariaDB"](t)
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml": "sources:\n  shop: " + e.source + "\nstatus: {public: true}\n",
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, shop@example.com]
tables:
  shop.edges: {mode: full, key: [id], verify: rows}
`})
	e.exec(t,
		`CREATE TABLE edges (id INT UNSIGNED ZEROFILL PRIMARY KEY, t TINYINT(1), b BIGINT, u BIGINT UNSIGNED, bits BIT(20), bit BIT(1), d DECIMAL(38,10), wide DECIMAL(65,30), f FLOAT, r DOUBLE,
			day DATE, at DATETIME(6), ts TIMESTAMP(6) NULL, y YEAR, clock TIME(6), doc JSON, mood ENUM('', 'sad', 'happy'), many SET('a', 'b'), fixed BINARY(16), raw VARBINARY(20),
			old VARCHAR(20) CHARACTER SET latin1, new TEXT CHARACTER SET utf8mb4, place POINT, who UUID, whence INET6, n INT GENERATED ALWAYS AS (t * 2))`,
		`INSERT INTO edges (id, t, b, u, bits, bit, d, wide, f, r, day, at, ts, y, clock, doc, mood, many, fixed, raw, old, new, place, who, whence) VALUES
			(1, 5, -9223372036854775808, 18446744073709551615, b'10000000000000000001', b'1', -9999999999999999999999999999.9999999999, 0.000000000000000000000000000001, 16777217, 5e-324,
			'0001-01-01', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01.000001', 0, '-838:59:58.999999', '{"a": 18446744073709551616}', 'happy', 'a,b', '1', '', 'größe', '🌅 ''x''',
			ST_GeomFromText('POINT(1 2)', 4326), '123e4567-e89b-12d3-a456-426655440000', '::1'),
			(2, 0, 9223372036854775807, 0, b'0', b'0', 0.10, -0.5, -0.1, -1.7976931348623157e308, '1969-12-31', '1969-12-31 23:59:59.5', '2038-01-19 03:14:07', 2155, '00:00:00.1', '[]', '', '', X'00', X'00FF', '', '',
			ST_GeomFromText('POINT(-1 0.5)'), '00000000-0000-0000-0000-000000000000', '2001:db8::ff00:42:8329'),
			(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1e20, 123456.789e-10, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`)
	must(t, dir, nil, "run", "--yes")
	if got := query(t, dir, "SELECT level, \"rows\" FROM _daybreak.versions"); len(got) != 1 || got[0][0] != "rows" || got[0][1] != "3" {
		t.Errorf("the version says %v", got)
	}
	must(t, dir, nil, "verify")
}
