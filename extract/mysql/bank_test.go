package mysql_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// TestBank extracts a bank while it is open, by each way to a snapshot.
func TestBank(t *testing.T) { bank(t, 1) }

// bank has a bank on a server with a binary log, and on one without.
func bank(t *testing.T, branches int) {
	for name, log := range map[string][]string{"logged": {"--log-bin=binlog", "--server-id=1"}, "unlogged": nil} {
		t.Run(name, func(t *testing.T) {
			bankOf(t, branches, append(log, "--innodb-buffer-pool-size=512M", "--innodb-flush-log-at-trx-commit=0")...)
		})
	}
}

// bankOf is TPC-B, with that many branches of ten tellers and a hundred thousand accounts each: four clients move money
// while four connections read, and what accounts, tellers and branches hold must be what history says, to the last unit.
func bankOf(t *testing.T, branches int, options ...string) {
	server := testenv.NewMariaDB(t, options...)
	db := connect(t, server, "root")
	exec(t, db,
		`CREATE TABLE branches (bid INT PRIMARY KEY, bbalance INT NOT NULL, filler CHAR(88))`,
		`CREATE TABLE tellers (tid INT PRIMARY KEY, bid INT, tbalance INT NOT NULL, filler CHAR(84))`,
		`CREATE TABLE accounts (aid INT PRIMARY KEY, bid INT, abalance INT NOT NULL, filler CHAR(84))`,
		`CREATE TABLE history (tid INT, bid INT, aid INT, delta INT, mtime TIMESTAMP(6) NULL, filler CHAR(22))`,
		fmt.Sprintf(`INSERT INTO branches SELECT seq, 0, '' FROM seq_1_to_%d`, branches),
		fmt.Sprintf(`INSERT INTO tellers SELECT seq, (seq - 1) DIV 10 + 1, 0, '' FROM seq_1_to_%d`, branches*10),
		fmt.Sprintf(`INSERT INTO accounts SELECT seq, (seq - 1) DIV 100000 + 1, 0, '' FROM seq_1_to_%d`, branches*100000),
		`ANALYZE TABLE accounts`)
	moves := open(t, server, branches)
	for _, c := range []struct {
		user   string
		grants []string
	}{
		{"teller1", []string{"SELECT, RELOAD, PROCESS ON *.*"}},
		{"teller2", []string{"SELECT, LOCK TABLES ON *.*"}},
	} {
		source, err := mysql.New(mysql.Options{
			Name: "shop", URL: user(t, server, db, c.user, c.grants...), Connections: 4, ChunkBytes: 1 << 20, Log: extracttest.Log(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		began := moves.Load()
		testenv.Eventually(t, "money is moved", func() bool { return moves.Load() > began+20 })
		// While the first part is stored, somebody moves money.
		var once sync.Once
		lake := &extracttest.Lake{Discard: true, Before: func(key string) error {
			once.Do(func() {
				before := moves.Load()
				testenv.Eventually(t, "money is moved meanwhile", func() bool { return moves.Load() > before+20 })
			})
			return nil
		}}
		var tables []elt.Extraction
		for _, name := range []string{"history", "accounts", "tellers", "branches"} {
			tables = append(tables, extracttest.Table(name))
		}
		before := moves.Load()
		night := extracttest.New(t, source, lake).Begin("r1", tables, tables)
		sums := make(map[string]int64)
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, e := range tables {
			all.Go(func() {
				m, err := night.Extract(t.Context(), extracttest.Job(e, len(c.user)), nothing)
				if err != nil {
					t.Error(err)
					return
				}
				if !m.Source.CrossTableConsistent {
					t.Errorf("%s was read in %+v", e.Dataset, m.Source)
				}
				if e.Table == "accounts" && (m.Rows() != int64(branches)*100000 || len(m.Parts) < 4 && !strings.HasPrefix(m.Source.Snapshot, "one session")) {
					t.Errorf("%d accounts came in %d parts, of %s", m.Rows(), len(m.Parts), m.Source.Snapshot)
				}
				for i, c := range m.Schema {
					if strings.HasSuffix(c.Name, "balance") || c.Name == "delta" {
						n, err := strconv.ParseInt(cmp.Or(m.Stats.Columns[i].Sum, "0"), 10, 64)
						if err != nil {
							t.Error(err)
						}
						mu.Lock()
						sums[c.Name] = n
						mu.Unlock()
					}
				}
				t.Logf("%s: %d rows in %d parts, %s", e.Table, m.Rows(), len(m.Parts), m.Source.Snapshot)
			})
		}
		all.Wait()
		if err := night.Close(); err != nil {
			t.Error(err)
		}
		if sums["abalance"] != sums["tbalance"] || sums["tbalance"] != sums["bbalance"] || sums["bbalance"] != sums["delta"] || len(sums) != 4 {
			t.Errorf("the sums are %v", sums)
		}
		t.Logf("%d moves meanwhile, sums %v", moves.Load()-before, sums)
	}
}

// open has four clients move money until the test ends, and counts what they do.
func open(t *testing.T, server *testenv.MariaDBServer, branches int) *atomic.Int64 {
	t.Helper()
	var moves atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		db := connect(t, server, "root")
		clients.Go(func() {
			tick := time.NewTicker(time.Millisecond) // readers have to do something, too
			defer tick.Stop()
			for ; ctx.Err() == nil; <-tick.C {
				aid, tid, bid, delta := rand.IntN(branches*100000)+1, rand.IntN(branches*10)+1, rand.IntN(branches)+1, rand.IntN(10001)-5000
				_, err := db.ExecContext(ctx, fmt.Sprintf(`BEGIN; UPDATE accounts SET abalance = abalance + %[4]d WHERE aid = %[1]d; SELECT abalance FROM accounts WHERE aid = %[1]d;
					UPDATE tellers SET tbalance = tbalance + %[4]d WHERE tid = %[2]d; UPDATE branches SET bbalance = bbalance + %[4]d WHERE bid = %[3]d;
					INSERT INTO history (tid, bid, aid, delta, mtime) VALUES (%[2]d, %[3]d, %[1]d, %[4]d, NOW(6)); COMMIT`, aid, tid, bid, delta))
				switch {
				case err == nil:
					moves.Add(1)
				case ctx.Err() != nil:
				case strings.Contains(err.Error(), "Deadlock"):
					exec(t, db, "ROLLBACK")
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	t.Cleanup(func() { stop(); clients.Wait() })
	return &moves
}
