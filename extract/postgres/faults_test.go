package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// wary returns a source of small chunks. It has patience with a machine that is busy; hurried takes it away.
func wary(t testing.TB, url string, change func(*postgres.Options)) *postgres.Source {
	t.Helper()
	o := postgres.Options{
		Name: "shop", URL: url, Log: extracttest.Log(t), Connections: 3, ChunkBytes: 1 << 20,
		Budget: extract.Budget{LockTimeout: 30 * time.Second},
	}
	if change != nil {
		change(&o)
	}
	s, err := postgres.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hurried is for a test in which the server falls silent.
func hurried(o *postgres.Options) { o.Silence, o.Budget.LockTimeout = time.Second, time.Second }

var twoTables = []string{`CREATE TABLE small AS SELECT generate_series(1, 10) AS n`,
	fmt.Sprintf(`CREATE TABLE large AS SELECT i AS n, i || '-' || repeat(md5(i::text), 20) AS s FROM generate_series(1, %d) i`, extracttest.LargeRows)}

func TestNetworks(t *testing.T) {
	url, _ := database(t, twoTables...)
	moments := []extracttest.Moment{extracttest.Connecting, extracttest.BetweenTables, extracttest.MidChunk, extracttest.BetweenChunks, extracttest.Ending}
	extracttest.Networks(t, url, "", moments, func(t *testing.T, url string, hurry bool, lake *extracttest.Lake) *extract.Extractor {
		if !hurry {
			return extracttest.New(t, wary(t, url, nil), lake)
		}
		return extract.New(extract.Options{
			Sources: map[elt.SourceName]extract.Source{"shop": wary(t, url, hurried)}, Lake: lake, Log: extracttest.Log(t), Rest: 200 * time.Millisecond,
		})
	})
}

// TestOneConnectionCostsOneChunk ends every connection that reads once it has brought a few chunks, and none of those
// that keep the snapshot: the table comes whole, in the one snapshot of the night.
func TestOneConnectionCostsOneChunk(t *testing.T) {
	url, _ := database(t, twoTables...)
	p := testenv.Toxiproxy(t).Before(t, url)
	lake := &extracttest.Lake{}
	small, large, err := extracttest.Night(t, extracttest.New(t, wary(t, p.URL, nil), lake), lake, extracttest.BetweenTables, func() {
		p.Add(t, testenv.LimitData(5<<20), testenv.Answers)
	})
	if err != nil {
		t.Fatal(err)
	}
	extracttest.Exact(t, lake, large)
	extracttest.OneMoment(t, small, large)
}

// TestSilentKeeper has the first keeper fall silent, as behind a firewall that forgot its connection, and then cuts the
// second one: whoever took the first one's place has the snapshot still.
func TestSilentKeeper(t *testing.T) {
	url, conn := database(t, twoTables...)
	const keepers = `SELECT pid FROM pg_locks WHERE relation = 'large'::regclass AND granted AND mode = 'AccessShareLock' GROUP BY pid ORDER BY pid`
	count := func() (n int) {
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM (`+keepers+`) AS k`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	p := testenv.Toxiproxy(t).Before(t, url)
	lake := &extracttest.Lake{}
	small, large, err := extracttest.Night(t, extracttest.New(t, wary(t, p.URL, nil), lake), lake, extracttest.BetweenTables, func() {
		for range 3 { // as many as there ever were: none is one of the first two in the end
			testenv.Eventually(t, "two keep the snapshot", func() bool { return count() == 2 })
			var first uint32
			if err := conn.QueryRow(t.Context(), keepers+` LIMIT 1`).Scan(&first); err != nil {
				t.Fatal(err)
			}
			exec(t, conn, fmt.Sprintf(`SELECT pg_terminate_backend(%d, 60000)`, first))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	extracttest.Exact(t, lake, large)
	extracttest.OneMoment(t, small, large)
}

// TestDefinitionsInMidRun has somebody alter what is being read. Who waits for longer than the budget allows is let
// through, and the table is read again as it is then; who has the patience waits until it was read as it was.
func TestDefinitionsInMidRun(t *testing.T) {
	for name, test := range map[string]struct {
		statement string
		patient   bool
		rows      int
		columns   int
		code      elt.Code
	}{
		"VACUUM FULL":           {`VACUUM FULL large`, false, extracttest.LargeRows, 2, ""},
		"CLUSTER":               {`CREATE INDEX ON large (n); CLUSTER large USING large_n_idx`, false, extracttest.LargeRows, 2, ""},
		"TRUNCATE":              {`TRUNCATE large`, false, 0, 2, ""},
		"ALTER, adding":         {`ALTER TABLE large ADD COLUMN x int DEFAULT 7`, false, extracttest.LargeRows, 3, ""},
		"ALTER, rewriting":      {`ALTER TABLE large ALTER COLUMN n TYPE bigint`, false, extracttest.LargeRows, 2, ""},
		"DROP":                  {`DROP TABLE large`, false, 0, 0, "table_missing"},
		"a patient TRUNCATE":    {`TRUNCATE large`, true, extracttest.LargeRows, 2, ""},
		"a patient DROP":        {`DROP TABLE large`, true, extracttest.LargeRows, 2, ""},
		"DROP COLUMN":           {`ALTER TABLE large DROP COLUMN s`, false, extracttest.LargeRows, 1, ""},
		"an index beside":       {`CREATE INDEX ON large (n)`, false, extracttest.LargeRows, 2, ""},
		"rows that are deleted": {`DELETE FROM large`, false, extracttest.LargeRows, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, conn := database(t, twoTables...)
			wait := 300 * time.Millisecond
			if test.patient {
				wait = time.Hour
			}
			lake := &extracttest.Lake{}
			x := extract.New(extract.Options{
				Sources: map[elt.SourceName]extract.Source{"shop": wary(t, url, func(o *postgres.Options) {
					if o.Budget.LockWait = wait; test.patient { // who would read beside waits behind the statement, in vain
						o.Budget.LockTimeout = 2 * time.Second
					}
				})},
				Lake: lake, Log: extracttest.Log(t), Rest: 200 * time.Millisecond,
			})
			var altered sync.WaitGroup
			_, m, err := extracttest.Night(t, x, lake, extracttest.BetweenTables, func() {
				started := make(chan struct{})
				altered.Go(func() {
					close(started)
					for statement := range strings.SplitSeq(test.statement, "; ") {
						if _, err := conn.Exec(context.WithoutCancel(t.Context()), statement); err != nil {
							t.Error(err)
						}
					}
				})
				<-started
				if wait < time.Hour && !strings.HasPrefix(test.statement, "CREATE") && !strings.HasPrefix(test.statement, "DELETE") {
					altered.Wait() // the budget lets it through before the table's turn
				}
			})
			altered.Wait()
			if test.code != "" {
				extracttest.Fails(t, err, test.code, "large")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := lake.Rows(t, m); len(got) != test.rows || len(m.Schema) != test.columns {
				t.Errorf("%d rows of %d columns came, of %+v", len(got), len(m.Schema), m.Source)
			}
		})
	}
}

// TestWaitersAreLetThrough: a migration that waits in the middle of a COPY is let through, and the table is read again,
// and every word of it is told.
func TestWaitersAreLetThrough(t *testing.T) {
	url, conn := database(t, twoTables...)
	lake := &extracttest.Lake{}
	p := testenv.Toxiproxy(t).Before(t, url)
	x := extract.New(extract.Options{
		Sources: map[elt.SourceName]extract.Source{"shop": wary(t, p.URL, func(o *postgres.Options) { o.Budget.LockWait = 200 * time.Millisecond })},
		Lake:    lake, Log: extracttest.Log(t), Rest: 300 * time.Millisecond,
	})
	e := extracttest.Table("public.large")
	n := x.Begin("r1", []elt.Extraction{e}, []elt.Extraction{e})
	defer n.Close()
	var migration sync.WaitGroup
	var once sync.Once
	lake.Before = func(string) error {
		once.Do(func() {
			remove := p.Add(t, testenv.Bandwidth(100), testenv.Answers) // slow enough to still be read when the migration comes
			migration.Go(func() { exec(t, conn, `ALTER TABLE large ADD COLUMN x int`); remove() })
		})
		return nil
	}
	var mu sync.Mutex
	var said []string
	m, err := n.Extract(t.Context(), extracttest.Job(e, 1), func(p elt.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Paused != "" && (len(said) == 0 || said[len(said)-1] != p.Paused) {
			said = append(said, p.Paused)
		}
	})
	migration.Wait()
	if err != nil {
		t.Fatal(err)
	}
	extracttest.Exact(t, lake, m)
	if len(m.Schema) != 3 || m.Source.Epoch != 2 || m.Source.CrossTableConsistent {
		t.Errorf("%d columns came, of %+v", len(m.Schema), m.Source)
	}
	if len(said) != 1 || !strings.Contains(said[0], "source budget (source shop was given rest: process") || !strings.Contains(said[0], "waited for table large") {
		t.Errorf("what was said is %q", said)
	}
}

// TestWithoutSight: a user who may not see how the source is doing reads it all the same, in one snapshot.
func TestWithoutSight(t *testing.T) {
	url, conn := database(t, append(twoTables, `REVOKE EXECUTE ON FUNCTION pg_last_wal_receive_lsn() FROM public`,
		`CREATE ROLE sightless LOGIN`, `GRANT SELECT ON small, large TO sightless`)...)
	t.Cleanup(func() { afterwards(t, url, `DROP OWNED BY sightless`, `DROP ROLE sightless`) })
	source := wary(t, strings.Replace(url, conn.Config().User+"@", "sightless@", 1), func(o *postgres.Options) { o.Budget.ReplicaLag = time.Second })
	lake := &extracttest.Lake{}
	small, large, err := extracttest.Night(t, extracttest.New(t, source, lake), lake, extracttest.BetweenTables, func() {})
	if err != nil {
		t.Fatal(err)
	}
	extracttest.Exact(t, lake, large)
	extracttest.OneMoment(t, small, large)
}

// TestSnapshotAge: a snapshot that is held for too long is let go, and what does not fit into one fails in a sentence.
func TestSnapshotAge(t *testing.T) {
	url, _ := database(t, `CREATE VIEW slow AS SELECT pg_sleep(30)::text AS n`)
	source := wary(t, url, func(o *postgres.Options) { o.Budget.SnapshotAge = 300 * time.Millisecond })
	x := extract.New(extract.Options{
		Sources: map[elt.SourceName]extract.Source{"shop": source}, Lake: &extracttest.Lake{}, Log: extracttest.Log(t), Rest: time.Millisecond,
	})
	_, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table("public.slow"), 1))
	extracttest.Fails(t, err, extract.CodeSourceBudget, "a snapshot was held for", "at most 300ms", "snapshot_age")
	if f := elt.NewFailure(err); f.Class != elt.Budget {
		t.Errorf("its class is %s", f.Class)
	}
}

// TestRestartInMidRun restarts the server at each moment of a night.
func TestRestartInMidRun(t *testing.T) {
	server := testenv.NewPostgres(t, nil)
	conn := connect(t, server.URL)
	exec(t, conn, twoTables...)
	exec(t, conn, `CHECKPOINT`)
	moments := []extracttest.Moment{extracttest.BetweenTables, extracttest.MidChunk, extracttest.BetweenChunks, extracttest.Ending}
	extracttest.Restarts(t, func() { server.Restart(t) }, moments, func(t *testing.T, lake *extracttest.Lake) *extract.Extractor {
		return extracttest.New(t, wary(t, server.URL, nil), lake)
	})
}

// TestReplica reads a replica that cancels what stands in the way of its replay.
func TestReplica(t *testing.T) {
	// Nothing is cleaned up but by the test: a snapshot in which nobody stands in the way is the replica's to keep.
	primary := testenv.NewPostgres(t, map[string]string{"autovacuum": "off"})
	conn := connect(t, primary.URL)
	exec(t, conn, twoTables...)
	replica := primary.Standby(t, map[string]string{"max_standby_streaming_delay": "200ms"})
	for _, moment := range []extracttest.Moment{extracttest.BetweenTables, extracttest.MidChunk, extracttest.BetweenChunks} {
		t.Run(string(moment), func(t *testing.T) {
			exec(t, conn, `DROP TABLE IF EXISTS large`, twoTables[1])
			caughtUp(t, conn, replica.URL)
			lake := &extracttest.Lake{}
			x := extract.New(extract.Options{
				Sources: map[elt.SourceName]extract.Source{"shop": wary(t, replica.URL, nil)},
				Lake:    lake, Log: extracttest.Log(t), Rest: 200 * time.Millisecond,
			})
			_, large, err := extracttest.Night(t, x, lake, moment, func() {
				// What the snapshot sees is cleaned up on the primary, which knows nothing of it.
				exec(t, conn, `UPDATE large SET n = n`, `VACUUM large`)
				caughtUp(t, conn, replica.URL)
			})
			if err != nil {
				t.Fatal(err)
			}
			extracttest.Exact(t, lake, large)
			if moment == extracttest.BetweenTables && (large.Source.CrossTableConsistent || large.Source.Epoch == 1) {
				t.Errorf("it was read in %+v", large.Source)
			}
		})
	}
}

// caughtUp waits until the replica has replayed what the primary has written.
func caughtUp(t *testing.T, primary *pgx.Conn, replica string) {
	t.Helper()
	var written string
	if err := primary.QueryRow(t.Context(), `SELECT pg_current_wal_insert_lsn()::text`).Scan(&written); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, replica)
	testenv.Eventually(t, "the replica has caught up", func() (there bool) {
		if err := conn.QueryRow(t.Context(), `SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn`, written).Scan(&there); err != nil {
			t.Fatal(err)
		}
		return there
	})
}

// TestEnumThatGrows adds a value to an enum, and rows of it, in mid-run: the snapshot has neither.
func TestEnumThatGrows(t *testing.T) {
	url, conn := database(t, append(twoTables, `CREATE TYPE mood AS ENUM ('sad')`, `ALTER TABLE small ADD COLUMN m mood DEFAULT 'sad'`, `ALTER TABLE large ADD COLUMN m mood DEFAULT 'sad'`)...)
	lake := &extracttest.Lake{}
	_, large, err := extracttest.Night(t, extracttest.New(t, wary(t, url, nil), lake), lake, extracttest.BetweenTables, func() {
		exec(t, conn, `ALTER TYPE mood ADD VALUE 'happy'`, `UPDATE large SET m = 'happy'`)
	})
	if err != nil {
		t.Fatal(err)
	}
	extracttest.Exact(t, lake, large)
	const sad = "736164" // in hexadecimal
	if m := large.Stats.Columns[2]; m.Min != sad || m.Max != sad || large.Source.Epoch != 1 {
		t.Errorf("the column has %+v, of %+v", m, large.Source)
	}
}
