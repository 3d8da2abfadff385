package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/elt"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// incremental returns the extraction of a table with the key id and the cursor at.
func incremental(table string) elt.Extraction {
	e := extracttest.Table(table)
	e.Mode, e.Key, e.Cursor = elt.Incremental, []string{"id"}, "at"
	return e
}

func window(e elt.Extraction, attempt int, from, to time.Time) extract.Job {
	job := extracttest.Job(e, attempt)
	job.Window = &elt.Window{From: from, To: to}
	return job
}

// ids returns the first column of the rows that a window brings.
func ids(t *testing.T, url string, job extract.Job) string {
	t.Helper()
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), job)
	if err != nil {
		t.Fatal(err)
	}
	if m.Mode != elt.Incremental || m.Cursor != "at" || m.Window == nil {
		t.Errorf("the manifest says %s, %q, %v", m.Mode, m.Cursor, m.Window)
	}
	var out []string
	for _, row := range lake.Rows(t, m) {
		out = append(out, row[0])
	}
	return strings.Join(out, " ")
}

func TestWindows(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		typ     string
		zone    string
		overlap time.Duration
		rows    []string // cursor values of the rows 1, 2, 3, …
		from    time.Time
		to      time.Time
		want    string
	}{
		{"timestamptz", "", 0, []string{"2026-01-04 23:59:59.999999+00", "2026-01-05 00:00:00+00", "2026-01-05 23:59:59.999999+00", "2026-01-06 00:00:00+00"}, day(5), day(6), "2 3"},
		{"timestamptz", "", time.Hour, []string{"2026-01-04 22:59:59.999999+00", "2026-01-04 23:00:00+00", "2026-01-06 00:00:00+00"}, day(5), day(6), "2"},
		{"timestamptz", "", 0, []string{"1970-01-01 00:00:00+00", "0001-01-01 00:00:00+00", "-infinity", "2026-01-06 00:00:00+00"}, time.Time{}, day(6), ""},
		{"timestamp", "UTC", 0, []string{"2026-01-04 23:59:59.999999", "2026-01-05 00:00:00", "2026-01-06 00:00:00"}, day(5), day(6), "2"},
		{"timestamp", "America/New_York", 0, []string{"2026-01-04 18:59:59", "2026-01-04 19:00:00", "2026-01-05 18:59:59", "2026-01-05 19:00:00"}, day(5), day(6), "2 3"},
		{"date", "UTC", 0, []string{"2026-01-04", "2026-01-05", "2026-01-06"}, day(5), day(6), "2"},
		{"date", "UTC", 24 * time.Hour, []string{"2026-01-03", "2026-01-04", "2026-01-05", "2026-01-06"}, day(5), day(6), "2 3"},
		// The window begins in the hour before clocks go back: the hour that comes again reads lower.
		{"timestamp", "Europe/Berlin", 0, []string{"2025-10-26 01:59:59", "2025-10-26 02:10:00", "2025-10-26 02:50:00"},
			time.Date(2025, 10, 26, 0, 45, 0, 0, time.UTC), day(6), "2 3"},
	} {
		t.Run(c.typ+" "+c.zone+fmt.Sprint(c.overlap), func(t *testing.T) {
			url, conn := database(t, `CREATE TABLE v (id int PRIMARY KEY, at `+c.typ+` NOT NULL)`)
			for i, r := range c.rows {
				exec(t, conn, fmt.Sprintf(`INSERT INTO v VALUES (%d, '%s')`, i+1, r))
			}
			e := incremental("public.v")
			e.Overlap = c.overlap
			if c.zone != "" {
				e.CursorZone = zone(t, c.zone)
			}
			job := window(e, 1, c.from, c.to)
			if c.want == "" { // everything below: -infinity is in the window, and is refused there
				_, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), job)
				extracttest.Fails(t, err, "value_not_representable", "id = 3", "-infinity")
				exec(t, conn, `DELETE FROM v WHERE id = 3`)
				c.want = "1 2"
			}
			if got := ids(t, url, job); got != c.want {
				t.Errorf("the window brought %q, expected %q", got, c.want)
			}
		})
	}
}

func TestNullCursor(t *testing.T) {
	url, _ := database(t, `CREATE TABLE v (id int, part text, at timestamptz, PRIMARY KEY (id, part))`, `INSERT INTO v VALUES (1, 'a', '2026-01-05 10:00Z'), (2, 'b', NULL)`)
	e := incremental("public.v")
	e.Key = []string{"id", "part"}
	job := window(e, 1, time.Time{}, time.Date(2026, 1, 6, 0, 0, 0, 0, time.UTC))
	_, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), job)
	extracttest.Fails(t, err, "cursor_null", "id = 2, part = b", "public.v")
}

