package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// nothing is a progress callback for who does not care.
func nothing(elt.Progress) {}

// TestOneSnapshotUnderWriters moves money between two tables while both are extracted, many times over: their
// sum must always be what it was.
func TestOneSnapshotUnderWriters(t *testing.T) {
	url, conn := database(t, `CREATE TABLE a (id int PRIMARY KEY, n bigint)`, `CREATE TABLE b (id int PRIMARY KEY, n bigint)`,
		`INSERT INTO a SELECT i, 1000 FROM generate_series(1, 500) i`, `INSERT INTO b SELECT i, 0 FROM generate_series(1, 500) i`)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	moved := make(chan struct{}, 1)
	writers.Go(func() {
		tick := time.NewTicker(time.Millisecond) // readers have to do something, too
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			<-tick.C
			id := i%500 + 1
			// One statement is one transaction.
			_, err := conn.Exec(ctx, fmt.Sprintf(`WITH x AS (UPDATE a SET n = n - 1 WHERE id = %d) UPDATE b SET n = n + 1 WHERE id = %d`, id, id))
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			select {
			case moved <- struct{}{}:
			default:
			}
		}
	})
	source := newSource(t, url)
	for round := range 10 {
		testenv.Receive(t, "something is written", moved)
		lake := &extracttest.Lake{}
		tables := []elt.Extraction{extracttest.Table("public.a"), extracttest.Table("public.b")}
		night := extracttest.New(t, source, lake).Begin("r1", tables, tables)
		var total int64
		for _, e := range tables {
			m, err := night.Extract(t.Context(), extracttest.Job(e, round), nothing)
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			if _, err := fmt.Sscan(m.Stats.Columns[1].Sum, &sum); err != nil {
				t.Fatal(err)
			}
			total += sum
			if !m.Source.CrossTableConsistent {
				t.Errorf("%s is said not to be consistent", e.Dataset)
			}
			testenv.Receive(t, "something is written between the tables", moved)
		}
		if err := night.Close(); err != nil {
			t.Fatal(err)
		}
		if total != 500_000 {
			t.Fatalf("the tables add up to %d, not 500000", total)
		}
	}
	stop()
	writers.Wait()
}

// TestTruncateWaits holds the snapshot's locks: a TRUNCATE must not empty a table that is still to be read.
func TestTruncateWaits(t *testing.T) {
	url, conn := database(t, `CREATE TABLE a AS SELECT generate_series(1, 10) AS n`, `CREATE TABLE b AS SELECT generate_series(1, 20) AS n`,
		`CREATE MATERIALIZED VIEW v AS SELECT n FROM b`)
	lake := &extracttest.Lake{}
	tables := []elt.Extraction{extracttest.Table("public.a"), extracttest.Table("public.b"), extracttest.Table("public.v")}
	night := extracttest.New(t, newSource(t, url), lake).Begin("r1", tables, tables)
	defer night.Close()
	read := func(e elt.Extraction, rows int64) {
		t.Helper()
		m, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
		if err != nil {
			t.Fatal(err)
		}
		if m.Rows() != rows {
			t.Errorf("%s has %d rows, expected %d", e.Dataset, m.Rows(), rows)
		}
	}
	read(tables[0], 10)
	for _, statement := range []string{`TRUNCATE b`, `REFRESH MATERIALIZED VIEW v`, `ALTER TABLE b ADD COLUMN x int DEFAULT 1`} {
		_, err := conn.Exec(t.Context(), `SET lock_timeout = '100ms'; `+statement)
		if err == nil || !strings.Contains(err.Error(), "lock timeout") {
			t.Errorf("%s was not held up by the snapshot: %v", statement, err)
		}
	}
	exec(t, conn, `DELETE FROM b`)
	read(tables[1], 20)
	read(tables[2], 20)
	// The last table was the last user: production has its locks back before the night is closed.
	exec(t, conn, `SET lock_timeout = '120s'`, `TRUNCATE b`)
}

