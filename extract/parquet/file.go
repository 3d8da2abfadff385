package parquet

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// compression is the codec of every page.
var compression = compress.Codecs.Zstd

// pageValues is how many values are written between two looks at the size of the page.
const pageValues = 1024

// steadySink keeps the first error of a writer and swallows everything after it. The Parquet library ignores
// some errors and panics on others; with this one it sees none, and its caller asks for err.
type steadySink struct {
	to    io.Writer
	bytes int64
	err   error
}

// Write implements io.Writer.
func (s *steadySink) Write(p []byte) (int, error) {
	if s.err != nil {
		return len(p), nil
	}
	n, err := s.to.Write(p)
	s.bytes += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.err = err
	return len(p), nil //nolint:nilerr // err is kept, for whoever knows how to ask
}

// partFile is one Parquet file while it is written.
type partFile struct {
	sink    *steadySink
	file    *file.Writer
	rows    int64
	scratch scratch
}

// scratch is the slices of slices that the library's writers of octets ask for.
type scratch struct {
	octets []parquet.ByteArray
	fixed  []parquet.FixedLenByteArray
	wide   []byte
}

func newPartFile(to io.Writer, s elt.Schema) (*partFile, error) {
	root, err := fileSchema(s)
	if err != nil {
		return nil, err
	}
	sink := &steadySink{to: to}
	return &partFile{sink: sink, file: file.NewParquetWriter(sink, root, file.WithWriterProps(properties(s)))}, sink.err
}

// write writes the batch as one row group.
func (f *partFile) write(b *Batch) error {
	group := f.file.AppendRowGroup()
	for i, v := range b.Columns {
		if v.rows != b.rows {
			return fmt.Errorf("column %d holds %d rows of a batch of %d", i, v.rows, b.rows)
		}
		column, err := group.NextColumn()
		if err != nil {
			return err
		}
		if err := f.writeColumn(column, v); err != nil {
			return err
		}
		if err := column.Close(); err != nil {
			return err
		}
		if f.sink.err != nil {
			return f.sink.err
		}
	}
	// The library's own Close of the file would drop this error.
	if err := group.Close(); err != nil {
		return err
	}
	f.rows += int64(b.rows)
	return f.sink.err
}

// writeColumn writes a vector in pieces that end where a row ends.
func (f *partFile) writeColumn(to file.ColumnChunkWriter, v *Vector) error {
	value := 0
	for from := 0; from < len(v.def); {
		until := min(from+pageValues, len(v.def))
		for v.isList && until < len(v.def) && v.rep[until] != 0 {
			until++
		}
		def, rep := v.def[from:until], []int16(nil)
		if v.isList {
			rep = v.rep[from:until]
		}
		n := 0
		for _, d := range def {
			if d == v.present {
				n++
			}
		}
		if err := f.writePiece(to, v, value, value+n, def, rep); err != nil {
			return err
		}
		from, value = until, value+n
	}
	return nil
}

func (f *partFile) writePiece(to file.ColumnChunkWriter, v *Vector, from, until int, def, rep []int16) (err error) {
	switch to := to.(type) {
	case *file.BooleanColumnChunkWriter:
		_, err = to.WriteBatch(v.bools[from:until], def, rep)
	case *file.Int32ColumnChunkWriter:
		_, err = to.WriteBatch(v.days[from:until], def, rep)
	case *file.Int64ColumnChunkWriter:
		_, err = to.WriteBatch(v.ints[from:until], def, rep)
	case *file.Float64ColumnChunkWriter:
		_, err = to.WriteBatch(v.floats[from:until], def, rep)
	case *file.FixedLenByteArrayColumnChunkWriter:
		_, err = to.WriteBatch(f.scratch.fixedOf(v.wide[from:until]), def, rep)
	case *file.ByteArrayColumnChunkWriter:
		_, err = to.WriteBatch(f.scratch.octetsOf(v, from, until), def, rep)
	default:
		err = fmt.Errorf("a column writer of type %T is not known", to)
	}
	return err
}

func (s *scratch) octetsOf(v *Vector, from, until int) []parquet.ByteArray {
	s.octets = s.octets[:0]
	for i := from; i < until; i++ {
		s.octets = append(s.octets, v.octets(i))
	}
	return s.octets
}

func (s *scratch) fixedOf(xs []Int128) []parquet.FixedLenByteArray {
	s.wide, s.fixed = s.wide[:0], s.fixed[:0]
	for _, x := range xs {
		s.wide = x.bigEndian(s.wide)
	}
	for i := range xs {
		s.fixed = append(s.fixed, s.wide[i*wideOctets:(i+1)*wideOctets])
	}
	return s.fixed
}

// close writes the footer.
func (f *partFile) close() error {
	if err := f.file.Close(); err != nil {
		return err
	}
	return f.sink.err
}
