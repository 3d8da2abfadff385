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
		Sources: map[elt.SourceName]extract.Source{"shop": s}, Lake: lake, Log: extracttest.Log(t), Rest: 200 * time.Millisecond,
	})
}

var twoTables = []string{`CREATE TABLE small (n INT PRIMARY KEY)`, `INSERT INTO small SELECT seq FROM seq_1_to_10`, `CREATE TABLE large (n INT PRIMARY KEY, s TEXT)`,
	fmt.Sprintf(`INSERT INTO large SELECT seq, CONCAT(seq, '-', REPEAT(MD5(seq), 20)) FROM seq_1_to_%d`, extracttest.LargeRows), `ANALYZE TABLE large`}

func TestNetworks(t *testing.T) {
	server, _ := database(t, twoTables...)
	make := func(t *testing.T, url string, hurry bool, lake *extracttest.Lake) *extract.Extractor {
		if !hurry {
			return extracttest.New(t, wary(t, url, nil), lake)
		}
		return restless(t, wary(t, url, hurried), lake)
	}
	moments := []extracttest.Moment{extracttest.Connecting, extracttest.BetweenTables, extracttest.MidChunk, extracttest.BetweenChunks, extracttest.Ending}
	extracttest.Networks(t, server.URL, "", moments, make)
	extracttest.Networks(t, server.URL, "?tls=preferred", moments[2:3], make) // the driver reads
}