// TestLostSnapshot cuts the keeper's connection between two tables.
func TestLostSnapshot(t *testing.T) {
	url, conn := database(t, `CREATE TABLE a AS SELECT generate_series(1, 10) AS n`, `CREATE TABLE b AS SELECT generate_series(1, 20) AS n`)
	lake := &extracttest.Lake{}
	tables := []elt.Extraction{extracttest.Table("public.a"), extracttest.Table("public.b")}
	night := extracttest.New(t, newSource(t, url), lake).Begin("r1", tables, tables)
	defer night.Close()
	first, err := night.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing)
	if err != nil {
		t.Fatal(err)
	}
	cut(t, conn)
	var told []elt.Progress
	second, err := night.Extract(t.Context(), extracttest.Job(tables[1], 1), func(p elt.Progress) { told = append(told, p) })
	if err != nil {
		t.Fatal(err)
	}
	if last := told[len(told)-1]; last.Rows != 20 || !strings.Contains(last.Note, "read again from its beginning") {
		t.Errorf("what is told in the end is %+v", last)
	}
	if !first.Source.CrossTableConsistent || second.Source.CrossTableConsistent {
		t.Errorf("consistent are the first: %v, the second: %v", first.Source.CrossTableConsistent, second.Source.CrossTableConsistent)
	}
	if first.Source.Snapshot == second.Source.Snapshot || second.Rows() != 20 {
		t.Errorf("the second table was read as %+v with %d rows", second.Source, second.Rows())
	}
}