// TestWindowStaysOpen holds a transaction open that began before the window's end.
func TestWindowStaysOpen(t *testing.T) {
	url, conn := database(t, `CREATE TABLE v (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`)
	writer := connect(t, url)
	exec(t, writer, `BEGIN`, `INSERT INTO v VALUES (1)`)
	// The window ends once the transaction has begun, and before the snapshot.
	var to time.Time
	if err := conn.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&to); err != nil {
		t.Fatal(err)
	}
	e := incremental("public.v")
	other := extracttest.Table("public.v")
	other.Dataset = "shop.whole"
	lake := &extracttest.Lake{}
	tables := []elt.Extraction{e, other}
	night := extracttest.New(t, newSource(t, url), lake).Begin("r1", tables, tables)
	defer night.Close()
	_, err := night.Extract(t.Context(), window(e, 1, to.Add(-time.Hour), to), nothing)
	extracttest.Fails(t, err, extract.CodeWindowOpen, "shop.v", "open since")
	if f := elt.NewFailure(err); f.Class != elt.Budget {
		t.Errorf("an open window is %s", f.Class)
	}
	if _, err := night.Extract(t.Context(), extracttest.Job(other, 1), nothing); err != nil {
		t.Errorf("the other table: %v", err)
	}
	exec(t, writer, `COMMIT`)
	m, err := night.Extract(t.Context(), window(e, 2, to.Add(-time.Hour), to), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows() != 1 || m.Source.CrossTableConsistent {
		t.Errorf("after the commit %d rows came, in %+v", m.Rows(), m.Source)
	}
	_, err = extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), window(e, 3, to, time.Now().Add(time.Hour)))
	extracttest.Fails(t, err, extract.CodeWindowOpen, "the source's clock")
}

// TestHiddenTransaction: a role that may not see when others began counts what stays open as too old.
func TestHiddenTransaction(t *testing.T) {
	url, conn := database(t, `CREATE TABLE v (id int PRIMARY KEY, at timestamptz NOT NULL)`, `CREATE ROLE blind LOGIN`, `GRANT SELECT ON v TO blind`)
	t.Cleanup(func() { afterwards(t, url, `DROP OWNED BY blind`, `DROP ROLE blind`) })
	blind := strings.Replace(url, conn.Config().User+"@", "blind@", 1)
	e := incremental("public.v")
	to := time.Now().Add(-time.Hour)
	writer := connect(t, url)
	exec(t, writer, `BEGIN`, `SELECT 1`)
	source := newSourceOf(t, postgres.Options{URL: blind, TransactionWait: time.Millisecond}) // in vain
	_, err := extracttest.Extract(t, extracttest.New(t, source, &extracttest.Lake{}), window(e, 1, time.Time{}, to))
	extracttest.Fails(t, err, extract.CodeWindowOpen, "pg_read_all_stats")
	exec(t, conn, `GRANT pg_read_all_stats TO blind`)
	if _, err := extracttest.Extract(t, extracttest.New(t, newSource(t, blind), &extracttest.Lake{}), window(e, 1, time.Time{}, to)); err != nil {
		t.Errorf("a transaction that began after the window: %v", err)
	}
}

func TestMasks(t *testing.T) {
	url, _ := database(t, `CREATE TABLE v (id int PRIMARY KEY, email text, n numeric(10,2), note text, secret text)`,
		`INSERT INTO v VALUES (1, 'a@example.com', 1.50, 'x', 's'), (2, NULL, NULL, NULL, NULL), (3, 'a@example.com', 1.5, '', 's')`)
	e := extracttest.Table("public.v")
	e.Hash, e.Redact, e.Exclude = []string{"email", "n"}, []string{"note"}, []string{"secret"}
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), extracttest.Job(e, 1))
	if err != nil {
		t.Fatal(err)
	}
	// HMAC-SHA-256 of "a@example.com" and of "1.50" under "a key".
	const mail, number = "10db37347aecf9de936509c1f62399b6cce2422a07d3a5a6c7595cefdc80fd6f", "6266e19ffe58089f7381267c0320fd4c42bebf2a2ec7258a00a60e70580cdce1"
	want := [][]string{{"1", mail, number, "***"}, {"2", "NULL", "NULL", "NULL"}, {"3", mail, number, "***"}}
	if diff := cmp.Diff(want, lake.Rows(t, m)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if m.MaskKey == "" || m.Schema[1].Masked != "hash" || m.Schema[3].Masked != "redact" || m.Schema[1].Type.Kind != elt.String {
		t.Errorf("the manifest does not tell of the masks: %q, %+v", m.MaskKey, m.Schema)
	}
	x := extract.New(extract.Options{Sources: map[elt.SourceName]extract.Source{"shop": newSource(t, url)}, Lake: lake, Log: extracttest.Log(t), Now: time.Now})
	_, err = extracttest.Extract(t, x, extracttest.Job(e, 2))
	extracttest.Fails(t, err, "mask_key_missing", "shop.v")
}

// byNumber returns a job of a night that goes by an integer cursor, after the night before.
func byNumber(e elt.Extraction, attempt int, overlap int64, before *elt.Manifest) extract.Job {
	e.OverlapNumbers = &overlap
	job := extracttest.Job(e, attempt)
	job.Published = before
	return job
}

