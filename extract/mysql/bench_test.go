package mysql

import (
	"database/sql"
	"errors"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// BenchmarkExtract extracts a million rows of ten columns, from the wire and through the driver, beside what the wire
// itself costs when its packets are thrown away. It reports rows a second, this process's CPU seconds, and the memory
// that it has of the system.
func BenchmarkExtract(b *testing.B) {
	const rows = 1_000_000
	server := testenv.MariaDB(b)
	db, err := sql.Open("mysql", "root@tcp("+server.Addr+")/"+server.Database)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		`CREATE TABLE items (id BIGINT PRIMARY KEY, part INT, quantity INT, price DECIMAL(12,2), discount DECIMAL(12,2), shipped_at DATETIME,
			due_on DATE, state VARCHAR(10), ref CHAR(32), comment VARCHAR(60))`,
		`INSERT INTO items SELECT seq, seq % 10007, seq % 50, seq % 100000 / 100, seq % 11 / 100, '2026-01-01' + INTERVAL seq SECOND, '2026-01-01' + INTERVAL seq % 365 DAY,
			ELT(seq % 3 + 1, NULL, 'open', 'closed'), MD5(seq), CONCAT('item number ', seq, ' of the list') FROM seq_1_to_1000000`,
	} {
		if _, err := db.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	extracted := func(url string) func(*testing.B) int64 {
		return func(b *testing.B) int64 {
			source, err := New(Options{Name: "shop", URL: url})
			if err != nil {
				b.Fatal(err)
			}
			m, err := extracttest.Extract(b, extracttest.New(b, source, &extracttest.Lake{Discard: true}), extracttest.Job(extracttest.Table("items"), 1))
			if err != nil {
				b.Fatal(err)
			}
			return m.Rows()
		}
	}
	for _, c := range []struct {
		name string
		run  func(*testing.B) int64
	}{
		{"discarded", func(b *testing.B) int64 { return discarded(b, server.URL) }},
		{"wire", extracted(server.URL)},
		{"driver", extracted(server.URL + "?tls=preferred")}, // as over TLS, without its cost
	} {
		b.Run(c.name, func(b *testing.B) {
			before := cpu(b)
			b.ReportAllocs()
			for b.Loop() {
				if n := c.run(b); n != rows {
					b.Fatalf("%d rows came", n)
				}
			}
			b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "CPU-s/op")
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			b.ReportMetric(float64(mem.Sys)/(1<<20), "MiB-of-the-system")
		})
	}
}

// discarded receives the table's packets and looks at none.
func discarded(b *testing.B, url string) (n int64) {
	source, err := New(Options{Name: "shop", URL: url})
	if err != nil {
		b.Fatal(err)
	}
	w, err := source.connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer w.hangUp()
	if _, err := w.wire.query("SELECT * FROM items"); err != nil {
		b.Fatal(err)
	}
	for {
		switch err := w.wire.row(nil, false); {
		case errors.Is(err, io.EOF):
			return n
		case err != nil && !errors.Is(err, errWire): // a row has cells, and none are wanted
			b.Fatal(err)
		}
		n++
	}
}

// cpu returns the time that this process has spent computing.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
