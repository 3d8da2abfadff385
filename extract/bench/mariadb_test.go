package bench

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// Ways to read a table of MariaDB and to throw it away.
const (
	byClient   = "client"
	byPackets  = "packets"
	byRawBytes = "raw bytes"
)

// mariaContenders are what is measured on each table of MariaDB; the others are compared with the packets.
var mariaContenders = []struct {
	name, way   string
	connections int
}{
	{"mariadb --quick, discarded", byClient, 0},
	{"(p) raw packets, discarded", byPackets, 0},
	{"driver's RawBytes, discarded", byRawBytes, 0},
	{"extract, 1 connection reads", "", 1},
	{"extract, 2 connections read", "", 2},
	{"extract, 4 connections read", "", 4},
}

// mariaTables are those that PostgreSQL has, without lists.
var mariaTables = []struct {
	name, create, fill string
	fraction           int
}{
	{"lineitem", `CREATE TABLE lineitem (orderkey BIGINT NOT NULL, partkey INT NOT NULL, suppkey INT NOT NULL, linenumber INT NOT NULL, quantity DECIMAL(12,2) NOT NULL,
		extendedprice DECIMAL(12,2) NOT NULL, discount DECIMAL(12,2) NOT NULL, tax DECIMAL(12,2) NOT NULL, returnflag CHAR(1) NOT NULL, linestatus CHAR(1) NOT NULL,
		shipdate DATE NOT NULL, commitdate DATE NOT NULL, receiptdate DATE NOT NULL, shipinstruct CHAR(25) NOT NULL, shipmode CHAR(10) NOT NULL, comment VARCHAR(44) NOT NULL,
		PRIMARY KEY (orderkey, linenumber))`,
		`INSERT INTO lineitem SELECT seq DIV 4 * 8 + seq MOD 4, CRC32(seq) MOD 200000 + 1, CRC32(seq + 7) MOD 10000 + 1, seq MOD 7 + 1, CRC32(seq + 1) MOD 50 + 1,
		CRC32(seq + 2) MOD 10000000 / 100 + 900, CRC32(seq + 3) MOD 11 / 100, CRC32(seq + 4) MOD 9 / 100, ELT(CRC32(seq + 5) MOD 3 + 1, 'A', 'N', 'R'), ELT(seq MOD 2 + 1, 'F', 'O'),
		'1992-01-02' + INTERVAL CRC32(seq DIV 4) MOD 2500 + seq MOD 4 DAY, '1992-01-31' + INTERVAL CRC32(seq DIV 4 + 1) MOD 2466 DAY,
		'1992-01-03' + INTERVAL CRC32(seq DIV 4) MOD 2500 + CRC32(seq + 6) MOD 30 DAY, ELT(CRC32(seq + 8) MOD 4 + 1, 'DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'),
		ELT(CRC32(seq + 9) MOD 7 + 1, 'REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'),
		CONCAT(SUBSTR('carefully final deposits haggle quickly ironic requests', CRC32(seq + 10) MOD 30 + 1, CRC32(seq + 11) MOD 20 + 6), ' ', LEFT(MD5(seq), 8)) FROM seq_1_to_%d`, 1},
	{"users", `CREATE TABLE users (n BIGINT PRIMARY KEY, id UUID NOT NULL, email VARCHAR(100) NOT NULL, full_name VARCHAR(100), phone VARCHAR(30), settings JSON NOT NULL, created_at DATETIME(6) NOT NULL,
		seen_at TIMESTAMP(6) NULL, active BIT(1) NOT NULL, country CHAR(2) NOT NULL, zone VARCHAR(40) NOT NULL, biography TEXT, balance DECIMAL(14,4) NOT NULL, score DOUBLE NOT NULL)`,
		`INSERT INTO users SELECT seq, INSERT(INSERT(MD5(seq), 13, 1, '4'), 17, 1, '8'), CONCAT('user', seq, '@example.com'), IF(seq MOD 5 > 0, CONCAT('Name ', MD5(seq * 3)), NULL), IF(seq MOD 3 = 0, CONCAT('+44 20 ', seq), NULL),
		JSON_OBJECT('plan', ELT(seq MOD 3 + 1, 'free', 'team', 'business'), 'seats', seq MOD 50, 'theme', JSON_OBJECT('dark', seq MOD 2 = 0, 'accent', LEFT(MD5(seq), 6)),
			'source', CONCAT('campaign ', seq MOD 1000), 'flags', JSON_ARRAY(seq MOD 7, seq MOD 11, CONCAT('x', seq))),
		'2020-01-01' + INTERVAL seq * 37123456 MICROSECOND, IF(seq MOD 4 > 0, '2024-01-01' + INTERVAL seq * 11500000 MICROSECOND, NULL), seq MOD 10 > 0,
		ELT(seq MOD 7 + 1, 'DE', 'FR', 'GB', 'US', 'JP', 'BR', 'IN'), ELT(seq MOD 5 + 1, 'Europe/Berlin', 'Europe/Paris', 'Europe/London', 'America/New_York', 'Asia/Tokyo'),
		IF(seq MOD 2 = 0, REPEAT(CONCAT(MD5(seq), ' '), 4), NULL), seq * 1.37, seq / 7e0 FROM seq_1_to_%d`, 6},
}