// TestNumbers: a number that an open transaction has taken is below the highest that was brought, and comes when it is
// committed, without any overlap.
func TestNumbers(t *testing.T) {
	url, conn := database(t, `CREATE TABLE v (id bigint PRIMARY KEY, at bigint)`, `INSERT INTO v SELECT n, n FROM generate_series(1, 5) n`)
	lake := &extracttest.Lake{}
	x := extracttest.New(t, newSource(t, url), lake)
	e := incremental("public.v")
	bring := func(attempt int, overlap int64, before *elt.Manifest, want string) *elt.Manifest {
		t.Helper()
		m, err := extracttest.Extract(t, x, byNumber(e, attempt, overlap, before))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range lake.Rows(t, m) {
			got = append(got, row[0])
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want || m.Window != nil || m.Range != nil || m.Numbers == nil {
			t.Errorf("the night brought %v, expected %s; it says %+v", got, want, m.Numbers)
		}
		return m
	}
	first := bring(1, 0, nil, "1 2 3 4 5")
	if *first.Numbers.High != 5 || *first.Numbers.Settled != 5 || !first.Numbers.First {
		t.Errorf("the first night says %+v", first.Numbers)
	}
	writer := connect(t, url)
	exec(t, writer, `BEGIN`, `INSERT INTO v VALUES (6, 6)`)
	exec(t, conn, `INSERT INTO v VALUES (7, 7)`)
	second := bring(2, 0, first, "5 7")
	if *second.Numbers.High != 7 || *second.Numbers.Settled != 5 || second.Source.OpenSince.IsZero() {
		t.Errorf("beside an open transaction the night says %+v, %s", second.Numbers, second.Source.OpenSince)
	}
	exec(t, writer, `COMMIT`)
	third := bring(3, 0, second, "5 6 7")
	if *third.Numbers.Settled != 7 {
		t.Errorf("the third night says %+v", third.Numbers)
	}
	bring(4, 2, third, "5 6 7")
	exec(t, conn, `DELETE FROM v`)
	if empty := bring(5, 0, third, ""); *empty.Numbers.High != 7 || *empty.Numbers.Settled != 7 {
		t.Errorf("a night without rows says %+v", empty.Numbers)
	}
}

func TestNullCursorPolicies(t *testing.T) {
	url, _ := database(t, `CREATE TABLE v (id int PRIMARY KEY, at timestamptz)`, `INSERT INTO v VALUES (1, '2026-01-05 10:00Z'), (2, NULL), (3, NULL), (4, '2026-01-06 00:00Z')`)
	to := time.Date(2026, 1, 6, 0, 0, 0, 0, time.UTC)
	for policy, want := range map[elt.NullCursors]string{elt.NullsInclude: "1 2 3", elt.NullsSkip: "1"} {
		e := incremental("public.v")
		e.NullCursors = policy
		lake := &extracttest.Lake{}
		m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), window(e, 1, to.AddDate(0, 0, -1), to))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range lake.Rows(t, m) {
			got = append(got, row[0])
		}
		if strings.Join(got, " ") != want || m.NullCursors != 2 || m.NullPolicy != policy {
			t.Errorf("%s brought %v and says that %d rows have no cursor", policy, got, m.NullCursors)
		}
	}
}

// TestKeySet: every key is read in the snapshot of the rows, whatever their cursors are, hashed as they are.
func TestKeySet(t *testing.T) {
	url, _ := database(t, `CREATE TABLE v (id int, part text, at timestamptz NOT NULL, PRIMARY KEY (id, part))`,
		`INSERT INTO v VALUES (1, 'a', '2020-01-01Z'), (2, 'b', '2026-01-05 10:00Z'), (3, 'c', '2030-01-01Z')`)
	e := incremental("public.v")
	e.Key, e.Hash, e.Deletes = []string{"id", "part"}, []string{"part"}, elt.DeleteRule{Mode: elt.DeletesByKey, Max: 0.25}
	to := time.Date(2026, 1, 6, 0, 0, 0, 0, time.UTC)
	job := window(e, 1, to.AddDate(0, 0, -1), to)
	job.Keys = true
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), job)
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows() != 1 || m.Keys == nil || m.Keys.Rows() != 3 || m.Keys.Max != 0.25 || m.Keys.Stats.Rows != 3 || len(m.Keys.Schema) != 2 || m.Keys.Schema[1].Masked != extract.MaskHash {
		t.Errorf("%d rows, keys %+v", m.Rows(), m.Keys)
	}
	if diff := cmp.Diff([]string{"part"}, m.Uncompared); diff != "" {
		t.Errorf("the source cannot vouch for (-want +got):\n%s", diff)
	}
	keys := *m
	keys.Schema, keys.Parts, keys.Stats = m.Keys.Schema, m.Keys.Parts, m.Keys.Stats
	keys.Keys = nil
	if rows := lake.Rows(t, &keys); len(rows) != 3 || rows[2][0] != "3" || len(rows[2][1]) != 64 {
		t.Errorf("the keys are %v", rows)
	}
}
