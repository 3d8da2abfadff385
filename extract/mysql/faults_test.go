package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// wary returns a source of small chunks. It has patience with a machine that is busy; hurried takes it away.
func wary(t testing.TB, url string, change func(*mysql.Options)) *mysql.Source {
	t.Helper()
	o := mysql.Options{
		Name: "shop", URL: url, Log: extracttest.Log(t), Connections: 3, ChunkBytes: 1 << 20, Glance: 50 * time.Millisecond,
		Budget: extract.Budget{LockTimeout: 30 * time.Second},
	}
	if change != nil {
		change(&o)
	}
	s, err := mysql.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hurried is for a test in which the server falls silent.
func hurried(o *mysql.Options) { o.Silence, o.Budget.LockTimeout = time.Second, time.Second }

// restless returns an extractor that gives the source little rest.
func restless(t testing.TB, s extract.Source, lake *extracttest.Lake) *extract.Extractor {
	return extract.New(extract.Options{
		Sources: map[elt.SourceName]extract.Source{"shop": s}, Lake: lake, Log: extracttest.Log(t), Rest: time.Second,
	})
}

// at is a moment of an extraction of the tables small and large.
type at string

// The moments at which something happens.
const (
	connecting    at = "connecting"
	betweenTables at = "between tables"
	midChunk      at = "in the middle of a chunk"
	betweenChunks at = "between chunks"
	ending        at = "at the end"
)

// night extracts small and then large, and has something happen at that moment of it.
func night(t *testing.T, x *extract.Extractor, lake *extracttest.Lake, moment at, happen func()) (small, large *elt.Manifest, err error) {
	t.Helper()
	var once sync.Once
	var mu sync.Mutex
	parts := 0
	lake.Before = func(key string) error {
		mu.Lock()
		if strings.Contains(key, "shop.large/") && strings.HasSuffix(key, ".parquet") {
			parts++
		}
		now := moment == midChunk && parts == 1 || moment == betweenChunks && parts == 4 ||
			moment == ending && strings.HasSuffix(key, "manifest.json") && strings.Contains(key, "shop.large/")
		mu.Unlock()
		if now {
			once.Do(happen)
		}
		return nil
	}
	tables := []elt.Extraction{extracttest.Table("small"), extracttest.Table("large")}
	n := x.Begin("r1", tables, tables)
	defer func() {
		if e := n.Close(); e != nil {
			t.Error(e)
		}
	}()
	if moment == connecting {
		once.Do(happen)
	}
	if small, err = n.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing); err != nil {
		return nil, nil, err
	}
	if moment == betweenTables {
		once.Do(happen)
	}
	large, err = n.Extract(t.Context(), extracttest.Job(tables[1], 1), nothing)
	return small, large, err
}

const largeRows = 20_000

// exact checks that the large table came whole.
func exact(t *testing.T, lake *extracttest.Lake, m *elt.Manifest) {
	t.Helper()
	rows := lake.Rows(t, m)
	seen := make([]bool, largeRows+1)
	for _, row := range rows {
		var n int
		if _, err := fmt.Sscan(row[0], &n); err != nil || n < 1 || n > largeRows || seen[n] || !strings.HasPrefix(row[1], row[0]+"-") {
			t.Fatalf("the row %.40s is wrong, or there twice (%v)", row, err)
		}
		seen[n] = true
	}
	if len(rows) != largeRows {
		t.Fatalf("%d rows came of %d", len(rows), largeRows)
	}
}

var twoTables = []string{`CREATE TABLE small (n INT PRIMARY KEY)`, `INSERT INTO small SELECT seq FROM seq_1_to_10`, `CREATE TABLE large (n INT PRIMARY KEY, s TEXT)`,
	fmt.Sprintf(`INSERT INTO large SELECT seq, CONCAT(seq, '-', REPEAT(MD5(seq), 20)) FROM seq_1_to_%d`, largeRows), `ANALYZE TABLE large`}

