package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// rounds is how often each contender runs; they take turns.
const rounds = 3

// contenders are what is measured on each table, the bare COPY first: the others are compared with it.
var contenders = []contender{
	{name: "server alone, COPY to /dev/null", statement: "COPY %s TO '/dev/null' (FORMAT binary)"},
	{name: discarded, copies: true},
	{name: "(c') the same, received in bulk", copies: true, bulk: true},
	{name: "extract, 1 connection reads", connections: 1},
	{name: "extract, 2 connections read", connections: 2},
	{name: "extract, 4 connections read", connections: 4},
	{name: "extract at level rows, 2 connections", connections: 2, level: elt.LevelRows},
}

const discarded = "(c) pgx CopyTo, discarded"

// contender is one way to read a table.
type contender struct {
	name        string
	statement   string // run in the server alone
	copies      bool   // received and thrown away
	bulk        bool   // in large pieces
	connections int    // extracted, with as many connections reading
	level       elt.Level
}

// measure is what one run took.
type measure struct {
	Rows      int64
	Wall      time.Duration
	ClientCPU time.Duration
	ServerCPU time.Duration
	PeakBytes int64 // of the process's resident memory
	Mallocs   uint64
	Written   int64 // octets of Parquet
}

// tables are what is read, by how many rows of DAYBREAK_BENCH_ROWS are one row of theirs.
var tables = []struct {
	name     string
	fraction int
	create   string
}{
	{"lineitem", 1, extracttest.Lineitem},
	{"users", 6, extracttest.Users},
}

// TestMain runs one contender when this process was started for that, and the tests otherwise.
func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		os.Exit(child(job))
	}
	os.Exit(m.Run())
}

// BenchmarkPostgres measures every contender on every table and prints the medians. DAYBREAK_BENCH_ROWS is the number
// of rows of lineitem, a million by default; users has a sixth of it.
func BenchmarkPostgres(b *testing.B) {
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("DAYBREAK_BENCH_ROWS"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	s := newServer(b)
	for _, t := range tables {
		n := rows / t.fraction
		s.exec(b, fmt.Sprintf(t.create, n))
		s.exec(b, "VACUUM ANALYZE "+t.name)
		results := make([][]measure, len(contenders))
		for range rounds {
			for i, c := range contenders {
				results[i] = append(results[i], s.run(b, c, t.name, int64(n)))
			}
		}
		report(t.name, n, results)
	}
}

// report prints the medians of a table as Markdown.
func report(name string, rows int, results [][]measure) {
	medians := make([]measure, len(results))
	for i, of := range results {
		medians[i] = median(of)
	}
	base := medians[slices.IndexFunc(contenders, func(c contender) bool { return c.name == discarded })]
	bulk := medians[slices.IndexFunc(contenders, func(c contender) bool { return c.bulk })]
	fmt.Printf("\n%s: %d rows, medians of %d rounds\n\n", name, rows, rounds)
	table("run | wall s | wall ÷ (c) | wall ÷ (c') | rows/s | client CPU s | server CPU s | CPU ÷ server alone | peak MiB | allocations/row | MiB of Parquet", func(row func(format string, args ...any)) {
		for i, m := range medians {
			row("%s | %.2f | %.2f | %.2f | %.0f | %.2f | %.2f | %.2f | %d | %.4f | %.1f", contenders[i].name, m.Wall.Seconds(),
				m.Wall.Seconds()/base.Wall.Seconds(), m.Wall.Seconds()/bulk.Wall.Seconds(), float64(rows)/m.Wall.Seconds(), m.ClientCPU.Seconds(), m.ServerCPU.Seconds(),
				(m.ClientCPU+m.ServerCPU).Seconds()/medians[0].ServerCPU.Seconds(), m.PeakBytes>>20, float64(m.Mallocs)/float64(rows), mebi(m.Written))
		}
	})
}

// median takes the median of each figure by itself.
func median(of []measure) measure {
	return measure{
		Wall:      middle(of, func(m measure) time.Duration { return m.Wall }),
		ClientCPU: middle(of, func(m measure) time.Duration { return m.ClientCPU }),
		ServerCPU: middle(of, func(m measure) time.Duration { return m.ServerCPU }),
		PeakBytes: middle(of, func(m measure) int64 { return m.PeakBytes }),
		Mallocs:   middle(of, func(m measure) uint64 { return m.Mallocs }),
		Written:   middle(of, func(m measure) int64 { return m.Written }),
	}
}

func middle[T cmp.Ordered](of []measure, figure func(measure) T) T {
	figures := make([]T, len(of))
	for i, m := range of {
		figures[i] = figure(m)
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

// server is the PostgreSQL server that is read.
type server struct {
	url  string
	conn *pgx.Conn
	cpu  *processTree
}

func newServer(b *testing.B) *server {
	// Nothing but the contenders may work in it.
	p := testenv.NewPostgres(b, map[string]string{"autovacuum": "off", "max_wal_size": "8GB", "shared_buffers": "1GB"})
	conn, err := pgx.Connect(b.Context(), p.URL)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.PgConn().Conn().Close() })
	s := &server{url: p.URL, conn: conn}
	var dir string
	var usual int // processes: the server's own, and this connection's
	if err := conn.QueryRow(b.Context(), `SELECT current_setting('data_directory'), count(*) + 1 FROM pg_stat_activity WHERE backend_type <> 'client backend'`).Scan(&dir, &usual); err != nil {
		b.Fatal(err)
	}
	if s.cpu, err = newProcessTree(dir, usual); err != nil {
		b.Fatal(err)
	}
	return s
}

func (s *server) exec(b *testing.B, statement string) {
	if _, err := s.conn.Exec(b.Context(), statement); err != nil {
		b.Fatal(err)
	}
}

// run measures a contender in a process of its own.
func (s *server) run(b *testing.B, c contender, table string, rows int64) measure {
	before, err := s.cpu.ended()
	if err != nil {
		b.Fatal(err)
	}
	job, err := json.Marshal(job{URL: s.url, Table: table, Statement: c.statement, Copies: c.copies, Bulk: c.bulk, Connections: c.connections, Level: c.level})
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), jobVariable+"="+string(job)), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v", c.name, err)
	}
	var m measure
	if err := json.Unmarshal(out, &m); err != nil {
		b.Fatal(err)
	}
	if m.Rows != rows {
		b.Fatalf("%s: %d rows of %d came", c.name, m.Rows, rows)
	}
	after, err := s.cpu.ended()
	if err != nil {
		b.Fatal(err)
	}
	m.ServerCPU = after - before
	return m
}
