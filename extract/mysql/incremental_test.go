package mysql_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// incremental returns the extraction of a table with the key id and the cursor at.
func incremental(table string, zone *time.Location) elt.Extraction {
	e := extracttest.Table(table)
	e.Mode, e.Key, e.Cursor, e.CursorZone = elt.Incremental, []string{"id"}, "at", zone
	return e
}

func window(e elt.Extraction, attempt int, from, to time.Time) extract.Job {
	job := extracttest.Job(e, attempt)
	job.Window = &elt.Window{From: from, To: to}
	return job
}

func TestWindows(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	server, db := database(t)
	source := newSource(t, server.URL)
	for i, c := range []struct {
		declared string
		zone     *time.Location
		overlap  time.Duration
		from     time.Time
		rows     []string // cursor values of the rows 1, 2, 3, …
		want     string   // ids, or the code of the error
	}{
		{"TIMESTAMP(6) NOT NULL", nil, 0, day(5), []string{"2026-01-04 23:59:59.999999", "2026-01-05 00:00:00", "2026-01-05 23:59:59.999999", "2026-01-06 00:00:00"}, "2 3"},
		{"TIMESTAMP(6) NOT NULL", nil, time.Hour, day(5), []string{"2026-01-04 22:59:59.999999", "2026-01-04 23:00:00", "2026-01-06 00:00:00"}, "2"},
		{"TIMESTAMP NOT NULL", nil, 0, time.Time{}, []string{"1970-01-01 00:00:01", "2026-01-05 00:00:00", "2026-01-06 00:00:00"}, "1 2"},
		{"DATETIME(6) NOT NULL", time.UTC, 0, day(5), []string{"2026-01-04 23:59:59.999999", "2026-01-05 00:00:00", "2026-01-06 00:00:00"}, "2"},
		{"DATETIME NOT NULL", newYork, 0, day(5), []string{"2026-01-04 18:59:59", "2026-01-04 19:00:00", "2026-01-05 18:59:59", "2026-01-05 19:00:00"}, "2 3"},
		{"DATE NOT NULL", time.UTC, 0, day(5), []string{"2026-01-04", "2026-01-05", "2026-01-06"}, "2"},
		{"DATETIME NOT NULL", time.UTC, 0, time.Time{}, []string{"0000-00-00 00:00:00"}, "cursor_null"},
		{"DATETIME NOT NULL", time.UTC, 0, day(5), []string{"0000-00-00 00:00:00"}, "cursor_null"},
		{"TIMESTAMP NOT NULL", nil, 0, day(5), []string{"0000-00-00 00:00:00"}, "cursor_null"},
		{"DATE NOT NULL", time.UTC, 0, day(5), []string{"0000-00-00"}, "cursor_null"},
		{"DATETIME NOT NULL", time.UTC, 0, day(5), []string{"2026-01-00 00:00:00", "2026-01-05 00:00:00"}, "2"}, // before the window
		{"DATETIME NOT NULL", time.UTC, 0, day(1), []string{"2026-01-00 00:00:00", "2026-01-05 00:00:00"}, "2"},
		{"DATETIME NOT NULL", time.UTC, 0, time.Time{}, []string{"2026-01-00 00:00:00"}, "value_not_representable"},
		{"DATETIME NULL", time.UTC, 0, day(5), []string{"NULL"}, "cursor_null"},
		{"DATETIME NOT NULL", nil, 0, day(5), nil, "cursor_zone_missing"},
		{"INT NOT NULL", nil, 0, day(5), nil, "cursor_overlap"},
		{"TEXT NOT NULL", nil, 0, day(5), nil, "cursor_type"},
	} {
		t.Run(fmt.Sprint(c.declared, " ", i), func(t *testing.T) {
			exec(t, db, `DROP TABLE IF EXISTS v`, `CREATE TABLE v (id INT PRIMARY KEY, at `+c.declared+`)`)
			for i, r := range c.rows {
				exec(t, db, strings.ReplaceAll(fmt.Sprintf(`INSERT INTO v VALUES (%d, '%s')`, i+1, r), "'NULL'", "NULL"))
			}
			e := incremental("v", c.zone)
			e.Overlap = c.overlap
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, source, lake), window(e, 1, c.from, day(6)))
			if strings.Contains(c.want, "_") {
				named := `"at"`
				if len(c.rows) > 0 {
					named = "id = 1"
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
			if got := strings.Join(ids, " "); got != c.want || m.Mode != elt.Incremental || m.Window == nil {
				t.Errorf("the window brought %q, expected %q; the manifest says %s, %v", got, c.want, m.Mode, m.Window)
			}
		})
	}
}