// TestNetworks puts every fault of a network into every phase of a night: the table comes exact, or fails in a sentence
// and without a manifest.
func TestNetworks(t *testing.T) {
	server, _ := database(t, twoTables...)
	type fault struct {
		name   string
		happen func(*testing.T, *testenv.Proxy)
		comes  bool // whatever the moment
	}
	toxic := func(name string, toxic testenv.Toxic, comes bool) fault {
		return fault{name, func(t *testing.T, p *testenv.Proxy) {
			p.Add(t, toxic, testenv.Answers)
			if name == "half-open" {
				p.Add(t, toxic, testenv.Requests)
			}
		}, comes}
	}
	for _, f := range []fault{
		{"cut for a moment", func(t *testing.T, p *testenv.Proxy) { p.Cut(t); p.Restore(t) }, true},
		{"cut", func(t *testing.T, p *testenv.Proxy) { p.Cut(t) }, false},
		toxic("half-open", testenv.HalfOpen(), false),
		toxic("reset", testenv.ResetPeer(), false),
		toxic("slow", testenv.Bandwidth(20_000), true),
		toxic("late", testenv.Latency(3*time.Millisecond), true),
	} {
		for _, tls := range []string{"", "?tls=preferred"} {
			for _, moment := range []at{connecting, betweenTables, midChunk, betweenChunks, ending} {
				if tls != "" && moment != midChunk {
					continue // the driver reads
				}
				t.Run(f.name+" "+string(moment)+tls, func(t *testing.T) {
					t.Parallel()
					p := testenv.Toxiproxy(t).Before(t, server.URL)
					lake := &extracttest.Lake{}
					change := hurried
					if f.comes { // and never falls silent
						change = nil
					}
					_, large, err := night(t, restless(t, wary(t, p.URL+tls, change), lake), lake, moment, func() { f.happen(t, p) })
					if err == nil {
						exact(t, lake, large)
						return
					}
					failure := elt.NewFailure(err)
					if f.comes || moment == ending {
						t.Errorf("it failed: %v", err)
					}
					if known := []elt.Code{extract.CodeConnectionLost, "source_unreachable"}; !slices.Contains(known, failure.Code) || failure.Do == "" || !strings.Contains(failure.Message, "shop") {
						t.Errorf("the failure is %+v", failure)
					}
					if slices.ContainsFunc(lake.Keys(), func(k string) bool { return strings.HasSuffix(k, "manifest.json") && strings.Contains(k, "large") }) {
						t.Error("a table that failed has a manifest")
					}
				})
			}
		}
	}
}

