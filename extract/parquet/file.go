package parquet

import (
	"encoding/binary"
	"fmt"
	"io"
)

// magic begins and ends a Parquet file.
const magic = "PAR1"

// steadySink keeps the first error of a writer and swallows everything after it: whoever writes much in small pieces asks for err
// at the end.
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

// partFile is one Parquet file while it is written.
type partFile struct {
	sink    *steadySink
	encoder *encoder
	rows    int64
}

func newPartFile(to io.Writer, of *form, e *encoder) (*partFile, error) {
	f := &partFile{sink: &steadySink{to: to}, encoder: e}
	e.footer.begin(of)
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
	f.encoder.footer.beginGroup()
	for i, v := range b.Columns {
		if v.rows != b.rows {
			return fmt.Errorf("column %d holds %d rows of a batch of %d", i, v.rows, b.rows)
		}
		if err := f.encoder.column(f.sink, i, v); err != nil {
			return err
		}
	}
	f.encoder.footer.endGroup(b.rows)
	f.rows += int64(b.rows)
	return f.sink.err
}

// close writes the footer.
func (f *partFile) close() error {
	page := &f.encoder.page // its memory is free between two pages
	*page = f.encoder.footer.append((*page)[:0])
	*page = binary.LittleEndian.AppendUint32(*page, uint32(len(*page)))
	*page = append(*page, magic...)
	_, err := f.sink.Write(*page)
	return errorOf(err, f.sink)
}
