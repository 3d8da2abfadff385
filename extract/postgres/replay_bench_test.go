package postgres

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// replayed is how many rows of lineitem are brought to Parquet again and again; of users it is half as many.
const replayed = 250_000

// BenchmarkReplay brings a COPY that was received once to Parquet, from memory: what the client's work on a row takes,
// without a server and a network beside it.
func BenchmarkReplay(b *testing.B) {
	for _, t := range []struct {
		name, create string
		rows         int
	}{{"lineitem", extracttest.Lineitem, replayed}, {"users", extracttest.Users, replayed / 2}} {
		b.Run(t.name, func(b *testing.B) {
			r := record(b, t.name, t.create, t.rows)
			b.SetBytes(int64(len(r.octets)))
			var written int64
			before := usedCPU(b)
			for b.Loop() {
				written = r.replay(b, t.rows)
			}
			rows := float64(b.N) * float64(t.rows)
			b.ReportMetric((usedCPU(b)-before).Seconds()/rows*1e6, "cpu-s/Mrow")
			b.ReportMetric(float64(written)/float64(t.rows), "written-B/row")
		})
	}
}

// recording is what a COPY sent, piece by piece, and what it is of.
type recording struct {
	fields []pgconn.FieldDescription
	octets []byte
	ends   []int
}

// Write implements io.Writer.
func (r *recording) Write(p []byte) (int, error) {
	r.octets = append(r.octets, p...)
	r.ends = append(r.ends, len(r.octets))
	return len(p), nil
}

func record(b *testing.B, table, create string, rows int) *recording {
	conn, err := pgx.Connect(b.Context(), testenv.Postgres(b).URL)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.PgConn().Conn().Close()
	if _, err := conn.Exec(b.Context(), fmt.Sprintf(create, rows)); err != nil {
		b.Fatal(err)
	}
	described, err := conn.Prepare(b.Context(), "", "SELECT * FROM "+table)
	if err != nil {
		b.Fatal(err)
	}
	r := &recording{fields: described.Fields}
	if _, err := conn.PgConn().CopyTo(b.Context(), r, "COPY "+table+" TO STDOUT (FORMAT binary)"); err != nil {
		b.Fatal(err)
	}
	return r
}

// replay decodes and writes everything once, and returns how many octets of Parquet that made.
func (r *recording) replay(b *testing.B, rows int) (written int64) {
	elements := map[uint32]uint32{1007: 23, 1009: 25} // of the arrays that users has
	var t table
	var schema elt.Schema
	for _, f := range r.fields {
		c := newColumn(f.Name, catalogType{f.DataTypeOID, f.TypeModifier, elements[f.DataTypeOID]}, false, "")
		t.columns, schema = append(t.columns, c), append(schema, c.Column)
	}
	to := parquet.NewWriter(schema, parquet.Options{Create: func(int) (parquet.Sink, error) { return &summed{Hash: sha256.New()}, nil }})
	reader := &rowReader{request: extract.Request{Columns: schema, Facts: &extract.Facts{}}, to: to, batch: to.Batch()}
	if _, err := reader.prepare(t); err != nil {
		b.Fatal(err)
	}
	begin := 0
	for _, end := range r.ends {
		if _, err := reader.Write(r.octets[begin:end]); err != nil {
			b.Fatal(err)
		}
		begin = end
	}
	parts, stats, err := to.Close()
	if err != nil {
		b.Fatal(err)
	}
	if stats.Rows != int64(rows) {
		b.Fatalf("%d rows of %d came", stats.Rows, rows)
	}
	for _, p := range parts {
		written += p.Bytes
	}
	return written
}

// summed is a part of which nothing but its checksum is kept, as every lake takes one.
type summed struct {
	hash.Hash
	bytes int64
}

func (s *summed) Write(p []byte) (int, error) { s.bytes += int64(len(p)); return s.Hash.Write(p) }
func (s *summed) Commit() (elt.Object, error) { return elt.Object{Bytes: s.bytes}, nil }
func (s *summed) Abort(error)                 {}

func usedCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