// BenchmarkMariaDB measures every contender on every table and prints the medians, by DAYBREAK_BENCH_ROWS as
// BenchmarkPostgres does.
func BenchmarkMariaDB(b *testing.B) {
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("DAYBREAK_BENCH_ROWS"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	server := testenv.NewMariaDB(b, "--innodb-buffer-pool-size=3G", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=1G", "--skip-log-bin")
	db, err := sql.Open("mysql", "root@tcp("+server.Addr+")/"+server.Database)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var pid string
	if err := db.QueryRowContext(b.Context(), `SELECT @@pid_file`).Scan(&pid); err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		b.Fatal(err)
	}
	process := "/proc/" + strings.TrimSpace(string(text))
	for _, t := range mariaTables {
		n := rows / t.fraction
		for _, s := range []string{t.create, fmt.Sprintf(t.fill, n), "ANALYZE TABLE " + t.name} {
			if _, err := db.ExecContext(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
		results := make([][]measure, len(mariaContenders))
		for range rounds {
			for i, c := range mariaContenders {
				before := serverCPU(b, process)
				m := runJob(b, c.name, job{URL: server.URL, Table: t.name, Statement: c.way, Connections: c.connections})
				if m.Rows != int64(n) {
					b.Fatalf("%s: %d rows of %d came", c.name, m.Rows, n)
				}
				m.ServerCPU = serverCPU(b, process) - before
				results[i] = append(results[i], m)
			}
		}
		reportMaria(t.name, n, results)
	}
}

// reportMaria prints the medians of a table as Markdown.
func reportMaria(name string, rows int, results [][]measure) {
	var base measure
	for i, c := range mariaContenders {
		if c.way == byPackets {
			base = median(results[i])
		}
	}
	fmt.Printf("\nMariaDB, %s: %d rows, medians of %d rounds\n\n", name, rows, rounds)
	table("run | wall s | wall ÷ (p) | rows/s | client CPU s | server CPU s | CPU ÷ (p) | peak MiB | allocations/row | MiB of Parquet", func(row func(format string, args ...any)) {
		for i, c := range mariaContenders {
			m := median(results[i])
			row("%s | %.2f | %.2f | %.0f | %.2f | %.2f | %.2f | %d | %.4f | %.1f", c.name, m.Wall.Seconds(), m.Wall.Seconds()/base.Wall.Seconds(),
				float64(rows)/m.Wall.Seconds(), m.ClientCPU.Seconds(), m.ServerCPU.Seconds(), (m.ClientCPU+m.ServerCPU).Seconds()/(base.ClientCPU+base.ServerCPU).Seconds(),
				m.PeakBytes>>20, float64(m.Mallocs)/float64(rows), mebi(m.Written))
		}
	})
}

// serverCPU is how long a server of one process has used a processor.
func serverCPU(b *testing.B, process string) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(process + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var ticks int64 // of 10 ms; fields 14 and 15 are the process's own
	for _, f := range fields[14-3 : 16-3] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// runJob does a job in a process of its own.
func runJob(b *testing.B, name string, j job) (m measure) {
	b.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), jobVariable+"="+string(text)), os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return m
}

// ofMariaDB reports whether the job is about MariaDB.
func (j job) ofMariaDB() bool { return strings.HasPrefix(j.URL, "mysql:") }

// discardMariaDB reads a table of MariaDB and throws it away.
func (j job) discardMariaDB(ctx context.Context) (measure, error) {
	u, err := url.Parse(j.URL)
	if err != nil {
		return measure{}, err
	}
	dsn, query := "root@tcp("+u.Host+")"+u.Path, "SELECT * FROM "+j.Table
	switch j.Statement {
	case byClient:
		return countLines(exec.CommandContext(ctx, "mariadb", "-h", u.Hostname(), "-P", u.Port(), "-u", "root", "--quick", "-BN", "-e", query, strings.Trim(u.Path, "/")))
	case byPackets:
		return discardPackets(ctx, dsn, query)
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return measure{}, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return measure{}, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return measure{}, err
	}
	into := make([]any, len(columns))
	for i := range into {
		into[i] = new(sql.RawBytes)
	}
	var m measure
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return m, err
		}
		m.Rows++
	}
	return m, rows.Err()
}

// countLines runs a command and counts the lines that it writes.
func countLines(cmd *exec.Cmd) (m measure, err error) {
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	buffer := make([]byte, 256<<10)
	for err == nil {
		var n int
		n, err = out.Read(buffer)
		m.Rows += int64(bytes.Count(buffer[:n], []byte("\n")))
	}
	if errors.Is(err, io.EOF) {
		err = cmd.Wait()
	}
	return m, err
}

// discardPackets counts the packets of a result, and looks at nothing else of them.
func discardPackets(ctx context.Context, dsn, query string) (m measure, err error) {
	config, err := driver.ParseDSN(dsn)
	if err != nil {
		return m, err
	}
	var wire net.Conn
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		wire, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return wire, err
	}
	connector, err := driver.NewConnector(config)
	if err != nil {
		return m, err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return m, err
	}
	defer conn.Close()
	n := len(query) + 1
	if _, err := wire.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16), 0, 3}, query...)); err != nil {
		return m, err
	}
	buffer := make([]byte, 256<<10)
	start, end := 0, 0
	packet := func() (first byte, size int, err error) {
		for {
			if end-start >= 4 {
				if size = int(buffer[start]) | int(buffer[start+1])<<8 | int(buffer[start+2])<<16; end-start >= 4+size {
					first = buffer[start+4]
					start += 4 + size
					return first, size, nil
				}
			}
			end, start = copy(buffer, buffer[start:end]), 0
			got, err := wire.Read(buffer[end:])
			if end += got; err != nil {
				return 0, 0, err
			}
		}
	}
	columns, _, err := packet()
	for range columns {
		if err == nil {
			_, _, err = packet()
		}
	}
	for begun := false; err == nil; begun = true {
		first, size, failed := packet()
		switch err = failed; {
		case failed != nil:
		case first == 0xff:
			return m, errors.New("the server refused")
		case first == 0xfe && size < 9:
			if begun || size != 5 {
				return m, nil
			}
		default:
			m.Rows++
		}
	}
	return m, err
}
