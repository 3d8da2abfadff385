package parquet

import (
	"bytes"
	"context"
	"errors"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// creator is who says to have written a file.
const creator = "daybreak"

// zstdCodec is how the Parquet format numbers what PLAIN pages are compressed with.
const zstdCodec = 6

// form is what all parts of one schema have in common.
type form struct {
	columns []formColumn
	head    []byte // of each footer: the format's version and the schema, as the Parquet library writes them
}

// formColumn is what the metadata of each column chunk say of its column.
type formColumn struct {
	physical int64
	path     thrift
}

func newForm(s elt.Schema) (*form, error) {
	root, err := fileSchema(s)
	if err != nil {
		return nil, err
	}
	file := schema.NewSchema(root)
	empty, err := metadata.NewFileMetadataBuilder(file, parquet.NewWriterProperties(parquet.WithCreatedBy(creator), parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithCompression(compress.Codecs.Zstd)), nil).Finish()
	if err != nil {
		return nil, err
	}
	octets, err := empty.Serialize(context.Background())
	if err != nil {
		return nil, err
	}
	f := &form{columns: make([]formColumn, file.NumColumns())}
	for i := range f.columns {
		column := file.Column(i)
		path := column.ColumnPath()
		f.columns[i].physical = int64(column.PhysicalType())
		f.columns[i].path.list(len(path), thriftOctets)
		for _, name := range path {
			f.columns[i].path.octets([]byte(name))
		}
	}
	var ok bool
	if f.head, ok = bytes.CutSuffix(octets, (&footer{form: f}).appendTail(nil)); !ok {
		return nil, errors.New("the Parquet library describes a file without rows in another way than it is done here")
	}
	return f, nil
}

// footer is a file's metadata. They are written while its column chunks end, for which the Parquet library would keep a dozen
// objects each, and read its own schema again for each file.
type footer struct {
	form   *form
	groups thrift
	number int // of row groups
	rows   int64

	first, uncompressed, compressed int64 // of the row group that is open: where it begins, and its octets
}

// begin begins another file of the form, and keeps its memory.
func (f *footer) begin(of *form) { *f = footer{form: of, groups: f.groups[:0]} }

// beginGroup begins a row group.
func (f *footer) beginGroup() {
	f.first, f.uncompressed, f.compressed = 0, 0, 0
	f.groups.field(1, thriftList)
	f.groups.list(len(f.form.columns), thriftStruct)
}

// column adds a column chunk.
func (f *footer) column(number int, p *pages, s statistics) {
	t, column := &f.groups, f.form.columns[number]
	first, codec := p.dataAt, int64(zstdCodec)
	if p.dictionaries > 0 { // what a dictionary leaves is not worth compressing
		first, codec = p.dictionaryAt, 0
	}
	if number == 0 {
		f.first = first
	}
	f.uncompressed, f.compressed = f.uncompressed+p.uncompressed, f.compressed+p.compressed

	t.field(2, thriftLong)
	t.number(first + p.compressed)
	t.field(1, thriftStruct)
	t.numbers(thriftInt, column.physical)
	t.field(1, thriftList)
	if p.dictionaries > 0 {
		t.list(3, thriftInt)
		t.number(int64(p.encoding))
		t.number(int64(parquet.Encodings.Plain))
	} else {
		t.list(2, thriftInt)
		t.number(int64(p.encoding))
	}
	t.number(int64(parquet.Encodings.RLE)) // of levels
	t.field(1, thriftList)
	*t = append(*t, column.path...)
	t.numbers(thriftInt, codec)
	t.numbers(thriftLong, p.values, p.uncompressed, p.compressed)
	t.field(2, thriftLong)
	t.number(p.dataAt)
	after := byte(4)
	if p.dictionaries > 0 {
		t.field(2, thriftLong)
		t.number(p.dictionaryAt)
		after = 2
	}
	if s.width > 0 {
		t.field(after-1, thriftStruct)
		s.append(t)
		after = 1
	}
	t.field(after, thriftList)
	if p.dictionaries > 0 {
		t.list(2, thriftStruct)
		t.numbers(thriftInt, dictionaryPage, int64(parquet.Encodings.Plain), p.dictionaries)
		t.ends(1)
	} else {
		t.list(1, thriftStruct)
	}
	t.numbers(thriftInt, dataPages, int64(p.encoding), p.datas)
	t.ends(3)
}

// endGroup ends a row group of so many rows.
func (f *footer) endGroup(rows int) {
	t := &f.groups
	t.numbers(thriftLong, f.uncompressed, int64(rows))
	t.field(2, thriftLong)
	t.number(f.first)
	t.numbers(thriftLong, f.compressed)
	t.numbers(thriftShort, int64(f.number))
	t.ends(1)
	f.number++
	f.rows += int64(rows)
}

// append appends the whole footer.
func (f *footer) append(to []byte) []byte { return f.appendTail(append(to, f.form.head...)) }

// appendTail appends what comes behind the schema.
func (f *footer) appendTail(to []byte) []byte {
	t := thrift(to)
	t.numbers(thriftLong, f.rows)
	t.field(1, thriftList)
	t.list(f.number, thriftStruct)
	t = append(t, f.groups...)
	t.field(2, thriftOctets)
	t.octets([]byte(creator))
	t.field(1, thriftList)
	t.list(len(f.form.columns), thriftStruct)
	for range f.form.columns { // their values are ordered as their type says
		t.field(1, thriftStruct)
		t.ends(2)
	}
	t.ends(1)
	return t
}

// statistics are what readers may use to skip a column chunk.
type statistics struct {
	low, high [8]byte // in the encoding PLAIN
	width     int     // of them; 0 where nothing is known
	nulls     int64
}

func (s *statistics) append(t *thrift) {
	low, high := s.low[:s.width], s.high[:s.width]
	t.field(1, thriftOctets) // where old readers look for them
	t.octets(high)
	t.field(1, thriftOctets)
	t.octets(low)
	t.numbers(thriftLong, s.nulls)
	t.field(2, thriftOctets)
	t.octets(high)
	t.field(1, thriftOctets)
	t.octets(low)
	t.ends(1)
}
