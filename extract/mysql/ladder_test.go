package mysql_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
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

// TestWaysToOneMoment moves money between two tables while both are extracted, many times over, by every way to a
// snapshot: the sum must always be what it was.
func TestWaysToOneMoment(t *testing.T) {
	for _, c := range []struct {
		name        string
		server      func(testing.TB) *testenv.MariaDBServer
		grants      []string // on everything; all without any
		connections int
		want        string // how the snapshot was taken
	}{
		{"root", testenv.UnloggedMariaDB, nil, 3, "flush lock"},
		{"locks", testenv.UnloggedMariaDB, []string{"SELECT, LOCK TABLES ON *.*"}, 3, "table lock"},
		{"positions", testenv.MariaDB, nil, 3, "equal positions binlog."},
		{"plain", testenv.MariaDB, []string{"SELECT ON *.*"}, 3, "equal positions binlog."},
		{"one", testenv.MariaDB, nil, 1, "one session"},
		{"unlogged", testenv.UnloggedMariaDB, []string{"SELECT ON *.*"}, 3, "one session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := c.server(t)
			db := connect(t, server, "root")
			exec(t, db, `CREATE TABLE a (id INT PRIMARY KEY, n BIGINT)`, `CREATE TABLE b (id INT PRIMARY KEY, n BIGINT)`,
				`INSERT INTO a SELECT seq, 1000 FROM seq_1_to_500`, `INSERT INTO b SELECT seq, 0 FROM seq_1_to_500`)
			url := server.URL
			if c.grants != nil {
				url = user(t, server, db, "way_"+c.name, c.grants...)
			}
			source, err := mysql.New(mysql.Options{Name: "shop", URL: url, Connections: c.connections, Log: extracttest.Log(t)})
			if err != nil {
				t.Fatal(err)
			}
			var moved <-chan struct{}
			for round := range 10 {
				if round == 1 { // in the first round nobody writes
					moved = moving(t, server)
				}
				wait(t, moved)
				lake := &extracttest.Lake{}
				tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
				night := extracttest.New(t, source, lake).Begin("r1", tables, tables)
				var total int64
				for _, e := range tables {
					m, err := night.Extract(t.Context(), extracttest.Job(e, round), nothing)
					if err != nil {
						t.Fatal(err)
					}
					sum, err := strconv.ParseInt(m.Stats.Columns[1].Sum, 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					total += sum
					// Writers that wait for each other's rows can hold a lock up, and positions can be too busy to be equal.
					asked := strings.HasPrefix(m.Source.Snapshot, c.want) || round > 0
					if !m.Source.CrossTableConsistent || !asked {
						t.Errorf("%s was read in %+v", e.Dataset, m.Source)
					}
					wait(t, moved) // something was written between the tables
				}
				if err := night.Close(); err != nil {
					t.Fatal(err)
				}
				if total != 500_000 {
					t.Fatalf("the tables add up to %d, not 500000", total)
				}
			}
		})
	}
}

// wait waits for something to be written, if anybody writes.
func wait(t *testing.T, moved <-chan struct{}) {
	t.Helper()
	if moved != nil {
		testenv.Receive(t, "something is written", moved)
	}
}

// moving moves money from table a to table b until the test ends, on three connections, and tells of each move.
func moving(t *testing.T, server *testenv.MariaDBServer) <-chan struct{} {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	moved := make(chan struct{}, 1)
	var writers sync.WaitGroup
	for k := range 3 {
		db := connect(t, server, "root")
		writers.Go(func() {
			tick := time.NewTicker(time.Millisecond) // readers have to do something, too
			defer tick.Stop()
			for i := k; ctx.Err() == nil; i++ {
				<-tick.C
				id := i%500 + 1
				_, err := db.ExecContext(ctx, fmt.Sprintf(`BEGIN; UPDATE a SET n = n - 1 WHERE id = %d; UPDATE b SET n = n + 1 WHERE id = %d; COMMIT`, id, id))
				if err != nil && ctx.Err() == nil {
					if strings.Contains(err.Error(), "Deadlock") {
						exec(t, db, "ROLLBACK")
						continue
					}
					t.Error(err)
					return
				}
				select {
				case moved <- struct{}{}:
				default:
				}
			}
		})
	}
	t.Cleanup(func() { stop(); writers.Wait() })
	return moved
}

// TestLockIsNotWaitedForLong: a writer that stays open holds the locks up; the snapshot does without, and writers
// are not held up behind it.
func TestLockIsNotWaitedForLong(t *testing.T) {
	server, db := database(t, `CREATE TABLE a (id INT PRIMARY KEY)`, `CREATE TABLE b (id INT PRIMARY KEY)`)
	holder := connect(t, server, "root")
	exec(t, holder, `LOCK TABLES a WRITE`)
	tables := []elt.Extraction{extracttest.Table("b"), extracttest.Table("a")}
	source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, Log: extracttest.Log(t), Budget: extract.Budget{LockTimeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	night := extracttest.New(t, source, &extracttest.Lake{}).Begin("r1", tables, tables)
	defer night.Close()
	if _, err := night.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing); err != nil {
		t.Error(err)
	}
	_, err = night.Extract(t.Context(), extracttest.Job(tables[1], 1), nothing)
	extracttest.Fails(t, err, "source_lock_timeout", "table a")
	exec(t, holder, `UNLOCK TABLES`)
	exec(t, db, `INSERT INTO a VALUES (1)`)
	if m, err := night.Extract(t.Context(), extracttest.Job(tables[1], 2), nothing); err != nil || m.Rows() != 1 || m.Source.CrossTableConsistent {
		t.Errorf("once it was free: %+v, %v", m, err)
	}
}

// TestOneServer: behind one address there are two servers, in turn; what they hold must not be mixed.
func TestOneServer(t *testing.T) {
	servers := []*testenv.MariaDBServer{testenv.MariaDB(t), testenv.UnloggedMariaDB(t)}
	for _, s := range servers {
		db := connect(t, s, "root")
		exec(t, db, `CREATE DATABASE behind`, `CREATE TABLE behind.a (n INT PRIMARY KEY)`, `CREATE TABLE behind.b (n INT PRIMARY KEY)`)
		t.Cleanup(func() {
			if _, err := db.ExecContext(context.WithoutCancel(t.Context()), `DROP DATABASE behind`); err != nil {
				t.Error(err)
			}
		})
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	go func() {
		for i := 0; ; i++ {
			in, err := front.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", servers[i%2].Addr)
			if err != nil {
				in.Close() // who came at the end of the test
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					defer pair[0].Close()
					io.Copy(pair[0], pair[1]) //nolint:errcheck // it ends with either side
				}()
			}
		}
	}()
	url := "mysql://root@" + front.Addr().String() + "/behind"
	tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
	night := extracttest.New(t, newSource(t, url), &extracttest.Lake{}).Begin("r1", tables, tables)
	defer night.Close()
	_, err = night.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing)
	extracttest.Fails(t, err, "source_servers_differ", servers[0].Addr[len("127.0.0.1:"):], servers[1].Addr[len("127.0.0.1:"):])
}
