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
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

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
	{"lineitem", 1, lineitem},
	{"users", 6, users},
}

// lineitem is like TPC-H's: integers, decimals, dates, few texts of few values, and one of many.
const lineitem = `CREATE UNLOGGED TABLE lineitem AS SELECT
	(i / 4 * 8 + i %% 4)::bigint AS orderkey, (hashint8(i) & 2147483647) %% 200000 + 1 AS partkey, (hashint8(i + 7) & 2147483647) %% 10000 + 1 AS suppkey,
	(i %% 7 + 1)::int AS linenumber, ((hashint8(i + 1) & 2147483647) %% 50 + 1)::numeric(12,2) AS quantity,
	((hashint8(i + 2) & 2147483647) %% 10000000 / 100.0 + 900)::numeric(12,2) AS extendedprice,
	((hashint8(i + 3) & 2147483647) %% 11 / 100.0)::numeric(12,2) AS discount, ((hashint8(i + 4) & 2147483647) %% 9 / 100.0)::numeric(12,2) AS tax,
	(ARRAY['A','N','R'])[(hashint8(i + 5) & 2147483647) %% 3 + 1]::char(1) AS returnflag, (ARRAY['F','O'])[i %% 2 + 1]::char(1) AS linestatus,
	date '1992-01-02' + (hashint8(i / 4) & 2147483647) %% 2500 + (i %% 4)::int AS shipdate, date '1992-01-31' + (hashint8(i / 4 + 1) & 2147483647) %% 2466 AS commitdate,
	date '1992-01-03' + (hashint8(i / 4) & 2147483647) %% 2500 + (hashint8(i + 6) & 2147483647) %% 30 AS receiptdate,
	(ARRAY['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[(hashint8(i + 8) & 2147483647) %% 4 + 1]::char(25) AS shipinstruct,
	(ARRAY['REG AIR','AIR','RAIL','SHIP','TRUCK','MAIL','FOB'])[(hashint8(i + 9) & 2147483647) %% 7 + 1]::char(10) AS shipmode,
	(substr('carefully final deposits haggle quickly ironic requests', (hashint8(i + 10) & 2147483647) %% 30 + 1, (hashint8(i + 11) & 2147483647) %% 20 + 6) || ' ' ||
	 substr(md5(i::text), 1, 8))::varchar(44) AS comment
	FROM generate_series(1, %d::bigint) i`

// users is wide: an identifier, documents, instants, texts with NULLs among them, lists.
const users = `CREATE UNLOGGED TABLE users AS SELECT md5(i::text)::uuid AS id, 'user' || i || '@example.com' AS email,
	CASE WHEN i %% 5 > 0 THEN 'Name ' || md5((i * 3)::text) END AS full_name, CASE WHEN i %% 3 = 0 THEN '+44 20 ' || i END AS phone,
	jsonb_build_object('plan', (ARRAY['free','team','business'])[i %% 3 + 1], 'seats', i %% 50, 'theme', jsonb_build_object('dark', i %% 2 = 0, 'accent', substr(md5(i::text), 1, 6)),
	  'source', 'campaign ' || i %% 1000, 'flags', jsonb_build_array(i %% 7, i %% 11, 'x' || i)) AS settings,
	timestamptz '2020-01-01 00:00Z' + i * interval '37.123456 seconds' AS created_at,
	CASE WHEN i %% 4 > 0 THEN timestamptz '2024-01-01 00:00Z' + i * interval '11.5 seconds' END AS seen_at, i %% 10 > 0 AS active,
	(ARRAY['DE','FR','GB','US','JP','BR','IN'])[i %% 7 + 1] AS country, (ARRAY['Europe/Berlin','Europe/Paris','Europe/London','America/New_York','Asia/Tokyo'])[i %% 5 + 1] AS zone,
	CASE WHEN i %% 2 = 0 THEN repeat(md5(i::text) || ' ', 4) END AS biography, ARRAY['tag' || i %% 20, 'group' || i %% 300, NULL] AS tags,
	ARRAY[i %% 97, i, NULL]::int[] AS visits, (i * 1.37)::numeric(14,4) AS balance, i::double precision / 7 AS score
	FROM generate_series(1, %d) i`

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
		report(b, t.name, n, results)
	}
}

// report prints the medians of a table as Markdown.
func report(b *testing.B, table string, rows int, results [][]measure) {
	medians := make([]measure, len(results))
	for i, of := range results {
		medians[i] = median(of)
	}
	base := medians[slices.IndexFunc(contenders, func(c contender) bool { return c.name == discarded })]
	fmt.Printf("\n%s: %d rows, medians of %d rounds\n\n", table, rows, rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 1, ' ', 0)
	fmt.Fprintln(w, "| run\t| wall s\t| wall ÷ (c)\t| rows/s\t| client CPU s\t| server CPU s\t| CPU ÷ server alone\t| peak MiB\t| allocations/row\t| MiB of Parquet\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for i, m := range medians {
		fmt.Fprintf(w, "| %s\t| %.2f\t| %.2f\t| %.0f\t| %.2f\t| %.2f\t| %.2f\t| %d\t| %.4f\t| %.1f\t|\n", contenders[i].name, m.Wall.Seconds(),
			m.Wall.Seconds()/base.Wall.Seconds(), float64(rows)/m.Wall.Seconds(), m.ClientCPU.Seconds(), m.ServerCPU.Seconds(),
			(m.ClientCPU+m.ServerCPU).Seconds()/medians[0].ServerCPU.Seconds(), m.PeakBytes>>20, float64(m.Mallocs)/float64(rows), float64(m.Written)/(1<<20))
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
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