// TestWindowStaysOpen holds a transaction open that began before the window's end and has written.
func TestWindowStaysOpen(t *testing.T) {
	server, db := database(t, `CREATE TABLE v (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL)`)
	writer := connect(t, server, "root")
	exec(t, writer, `BEGIN`, `INSERT INTO v VALUES (1, NOW(6))`)
	// The window ends a second after the transaction began, and before the snapshot.
	to := clock(t, db).Truncate(time.Second).Add(time.Second)
	testenv.Eventually(t, "the window is over", func() bool { return clock(t, db).After(to.Add(time.Second)) })
	e := incremental("v", nil)
	lake := &extracttest.Lake{}
	tables := []elt.Extraction{e}
	night := extracttest.New(t, newSource(t, server.URL), lake).Begin("r1", tables, tables)
	defer night.Close()
	_, err := night.Extract(t.Context(), window(e, 1, to.Add(-time.Hour), to), nothing)
	extracttest.Fails(t, err, extract.CodeWindowOpen, "shop.v", "open since")
	// The server makes its list of transactions anew once nobody has read it for a tenth of a second.
	exec(t, writer, `COMMIT`, `DO SLEEP(0.3)`)
	m, err := night.Extract(t.Context(), window(e, 2, to.Add(-time.Hour), to), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows() != 1 {
		t.Errorf("after the commit %d rows came", m.Rows())
	}
	_, err = extracttest.Extract(t, extracttest.New(t, newSource(t, server.URL), lake), window(e, 3, to, time.Now().Add(time.Hour)))
	extracttest.Fails(t, err, extract.CodeWindowOpen, "the source's clock")
}

// clock reads the server's clock.
func clock(t *testing.T, db *sql.DB) time.Time {
	t.Helper()
	var seconds float64
	if err := db.QueryRowContext(t.Context(), `SELECT UNIX_TIMESTAMP(NOW(6))`).Scan(&seconds); err != nil {
		t.Fatal(err)
	}
	return time.UnixMicro(int64(seconds * 1e6))
}

// TestBlindUser: who may not see open transactions reads no windows, and is told why.
func TestBlindUser(t *testing.T) {
	server, db := database(t, `CREATE TABLE v (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL)`)
	url := user(t, server, db, "blind", "SELECT ON *.*")
	job := window(incremental("v", nil), 1, time.Time{}, time.Now().Add(-time.Hour))
	_, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), job)
	extracttest.Fails(t, err, "permission_denied", "GRANT PROCESS")
	exec(t, db, `GRANT PROCESS ON *.* TO blind@'127.0.0.1'`)
	if _, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), job); err != nil {
		t.Error(err)
	}
}

func TestMasks(t *testing.T) {
	server, _ := database(t, `CREATE TABLE v (id INT PRIMARY KEY, email VARCHAR(40) CHARACTER SET latin1, n DECIMAL(10,2), at TIMESTAMP NULL, note BLOB, secret TEXT)`,
		`INSERT INTO v VALUES (1, 'a@example.com', 1.50, '2026-01-05 10:00:00', 'x', 's'), (2, NULL, NULL, NULL, NULL, NULL), (3, 'a@example.com', 1.5, '2026-01-05 10:00:00', '', 's')`)
	e := extracttest.Table("v")
	e.Hash, e.Redact, e.Exclude = []string{"email", "n"}, []string{"at", "note"}, []string{"secret"}
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, server.URL), lake), extracttest.Job(e, 1))
	if err != nil {
		t.Fatal(err)
	}
	// The same HMAC-SHA-256 as the other sources' tests have it: hashed columns can be joined across sources.
	const mail, number = "10db37347aecf9de936509c1f62399b6cce2422a07d3a5a6c7595cefdc80fd6f", "6266e19ffe58089f7381267c0320fd4c42bebf2a2ec7258a00a60e70580cdce1"
	want := [][]string{{"1", mail, number, "***", "***"}, {"2", "NULL", "NULL", "NULL", "NULL"}, {"3", mail, number, "***", "***"}}
	if diff := cmp.Diff(want, lake.Rows(t, m)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if m.MaskKey == "" || m.Schema[1].Masked != "hash" || m.Schema[3].Masked != "redact" || m.Schema[1].Type.Kind != elt.String {
		t.Errorf("the manifest does not tell of the masks: %q, %+v", m.MaskKey, m.Schema)
	}
}

// TestManyRows reads more than one batch, with a composite key whose columns are NULL nowhere and equal often.
func TestManyRows(t *testing.T) {
	server, _ := database(t, `CREATE TABLE v (part INT, id BIGINT UNSIGNED, price DECIMAL(12,2), at DATETIME(6), state ENUM('open', 'closed'), comment VARCHAR(80), PRIMARY KEY (part, id))`,
		`INSERT INTO v SELECT seq % 7, seq, seq / 100, '2026-01-01' + INTERVAL seq SECOND, IF(seq % 3 = 0, NULL, 'open'), CONCAT('row ', seq) FROM seq_1_to_125000`)
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, server.URL), lake), extracttest.Job(extracttest.Table("v"), 1))
	if err != nil {
		t.Fatal(err)
	}
	const n = 125_000
	if rows := lake.Rows(t, m); len(rows) != n {
		t.Errorf("%d rows came", len(rows))
	}
	if s := m.Stats.Columns; s[1].Sum != fmt.Sprint(n*(n+1)/2) || s[2].Sum != fmt.Sprint(n*(n+1)/2) || s[4].NonNull != n-n/3 {
		t.Errorf("the facts are %+v", s)
	}
}

// TestDiscover proposes keys, cursors and masks.
func TestDiscover(t *testing.T) {
	server, _ := database(t, `CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(40), updated_at TIMESTAMP(6) NOT NULL)`, `CREATE VIEW mails AS SELECT email FROM users`,
		`INSERT INTO users SELECT seq, 'x', NOW(6) FROM seq_1_to_100`, `ANALYZE TABLE users`)
	tables, err := newSource(t, server.URL).Tables(t.Context())
	if err != nil || len(tables) != 2 {
		t.Fatal(tables, err)
	}
	view, users := tables[0], tables[1]
	if view.Name != "mails" || view.Mode != elt.Full || view.Rows != -1 {
		t.Errorf("the view is %+v", view)
	}
	if users.Mode != elt.Full || users.Cursor != "updated_at" || !cmp.Equal(users.Key, []string{"id"}) || !cmp.Equal(users.Personal, []string{"email"}) || users.Rows != 100 || users.Bytes == 0 {
		t.Errorf("the table is %+v", users)
	}
}
