package parquet

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// magic begins and ends a Parquet file.
const magic = "PAR1"

// steadySink keeps the first error of a writer and swallows everything after it. The Parquet library ignores
// some errors and panics on others; with this one it sees none, and its caller asks for err.
type steadySink struct {
	to    io.Writer
	bytes int64
	err   error
}

// Write implements io.Writer.
func (s *steadySink) Write(p []byte) (int, error) {
	if s.err == nil {
		var n int
		n, s.err = s.to.Write(p)
		s.bytes += int64(n)
		if s.err == nil && n < len(p) {
			s.err = io.ErrShortWrite
		}
	}
	return len(p), nil
}

// Tell returns how many octets were written.
func (s *steadySink) Tell() int64 { return s.bytes }

// partFile is one Parquet file while it is written.
type partFile struct {
	sink    *steadySink
	encoder *encoder
	footer  *metadata.FileMetaDataBuilder
	groups  int
	rows    int64
}

func newPartFile(to io.Writer, s elt.Schema, e *encoder) (*partFile, error) {
	if e.schema == nil {
		root, err := fileSchema(s)
		if err != nil {
			return nil, err
		}
		e.schema = schema.NewSchema(root)
	}
	f := &partFile{sink: &steadySink{to: to}, encoder: e, footer: metadata.NewFileMetadataBuilder(e.schema, properties(), nil)}
	_, err := f.sink.Write([]byte(magic))
	return f, errorOf(err, f.sink)
}

// errorOf returns err, or what the sink kept.
func errorOf(err error, sink *steadySink) error {
	if err != nil {
		return err
	}
	return sink.err
}

// write writes the batch as one row group.
func (f *partFile) write(b *Batch) error {
	group := f.footer.AppendRowGroup()
	var size int64
	for i, v := range b.Columns {
		if v.rows != b.rows {
			return fmt.Errorf("column %d holds %d rows of a batch of %d", i, v.rows, b.rows)
		}
		chunk := group.NextColumnChunk()
		if err := f.encoder.column(f.sink, chunk, i, v); err != nil {
			return err
		}
		size += chunk.Contents().MetaData.TotalUncompressedSize
	}
	group.SetNumRows(b.rows)
	if err := group.Finish(size, int16(f.groups)); err != nil {
		return err
	}
	f.groups++
	f.rows += int64(b.rows)
	return f.sink.err
}

// close writes the footer.
func (f *partFile) close() error {
	footer, err := f.footer.Finish()
	if err != nil {
		return err
	}
	begin := f.sink.bytes
	if _, err := footer.WriteTo(f.sink, nil); err != nil {
		return err
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(f.sink.bytes-begin))
	_, err = f.sink.Write(append(end, magic...))
	return errorOf(err, f.sink)
}

// properties returns what the file's metadata say of how it was written.
func properties() *parquet.WriterProperties {
	return parquet.NewWriterProperties(parquet.WithCreatedBy("daybreak"), parquet.WithVersion(parquet.V2_LATEST), parquet.WithCompression(compress.Codecs.Zstd))
}
