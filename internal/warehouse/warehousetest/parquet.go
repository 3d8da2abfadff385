package warehousetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Day is a dataset-day as extract hands it over: a manifest, and its parts as local files.
type Day struct {
	*elt.Manifest
	Files []string // in the order of the manifest's parts
}

// NewDay writes each slice of rows as one Parquet part beneath dir, where the lake would have it, and returns
// the manifest with the facts of all of them.
func NewDay(t testing.TB, dir string, m elt.Manifest, parts ...[]Row) Day {
	t.Helper()
	m.Format = elt.ManifestFormat
	if m.Mode == "" {
		m.Mode = elt.Full
	}
	var all []Row
	day := Day{Manifest: &m}
	for i, rows := range parts {
		key := fmt.Sprintf("%spart-%05d.parquet", m.Prefix(), i)
		file := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		WriteParquet(t, file, m.Schema, rows)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		m.Parts = append(m.Parts, elt.Part{Key: key, Rows: int64(len(rows)), Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])})
		day.Files = append(day.Files, file)
		all = append(all, rows...)
	}
	m.Stats = Stats(m.Schema, all)
	return day
}

// WriteParquet writes the rows to a Parquet file. Arrow marks timestamps and times without zone as if they
// were in UTC, as the files of the lake do.
func WriteParquet(t testing.TB, file string, schema elt.Schema, rows []Row) {
	t.Helper()
	fields := make([]arrow.Field, len(schema))
	for i, c := range schema {
		fields[i] = arrow.Field{Name: c.Name, Type: arrowType(t, c.Type), Nullable: true}
	}
	arrowSchema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
	defer b.Release()
	for _, r := range rows {
		for i, v := range r {
			appendValue(t, b.Field(i), v)
		}
	}
	record := b.NewRecord()
	defer record.Release()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(arrowSchema, out,
		parquet.NewWriterProperties(parquet.WithDataPageVersion(parquet.DataPageV2)), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(record); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func arrowType(t testing.TB, typ elt.Type) arrow.DataType {
	t.Helper()
	switch typ.Kind {
	case elt.Bool:
		return arrow.FixedWidthTypes.Boolean
	case elt.Int64:
		return arrow.PrimitiveTypes.Int64
	case elt.Uint64:
		return arrow.PrimitiveTypes.Uint64
	case elt.Float64:
		return arrow.PrimitiveTypes.Float64
	case elt.Decimal:
		return &arrow.Decimal128Type{Precision: int32(typ.Precision), Scale: int32(typ.Scale)}
	case elt.String, elt.JSON, elt.UUID:
		return arrow.BinaryTypes.String
	case elt.Bytes:
		return arrow.BinaryTypes.Binary
	case elt.DateKind:
		return arrow.FixedWidthTypes.Date32
	case elt.TimeKind:
		return arrow.FixedWidthTypes.Time64us
	case elt.Timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case elt.LocalTimestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case elt.List:
		return arrow.ListOf(arrowType(t, *typ.Elem))
	}
	t.Fatalf("no Arrow type for %s", typ)
	return nil
}

func appendValue(t testing.TB, b array.Builder, v any) {
	t.Helper()
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Uint64Builder:
		b.Append(v.(uint64))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromBigInt(v.(*big.Int)))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.(int64)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v.(int64)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int64)))
	case *array.ListBuilder:
		b.Append(true)
		for _, e := range v.([]any) {
			appendValue(t, b.ValueBuilder(), e)
		}
	default:
		t.Fatalf("no value of %T", b)
	}
}

// Micros returns a wall-clock reading such as "2026-01-05 07:30:00" as microseconds since 1970-01-01.
func Micros(t testing.TB, reading string) int64 {
	t.Helper()
	at, err := time.Parse(time.DateTime, reading)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMicro()
}
