package parquet

import (
	"encoding/binary"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/metadata"
)

// Kinds of pages, and of fields in Thrift's compact protocol, as the Parquet format numbers them.
const (
	dictionaryPage = 2
	dataPageV2     = 3

	thriftFalse  = 2
	thriftInt    = 5
	thriftStruct = 12
)

// pages writes the pages of one column chunk after the other, each as it is, behind its header: what the Parquet library's
// own page writer does, without the ten objects that it makes for each column chunk.
type pages struct {
	sink   *steadySink
	info   metadata.ChunkMetaInfo
	stats  metadata.EncodingStats
	header []byte
}

// begin begins a column chunk.
func (p *pages) begin(sink *steadySink) {
	if p.stats.DataEncodingStats == nil {
		p.stats = metadata.EncodingStats{DictEncodingStats: make(map[parquet.Encoding]int32), DataEncodingStats: make(map[parquet.Encoding]int32)}
	}
	p.sink, p.info = sink, metadata.ChunkMetaInfo{IndexPageOffset: -1}
	clear(p.stats.DictEncodingStats)
	clear(p.stats.DataEncodingStats)
}

// end ends it, and writes its metadata behind its pages, as the footer will have them again.
func (p *pages) end(chunk *metadata.ColumnChunkMetaDataBuilder, inDictionary bool) error {
	if err := chunk.Finish(p.info, inDictionary, false, p.stats, nil); err != nil {
		return err
	}
	_, err := chunk.WriteTo(p.sink)
	return err
}

// field appends a field of a structure, so many numbers after the one before.
func (p *pages) field(after, kind byte) { p.header = append(p.header, after<<4|kind) }

// numbers appends the next fields, which are numbers.
func (p *pages) numbers(of ...int) {
	for _, n := range of {
		p.field(1, thriftInt)
		p.header = binary.AppendVarint(p.header, int64(n))
	}
}

// ends ends structures, so many.
func (p *pages) ends(structures int) { p.header = append(p.header, make([]byte, structures)...) }

// dictionary writes a dictionary of so many values.
func (p *pages) dictionary(plain []byte, values int) error {
	p.header = p.header[:0]
	p.numbers(dictionaryPage, len(plain), len(plain))
	p.field(4, thriftStruct)
	p.numbers(values, int(parquet.Encodings.Plain))
	p.field(1, thriftFalse) // it is not sorted
	p.ends(2)
	p.info.DictPageOffset = p.sink.Tell()
	p.stats.DictEncodingStats[parquet.Encodings.Plain]++
	return p.write(plain, len(plain))
}

// dataPage is a page of version 2.
type dataPage struct {
	octets       []byte // levels, which are never compressed, and values
	uncompressed int    // octets that it would have
	squeezed     bool   // the values are compressed
	values       int    // NULLs, too
	nulls, rows  int
	repetitions  int // octets of repetition levels
	definitions  int // octets of definition levels
	encoding     parquet.Encoding
}

// data writes a page of values.
func (p *pages) data(page dataPage) error {
	p.header = p.header[:0]
	p.numbers(dataPageV2, page.uncompressed, len(page.octets))
	p.field(5, thriftStruct)
	p.numbers(page.values, page.nulls, page.rows, int(page.encoding), page.definitions, page.repetitions)
	skipped := byte(1) // what says that the values are compressed, as they are unless it is said
	if !page.squeezed {
		p.field(1, thriftFalse)
		skipped = 0
	}
	p.field(1+skipped, thriftStruct) // of statistics, of which a page has none
	p.ends(3)
	if p.info.DataPageOffset == 0 {
		p.info.DataPageOffset = p.sink.Tell()
	}
	p.info.NumValues += int64(page.values)
	p.stats.DataEncodingStats[page.encoding]++
	return p.write(page.octets, page.uncompressed)
}

// write writes the header and the page, which would have so many octets if it were not compressed.
func (p *pages) write(page []byte, uncompressed int) error {
	p.info.CompressedSize += int64(len(p.header) + len(page))
	p.info.UncompressedSize += int64(len(p.header) + uncompressed)
	if _, err := p.sink.Write(p.header); err != nil {
		return err
	}
	_, err := p.sink.Write(page)
	return err
}