// TestOneConnectionCostsOneChunk ends the first of the connections that read: the table comes whole, in the one snapshot
// of the night, from the others.
func TestOneConnectionCostsOneChunk(t *testing.T) {
	server, db := database(t, twoTables...)
	for _, moment := range []extracttest.Moment{extracttest.BetweenTables, extracttest.MidChunk, extracttest.BetweenChunks} {
		t.Run(string(moment), func(t *testing.T) {
			name := "one_" + strings.ReplaceAll(string(moment), " ", "_")
			url := user(t, server, db, name, "ALL ON *.*")
			lake := &extracttest.Lake{}
			small, large, err := extracttest.Night(t, restless(t, wary(t, url, nil), lake), lake, moment, func() {
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
			extracttest.Exact(t, lake, large)
			extracttest.OneMoment(t, small, large)
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
		"OPTIMIZE":              {`OPTIMIZE TABLE large`, false, extracttest.LargeRows, 2, ""},
		"TRUNCATE":              {`TRUNCATE TABLE large`, false, 0, 2, ""},
		"ALTER, adding":         {`ALTER TABLE large ADD COLUMN x INT DEFAULT 7`, false, extracttest.LargeRows, 3, ""},
		"ALTER, rewriting":      {`ALTER TABLE large MODIFY n BIGINT`, false, extracttest.LargeRows, 2, ""},
		"DROP":                  {`DROP TABLE large`, false, 0, 0, "table_missing"},
		"a patient TRUNCATE":    {`TRUNCATE TABLE large`, true, extracttest.LargeRows, 2, ""},
		"a patient DROP":        {`DROP TABLE large`, true, extracttest.LargeRows, 2, ""},
		"DROP COLUMN":           {`ALTER TABLE large DROP COLUMN s`, false, extracttest.LargeRows, 1, ""},
		"rows that are deleted": {`DELETE FROM large`, true, extracttest.LargeRows, 2, ""},
		"rows that are changed": {`UPDATE large SET n = -n, s = ''`, true, extracttest.LargeRows, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
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
			_, m, err := extracttest.Night(t, x, lake, extracttest.BetweenChunks, func() {
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

// TestNamesakeIsAltered: whoever waits for a table of the same name in another database does not wait for us. Nobody else may
// wait for anything on the server: the budget is a millisecond.
func TestNamesakeIsAltered(t *testing.T) {
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
	testenv.Eventually(t, "somebody waits for the other table", func() bool {
		return count(`SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock' AND DB = '`+other.Database+`'`) == 1
	})
	source := wary(t, user(t, server, db, "watcher", "SELECT, PROCESS ON *.*"), func(o *mysql.Options) {
		o.Budget.LockWait, o.Glance, o.Connections = time.Millisecond, 5*time.Millisecond, 1
	})
	lake := &extracttest.Lake{}
	_, large, err := extracttest.Night(t, restless(t, source, lake), lake, extracttest.BetweenChunks, func() {
		looks, last := 0, 0
		testenv.Eventually(t, "the source is looked after", func() bool { // whoever looks asks something new each time
			if next := count(`SELECT COALESCE(SUM(QUERY_ID), 0) FROM information_schema.PROCESSLIST WHERE USER = 'watcher'`); next != last {
				looks, last = looks+1, next
			}
			return looks == 4
		})
	})
	if err := reading.Rollback(); err != nil {
		t.Error(err)
	}
	altered.Wait()
	if err != nil {
		t.Fatal(err)
	}
	extracttest.Exact(t, lake, large)
	if large.Source.Epoch != 1 {
		t.Errorf("the snapshot was let go: %+v", large.Source)
	}
}

// TestSnapshotAge: a snapshot that is held for too long is let go, and what does not fit into one fails in a sentence.
func TestSnapshotAge(t *testing.T) {
	server, _ := database(t, `CREATE TABLE one (n INT PRIMARY KEY)`, `INSERT INTO one VALUES (1)`, `CREATE VIEW slow AS SELECT n, SLEEP(600) AS s FROM one`)
	source := wary(t, server.URL, func(o *mysql.Options) { o.Budget.SnapshotAge = 300 * time.Millisecond })
	x := extract.New(extract.Options{Sources: map[elt.SourceName]extract.Source{"shop": source}, Lake: &extracttest.Lake{}, Log: extracttest.Log(t), Rest: time.Millisecond})
	_, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table("slow"), 1))
	extracttest.Fails(t, err, extract.CodeSourceBudget, "a snapshot was held for", "at most 300ms", "snapshot_age")
	if f := elt.NewFailure(err); f.Class != elt.Budget {
		t.Errorf("its class is %s", f.Class)
	}
}

// TestStatementTimeout: a statement that takes too long is ended by the server.
func TestStatementTimeout(t *testing.T) {
	server, _ := database(t, `CREATE TABLE one (n INT PRIMARY KEY)`, `INSERT INTO one VALUES (1)`, `CREATE VIEW slow AS SELECT n, SLEEP(600) AS s FROM one`)
	source := wary(t, server.URL, func(o *mysql.Options) { o.Budget.StatementTimeout = 2 * time.Second })
	var err error
	testenv.Eventually(t, "it is the view that takes too long", func() bool { // on a machine that stands still another statement may
		_, err = extracttest.Extract(t, restless(t, source, &extracttest.Lake{}), extracttest.Job(extracttest.Table("slow"), 1))
		return elt.CodeOf(err) != "source_statement_timeout" || strings.Contains(err.Error(), "slow")
	})
	extracttest.Fails(t, err, "source_statement_timeout", "slow", "shop")
}

// TestRestartInMidRun restarts the server at each moment of a night.
func TestRestartInMidRun(t *testing.T) {
	server := testenv.NewMariaDB(t)
	exec(t, connect(t, server, "root"), twoTables...)
	moments := []extracttest.Moment{extracttest.BetweenTables, extracttest.MidChunk, extracttest.BetweenChunks, extracttest.Ending}
	extracttest.Restarts(t, func() { server.Restart(t) }, moments, func(t *testing.T, lake *extracttest.Lake) *extract.Extractor {
		return extracttest.New(t, wary(t, server.URL, nil), lake)
	})
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
		fmt.Sprintf(`CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %s, MASTER_USER = 'root', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1`, host, port), `START SLAVE`)
	return r, on
}

// replicates waits until the replica does, and has what the primary has written.
func replicates(t *testing.T, on *sql.DB) {
	t.Helper()
	testenv.Eventually(t, "the replica replicates", func() bool {
		rows, err := on.QueryContext(t.Context(), `SHOW SLAVE STATUS`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil || !rows.Next() {
			t.Fatal(err, rows.Err())
		}
		cells := make([]sql.NullString, len(columns))
		to := make([]any, len(cells))
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		return cells[slices.Index(columns, "Seconds_Behind_Master")].String == "0"
	})
}

// TestReplica: windows are closed by what a replica has, and reading pauses while it lags behind, says so, and goes on.
func TestReplica(t *testing.T) {
	primary := testenv.NewMariaDB(t, "--log-bin=binlog", "--server-id=1")
	db := connect(t, primary, "root")
	r, on := replica(t, primary, db)
	exec(t, db, twoTables...)
	testenv.Eventually(t, "the replica has the table", func() bool {
		var n int
		return on.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM large`).Scan(&n) == nil && n == extracttest.LargeRows
	})
	exec(t, on, `ANALYZE TABLE large`)
	// A window is closed by what the replica has, whatever its clock shows.
	exec(t, db, `CREATE TABLE v (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL)`, `INSERT INTO v VALUES (1, NOW(6) - INTERVAL 1 HOUR)`)
	testenv.Eventually(t, "the replica has the row", func() bool {
		var n int
		return on.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM v`).Scan(&n) == nil && n == 1
	})
	replicates(t, on)
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
	replicates(t, on)
	lake := &extracttest.Lake{}
	p := testenv.Toxiproxy(t).Before(t, r.URL)
	x := restless(t, wary(t, p.URL, func(o *mysql.Options) { o.Budget.ReplicaLag = time.Hour }), lake)
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
	extracttest.Exact(t, lake, m)
	if !said["source budget (the replica does not replicate)"] || m.Source.Epoch != 1 {
		t.Errorf("it said %v, of %+v", said, m.Source)
	}
}