// cut ends every session of Daybreak. Between the end of one and that of the next, whoever looks after the snapshot may join
// what is left of it: they are gone when none is there to be ended.
func cut(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	const end = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'daybreak' AND datname = current_database()`
	testenv.Eventually(t, "every session is gone", func() bool {
		var ended int
		if err := conn.QueryRow(t.Context(), end).Scan(&ended); err != nil {
			t.Fatal(err)
		}
		return ended == 0
	})
}

// TestCutWhileReading cuts the connections in the middle of a table, from within the lake.
func TestCutWhileReading(t *testing.T) {
	url, conn := database(t, `CREATE TABLE a AS SELECT i AS n, repeat(md5(i::text), 40) AS x FROM generate_series(1, 40000) i`)
	var once sync.Once
	lake := &extracttest.Lake{Before: func(string) error {
		once.Do(func() { cut(t, conn) })
		return nil
	}}
	night := extracttest.New(t, newSource(t, url), lake).Begin("r1", nil, nil)
	defer night.Close()
	m, err := night.Extract(t.Context(), extracttest.Job(extracttest.Table("public.a"), 1), nothing)
	if err != nil {
		t.Fatal(err)
	}
	// Parts of the first snapshot may be in the lake; no manifest names them.
	if m.Rows() != 40000 || len(lake.Rows(t, m)) != 40000 || m.Source.Epoch != 2 {
		t.Errorf("%d rows came, of %+v", m.Rows(), m.Source)
	}
}

// TestLakeFailure: what the lake refuses is the lake's error, and the snapshot stays.
func TestLakeFailure(t *testing.T) {
	url, _ := database(t, `CREATE TABLE a AS SELECT generate_series(1, 300000) AS n`)
	full := &elt.Error{Code: "lake_full", Class: elt.Quota, What: "the lake is full", Do: "make room"}
	fail := true
	lake := &extracttest.Lake{Before: func(string) error {
		if fail {
			return full
		}
		return nil
	}}
	e := extracttest.Table("public.a")
	night := extracttest.New(t, newSource(t, url), lake).Begin("r1", []elt.Extraction{e}, []elt.Extraction{e})
	defer night.Close()
	_, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
	if !errors.Is(err, full) {
		t.Fatalf("the error is %v", err)
	}
	fail = false
	m, err := night.Extract(t.Context(), extracttest.Job(e, 2), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Source.CrossTableConsistent || m.Rows() != 300000 {
		t.Errorf("the second attempt is %+v with %d rows", m.Source, m.Rows())
	}
}

// TestSideBySide extracts more tables at once than there are connections.
func TestSideBySide(t *testing.T) {
	url, conn := database(t)
	var tables []elt.Extraction
	for i := range 8 {
		exec(t, conn, fmt.Sprintf(`CREATE TABLE t%d AS SELECT generate_series(1, 20000) AS n`, i))
		tables = append(tables, extracttest.Table(fmt.Sprintf("public.t%d", i)))
	}
	lake := &extracttest.Lake{}
	night := extracttest.New(t, newSource(t, url), lake).Begin("r1", tables, tables)
	defer night.Close()
	var all sync.WaitGroup
	snapshots := make([]string, len(tables))
	for i, e := range tables {
		all.Go(func() {
			m, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
			if err != nil {
				t.Error(err)
				return
			}
			snapshots[i] = m.Source.Snapshot
			if m.Rows() != 20000 || !m.Source.CrossTableConsistent {
				t.Errorf("%s has %d rows of %+v", e.Dataset, m.Rows(), m.Source)
			}
		})
	}
	all.Wait()
	for _, s := range snapshots {
		if s != snapshots[0] {
			t.Fatalf("the snapshots differ: %v", snapshots)
		}
	}
}

// TestOneBadTableAlone: what cannot be read fails alone.
func TestOneBadTableAlone(t *testing.T) {
	url, conn := database(t, `CREATE TABLE good AS SELECT 1 AS n`, `CREATE TABLE held AS SELECT 1 AS n`, `CREATE TABLE secret AS SELECT 1 AS n`)
	role := "reader_" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "_"))
	exec(t, conn, `CREATE ROLE `+role+` LOGIN`, `GRANT SELECT ON good, held TO `+role)
	t.Cleanup(func() { afterwards(t, url, `DROP OWNED BY `+role, `DROP ROLE `+role) })
	exec(t, conn, `BEGIN`, `LOCK TABLE held IN ACCESS EXCLUSIVE MODE`)
	tables := []elt.Extraction{extracttest.Table("public.good"), extracttest.Table("public.held"),
		extracttest.Table("public.secret"), extracttest.Table("public.gone")}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	lake := &extracttest.Lake{}
	night := extracttest.New(t, newSource(t, strings.Replace(url, config.User+"@", role+"@", 1)), lake).Begin("r1", tables, tables)
	defer night.Close()
	if m, err := night.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing); err != nil || m.Rows() != 1 {
		t.Errorf("the good table: %v", err)
	}
	for i, want := range []elt.Code{"source_lock_timeout", "permission_denied", "table_missing"} {
		_, err := night.Extract(t.Context(), extracttest.Job(tables[i+1], 1), nothing)
		extracttest.Fails(t, err, want, tables[i+1].Table)
	}
	exec(t, conn, `COMMIT`)
	m, err := night.Extract(t.Context(), extracttest.Job(tables[1], 2), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if m.Source.CrossTableConsistent {
		t.Error("a second snapshot is said to be consistent with the first")
	}
}

// TestUnreachable: each way not to get in has its own code.
func TestUnreachable(t *testing.T) {
	server := testenv.Postgres(t)
	e := extracttest.Table("public.a")
	x := extracttest.New(t, newSource(t, strings.Replace(server.URL, "?", "_not?", 1)), &extracttest.Lake{})
	_, err := extracttest.Extract(t, x, extracttest.Job(e, 1))
	if f := elt.NewFailure(err); f.Code != "source_database_missing" {
		t.Errorf("a missing database is %+v", f)
	}
	address := connect(t, server.URL).PgConn().Conn().RemoteAddr().String()
	x = extracttest.New(t, newSource(t, strings.Replace(server.URL, address, testenv.NobodyListens(t), 1)), &extracttest.Lake{})
	_, err = extracttest.Extract(t, x, extracttest.Job(e, 1))
	extracttest.Fails(t, err, "source_unreachable", "shop", "127.0.0.1")
	problems := x.Check(t.Context(), []elt.Extraction{e, extracttest.Table("public.b")}, nil)
	if len(problems) != 1 || problems[0].Code != "source_unreachable" {
		t.Errorf("check says %v", problems)
	}
}

// TestCancelled: a cancelled context ends the extraction, and leaves nothing behind. Who is told to begin again, after a lease was
// lost, finds the snapshot as it was.
func TestCancelled(t *testing.T) {
	url, conn := database(t, `CREATE FUNCTION gate() RETURNS text LANGUAGE plpgsql VOLATILE SET lock_timeout = 0 AS
		$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN 'open'; END $$; CREATE VIEW slow AS SELECT gate() AS n`)
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_lock(1)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	lost := errors.New("the lease was lost")
	e := extracttest.Table("public.slow")
	night := extracttest.New(t, newSource(t, url), &extracttest.Lake{}).Begin("r1", []elt.Extraction{e}, []elt.Extraction{e})
	done := make(chan error)
	go func() {
		_, err := night.Extract(ctx, extracttest.Job(e, 1), nothing)
		done <- err
	}()
	sessions := func(where string) (n int) {
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'daybreak' AND `+where).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	testenv.Eventually(t, "the view is read", func() bool { return sessions(`query LIKE 'COPY%'`) == 1 })
	cancel(lost)
	if err := testenv.Receive(t, "the extraction ends with its context", done); !errors.Is(err, lost) {
		t.Errorf("the error is %v", err)
	}
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_unlock(1)`); err != nil {
		t.Fatal(err)
	}
	if m, err := night.Extract(t.Context(), extracttest.Job(e, 2), nothing); err != nil || m.Rows() != 1 || !m.Source.CrossTableConsistent {
		t.Errorf("it is read again: %+v, %v", m, err)
	}
	if err := night.Close(); err != nil {
		t.Error(err)
	}
	testenv.Eventually(t, "no session is left", func() bool { return sessions(`true`) == 0 })
}