// TestOneConnectionCostsOneChunk ends the first of the connections that read: the table comes whole, in the one snapshot
// of the night, from the others.
func TestOneConnectionCostsOneChunk(t *testing.T) {
	server, db := database(t, twoTables...)
	for _, moment := range []at{betweenTables, midChunk, betweenChunks} {
		t.Run(string(moment), func(t *testing.T) {
			name := "one_" + strings.ReplaceAll(string(moment), " ", "_")
			url := user(t, server, db, name, "ALL ON *.*")
			lake := &extracttest.Lake{}
			small, large, err := night(t, restless(t, wary(t, url, nil), lake), lake, moment, func() {
				var thread string
				if err := db.QueryRowContext(t.Context(), "SELECT MIN(ID) FROM information_schema.PROCESSLIST WHERE USER = '"+name+"'").Scan(&thread); err != nil {
					t.Error(err)
				}
				if _, err := db.ExecContext(t.Context(), "KILL "+thread); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			exact(t, lake, large)
			if !large.Source.CrossTableConsistent || large.Source.Snapshot != small.Source.Snapshot || large.Source.Epoch != 1 {
				t.Errorf("the tables were read in %+v and in %+v", small.Source, large.Source)
			}
		})
	}
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
		"OPTIMIZE":              {`OPTIMIZE TABLE large`, false, largeRows, 2, ""},
		"TRUNCATE":              {`TRUNCATE TABLE large`, false, 0, 2, ""},
		"ALTER, adding":         {`ALTER TABLE large ADD COLUMN x INT DEFAULT 7`, false, largeRows, 3, ""},
		"ALTER, rewriting":      {`ALTER TABLE large MODIFY n BIGINT`, false, largeRows, 2, ""},
		"DROP":                  {`DROP TABLE large`, false, 0, 0, "table_missing"},
		"a patient TRUNCATE":    {`TRUNCATE TABLE large`, true, largeRows, 2, ""},
		"a patient DROP":        {`DROP TABLE large`, true, largeRows, 2, ""},
		"DROP COLUMN":           {`ALTER TABLE large DROP COLUMN s`, false, largeRows, 1, ""},
		"rows that are deleted": {`DELETE FROM large`, true, largeRows, 2, ""},
		"rows that are changed": {`UPDATE large SET n = -n, s = ''`, true, largeRows, 2, ""},
	} {
		for _, moment := range []at{midChunk, betweenChunks} {
			t.Run(name+" "+string(moment), func(t *testing.T) {
				t.Parallel()
				server, db := database(t, twoTables...)
				wait := 200 * time.Millisecond
				if test.patient {
					wait = time.Hour
				}
				p := testenv.Toxiproxy(t).Before(t, server.URL)
				lake := &extracttest.Lake{}
				x := restless(t, wary(t, p.URL, func(o *mysql.Options) { o.Budget.LockWait, o.Connections = wait, 1 }), lake)
				var altered sync.WaitGroup
				_, m, err := night(t, x, lake, moment, func() {
					remove := func() {}
					if !test.patient { // slow enough to be still read when the other comes
						remove = p.Add(t, testenv.Bandwidth(100), testenv.Answers)
					}
					altered.Go(func() {
						if _, err := db.ExecContext(context.WithoutCancel(t.Context()), test.statement); err != nil {
							t.Error(err)
						}
						remove()
					})
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
}

// TestNamesakeIsAltered: whoever waits for a table of the same name in another database does not wait for us.
func TestNamesakeIsAltered(t *testing.T) {
	t.Parallel()
	other, altering := database(t, twoTables...)
	reading, err := connect(t, other, "root").BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reading.ExecContext(t.Context(), `SELECT n FROM large LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	var altered sync.WaitGroup
	altered.Go(func() {
		if _, err := altering.ExecContext(context.WithoutCancel(t.Context()), `DROP TABLE large`); err != nil {
			t.Error(err)
		}
	})
	server, db := database(t, twoTables...)
	count := func(statement string) (n int) {
		if err := db.QueryRowContext(t.Context(), statement).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	eventually(t, func() bool {
		return count(`SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock' AND DB = '`+other.Database+`'`) == 1
	})
	source := wary(t, user(t, server, db, "watcher", "SELECT, PROCESS ON *.*"), func(o *mysql.Options) {
		o.Budget.LockWait, o.Glance, o.Connections = time.Millisecond, 5*time.Millisecond, 1
	})
	lake := &extracttest.Lake{}
	_, large, err := night(t, restless(t, source, lake), lake, betweenChunks, func() {
		looks, last, patience := 0, 0, time.Now().Add(2*time.Minute)
		for looks < 4 && time.Now().Before(patience) { // whoever looks asks something new each time
			if next := count(`SELECT COALESCE(SUM(QUERY_ID), 0) FROM information_schema.PROCESSLIST WHERE USER = 'watcher'`); next != last {
				looks, last = looks+1, next
			}
		}
		if looks < 4 {
			t.Error("nobody looked after the source")
		}
	})
	if err := reading.Rollback(); err != nil {
		t.Error(err)
	}
	altered.Wait()
	if err != nil {
		t.Fatal(err)
	}
	exact(t, lake, large)
	if large.Source.Epoch != 1 {
		t.Errorf("the snapshot was let go: %+v", large.Source)
	}
}

// TestSnapshotAge: a snapshot that is held for too long is let go, and what does not fit into one fails in a sentence.
func TestSnapshotAge(t *testing.T) {
	server, _ := database(t, `CREATE TABLE one (n INT PRIMARY KEY)`, `INSERT INTO one VALUES (1)`, `CREATE VIEW slow AS SELECT n, SLEEP(600) AS s FROM one`)
	source := wary(t, server.URL, func(o *mysql.Options) { o.Budget.SnapshotAge = 1100 * time.Millisecond })
	x := extract.New(extract.Options{Sources: map[elt.SourceName]extract.Source{"shop": source}, Lake: &extracttest.Lake{}, Log: extracttest.Log(t), Rest: time.Millisecond})
	_, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table("slow"), 1))
	extracttest.Fails(t, err, extract.CodeSourceBudget, "a snapshot was held for", "at most 1.1s", "snapshot_age")
	if f := elt.NewFailure(err); f.Class != elt.Budget {
		t.Errorf("its class is %s", f.Class)
	}
}

// TestStatementTimeout: a statement that takes too long is ended by the server.
func TestStatementTimeout(t *testing.T) {
	server, _ := database(t, `CREATE TABLE one (n INT PRIMARY KEY)`, `INSERT INTO one VALUES (1)`, `CREATE VIEW slow AS SELECT n, SLEEP(600) AS s FROM one`)
	source := wary(t, server.URL, func(o *mysql.Options) { o.Budget.StatementTimeout = 300 * time.Millisecond })
	_, err := extracttest.Extract(t, restless(t, source, &extracttest.Lake{}), extracttest.Job(extracttest.Table("slow"), 1))
	extracttest.Fails(t, err, "source_statement_timeout", "slow", "shop")
}

// TestRestartInMidRun restarts the server at each moment of a night.
func TestRestartInMidRun(t *testing.T) {
	server := testenv.NewMariaDB(t)
	exec(t, connect(t, server, "root"), twoTables...)
	for _, moment := range []at{betweenTables, midChunk, betweenChunks, ending} {
		t.Run(string(moment), func(t *testing.T) {
			lake := &extracttest.Lake{}
			small, large, err := night(t, restless(t, wary(t, server.URL, nil), lake), lake, moment, func() { server.Restart(t) })
			if err != nil {
				extracttest.Fails(t, err, "source_unreachable", "shop") // it was still starting: the step is tried again
				return
			}
			exact(t, lake, large)
			if moment != ending && (large.Source.CrossTableConsistent || large.Source.Epoch == 1 || !small.Source.CrossTableConsistent) {
				t.Errorf("the tables were read in %+v and in %+v", small.Source, large.Source)
			}
		})
	}
}

// replica starts a server that replicates the other.
func replica(t *testing.T, primary *testenv.MariaDBServer, db *sql.DB) (*testenv.MariaDBServer, *sql.DB) {
	t.Helper()
	r := testenv.NewMariaDB(t, "--server-id=2")
	on := connect(t, r, "root")
	var gtid string
	if err := db.QueryRowContext(t.Context(), `SELECT @@gtid_binlog_pos`).Scan(&gtid); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(primary.Addr, ":")
	exec(t, on, fmt.Sprintf(`SET GLOBAL gtid_slave_pos = '%s'`, gtid),
		fmt.Sprintf(`CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %s, MASTER_USER = 'root', MASTER_USE_GTID = slave_pos`, host, port), `START SLAVE`)
	return r, on
}

// TestReplica: windows are closed by what a replica has, and reading pauses while it lags behind, says so, and goes on.
func TestReplica(t *testing.T) {
	primary := testenv.NewMariaDB(t, "--log-bin=binlog", "--server-id=1")
	db := connect(t, primary, "root")
	r, on := replica(t, primary, db)
	exec(t, db, twoTables...)
	eventually(t, func() bool {
		var n int
		return on.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM large`).Scan(&n) == nil && n == largeRows
	})
	exec(t, on, `ANALYZE TABLE large`)
	// A window is closed by what the replica has, whatever its clock shows.
	exec(t, db, `CREATE TABLE v (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL)`, `INSERT INTO v VALUES (1, NOW(6) - INTERVAL 1 HOUR)`)
	eventually(t, func() bool {
		var n int
		return on.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM v`).Scan(&n) == nil && n == 1
	})
	recent := window(incremental("v", nil), 1, time.Time{}, time.Now().Add(-time.Minute))
	blind := user(t, r, on, "half_blind", "SELECT, PROCESS ON *.*")
	_, err := extracttest.Extract(t, restless(t, wary(t, blind, nil), &extracttest.Lake{}), recent)
	extracttest.Fails(t, err, extract.CodeWindowOpen, "it is a replica", "REPLICATION CLIENT")
	if m, err := extracttest.Extract(t, restless(t, wary(t, r.URL, nil), &extracttest.Lake{}), recent); err != nil || m.Rows() != 1 {
		t.Error(m, err)
	}
	exec(t, on, `STOP SLAVE`)
	_, err = extracttest.Extract(t, restless(t, wary(t, r.URL, nil), &extracttest.Lake{}), recent)
	extracttest.Fails(t, err, extract.CodeWindowOpen, "does not replicate")
	exec(t, on, `START SLAVE`)
	lake := &extracttest.Lake{}
	p := testenv.Toxiproxy(t).Before(t, r.URL)
	x := restless(t, wary(t, p.URL, func(o *mysql.Options) { o.Budget.ReplicaLag = time.Minute }), lake)
	e := extracttest.Table("large")
	n := x.Begin("r1", []elt.Extraction{e}, []elt.Extraction{e})
	defer n.Close()
	var once, again sync.Once
	var mu sync.Mutex
	remove := func() {}
	lake.Before = func(string) error {
		once.Do(func() {
			slow := p.Add(t, testenv.Bandwidth(100), testenv.Answers) // enough to be still read when it is noticed
			mu.Lock()
			remove = slow
			mu.Unlock()
			exec(t, on, `STOP SLAVE`)
		})
		return nil
	}
	said := make(map[string]bool)
	m, err := n.Extract(t.Context(), extracttest.Job(e, 1), func(p elt.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Paused != "" {
			said[p.Paused] = true
			again.Do(func() {
				remove()
				if _, err := on.ExecContext(t.Context(), `START SLAVE`); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	exact(t, lake, m)
	if !said["source budget (the replica does not replicate)"] || m.Source.Epoch != 1 {
		t.Errorf("it said %v, of %+v", said, m.Source)
	}
}
