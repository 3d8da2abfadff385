//go:build peers

package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/parquet/file"
)

// peersVariable names the folder into which peers/install.sh put the other tools.
const peersVariable = "DAYBREAK_BENCH_PEERS"

// peer is a tool that brings a table of PostgreSQL to Parquet files in a folder.
type peer struct {
	name    string
	ours    bool
	command func(tools, url, table, folder string) []string
}

// peers are Daybreak and the tools from PyPI, each as its documentation has it for this job.
func peers(b *testing.B) []peer {
	here, err := filepath.Abs("peers")
	if err != nil {
		b.Fatal(err)
	}
	daybreak := func(connections int) peer {
		return peer{fmt.Sprintf("Daybreak, %d reading", connections), true, func(_, url, table, folder string) []string {
			job, err := json.Marshal(job{URL: url, Table: table, Connections: connections, Lake: folder})
			if err != nil {
				b.Fatal(err)
			}
			return []string{"env", jobVariable + "=" + string(job), os.Args[0]}
		}}
	}
	connectorx := func(partitions int) peer {
		return peer{fmt.Sprintf("ConnectorX, pyarrow, %d partitions", partitions), false, func(tools, url, table, folder string) []string {
			column := map[string]string{"lineitem": "orderkey", "users": "number"}[table]
			return []string{tools + "/connectorx/bin/python", here + "/connectorx_job.py", url, table, folder, strconv.Itoa(partitions), column}
		}}
	}
	dlt := func(backend string) peer {
		return peer{"dlt, " + backend, false, func(tools, url, table, folder string) []string {
			return []string{tools + "/dlt/bin/python", here + "/dlt_job.py", url, table, folder, backend}
		}}
	}
	return []peer{
		daybreak(1), daybreak(2), connectorx(1), connectorx(2),
		{"sling", false, func(tools, url, table, folder string) []string {
			binary, err := filepath.Glob(tools + "/sling/lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")
			if err != nil || len(binary) != 1 {
				b.Fatalf("sling is not under %s: %v", tools, err)
			}
			return []string{binary[0], "run", "--src-conn", url, "--src-stream", "public." + table, "--tgt-object", "file://" + folder + "/" + table + ".parquet"}
		}},
		{"ingestr", false, func(tools, url, table, folder string) []string {
			return []string{tools + "/ingestr/bin/ingestr", "ingest", "--yes", "--progress", "log", "--source-uri", url, "--source-table", "public." + table,
				"--dest-uri", "parquet://" + folder + "/" + table + ".parquet", "--dest-table", "main." + table}
		}},
		dlt("pyarrow"), dlt("connectorx"),
	}
}

// BenchmarkPeers brings lineitem and users to Parquet files on disk with each tool, a process each, in turns.
// DAYBREAK_BENCH_ROWS is the number of rows of lineitem, a million by default; users has a sixth of it.
func BenchmarkPeers(b *testing.B) {
	tools := os.Getenv(peersVariable)
	if tools == "" {
		b.Fatalf("%s is not set: run make bench-peers", peersVariable)
	}
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("DAYBREAK_BENCH_ROWS"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	s := newServer(b)
	for _, t := range tables {
		n := rows / t.fraction
		s.exec(b, fmt.Sprintf(t.create, n))
		if t.name == "users" { // a number for those that split a table by one; the others bring it too
			s.exec(b, "ALTER TABLE users ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY")
		}
		s.exec(b, "VACUUM ANALYZE "+t.name)
		all := peers(b)
		results := make([][]measure, len(all))
		for range rounds {
			for i, p := range all {
				results[i] = append(results[i], s.bring(b, p, tools, t.name, int64(n)))
			}
		}
		reportPeers(t.name, n, all, results)
	}
}

// bring runs a tool in a process of its own and counts what it brought.
func (s *server) bring(b *testing.B, p peer, tools, table string, rows int64) measure {
	folder := b.TempDir()
	before, err := s.cpu.ended()
	if err != nil {
		b.Fatal(err)
	}
	args := p.command(tools, s.url, table, folder)
	cmd := exec.CommandContext(b.Context(), args[0], args[1:]...)
	// Nothing that a tool wants to fetch or to tell may leave this machine.
	cmd.Env = append(os.Environ(), "HOME="+b.TempDir(), "SLING_DUCKDB_COMPUTE=false", "SLING_DISABLE_TELEMETRY=true", "RUNTIME__DLTHUB_TELEMETRY=false", "INGESTR_DISABLE_TELEMETRY=true", "DISABLE_TELEMETRY=true")
	started := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", p.name, err, out)
	}
	m := measure{Wall: time.Since(started), ClientCPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.PeakBytes = usage.Maxrss << 10
	}
	after, err := s.cpu.ended()
	if err != nil {
		b.Fatal(err)
	}
	m.ServerCPU = after - before
	if m.Rows, m.Written, err = brought(folder, table); err != nil {
		b.Fatalf("%s: %v", p.name, err)
	}
	if m.Rows != rows {
		b.Fatalf("%s: %d rows of %d came", p.name, m.Rows, rows)
	}
	return m
}

// brought counts the rows and octets of the Parquet files of a table under the folder.
func brought(folder, table string) (rows, size int64, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".parquet" || !strings.Contains(path[len(folder):], table) {
			return err
		}
		f, err := file.OpenParquetFile(path, false)
		if err != nil {
			return err
		}
		rows += f.NumRows()
		if err := f.Close(); err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return rows, size, err
}

// reportPeers prints the medians of a table as Markdown. The ratio is to the faster of ours.
func reportPeers(name string, rows int, all []peer, results [][]measure) {
	var ours []time.Duration
	medians := make([]measure, len(all))
	for i, of := range results {
		if medians[i] = median(of); all[i].ours {
			ours = append(ours, medians[i].Wall)
		}
	}
	fmt.Printf("\n%s: %d rows, medians of %d rounds\n\n", name, rows, rounds)
	table("tool | wall s | wall ÷ Daybreak's | rows/s | client CPU s | server CPU s | peak MiB | MiB of Parquet", func(row func(format string, args ...any)) {
		for i, m := range medians {
			row("%s | %.2f | %.2f | %.0f | %.2f | %.2f | %d | %.1f", all[i].name, m.Wall.Seconds(), m.Wall.Seconds()/slices.Min(ours).Seconds(),
				float64(rows)/m.Wall.Seconds(), m.ClientCPU.Seconds(), m.ServerCPU.Seconds(), m.PeakBytes>>20, mebi(m.Written))
		}
	})
}
