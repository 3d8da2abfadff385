package parquet

import "github.com/apache/arrow/go/v15/parquet"

// Kinds of pages, as the Parquet format numbers them.
const (
	dataPages      = 0 // of both versions, where pages are counted
	dictionaryPage = 2
	dataPageV2     = 3
)

// pages writes the pages of one column chunk after the other, each as it is, behind its header: what the Parquet library's
// own page writer does, without the ten objects that it makes for each column chunk.
type pages struct {
	sink   *steadySink
	header thrift

	// Of the column chunk so far.
	values                     int64            // NULLs, too
	compressed, uncompressed   int64            // octets of its pages and their headers
	dictionaries, dictionaryAt int64            // how many dictionaries there are, one or none, and where it begins
	datas, dataAt              int64            // how many other pages, and where the first begins
	encoding                   parquet.Encoding // of these
}

// begin begins a column chunk.
func (p *pages) begin(sink *steadySink) { *p = pages{sink: sink, header: p.header} }

// dictionary writes a dictionary of so many values.
func (p *pages) dictionary(plain []byte, values int) error {
	h := &p.header
	*h = (*h)[:0]
	h.numbers(thriftInt, dictionaryPage, int64(len(plain)), int64(len(plain)))
	h.field(4, thriftStruct)
	h.numbers(thriftInt, int64(values), int64(parquet.Encodings.Plain))
	h.field(1, thriftFalse) // it is not sorted
	h.ends(2)
	p.dictionaryAt = p.sink.bytes
	p.dictionaries++
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

// data writes a page of values. Those of a column chunk have one encoding.
func (p *pages) data(page dataPage) error {
	h := &p.header
	*h = (*h)[:0]
	h.numbers(thriftInt, dataPageV2, int64(page.uncompressed), int64(len(page.octets)))
	h.field(5, thriftStruct)
	h.numbers(thriftInt, int64(page.values), int64(page.nulls), int64(page.rows), int64(page.encoding), int64(page.definitions), int64(page.repetitions))
	skipped := byte(1) // what says that the values are compressed, as they are unless it is said
	if !page.squeezed {
		h.field(1, thriftFalse)
		skipped = 0
	}
	h.field(1+skipped, thriftStruct) // of statistics, of which a page has none
	h.ends(3)
	if p.datas == 0 {
		p.dataAt, p.encoding = p.sink.bytes, page.encoding
	}
	p.datas++
	p.values += int64(page.values)
	return p.write(page.octets, page.uncompressed)
}

// write writes the header and the page, which would have so many octets if it were not compressed.
func (p *pages) write(page []byte, uncompressed int) error {
	p.compressed += int64(len(p.header) + len(page))
	p.uncompressed += int64(len(p.header) + uncompressed)
	if _, err := p.sink.Write(p.header); err != nil {
		return err
	}
	_, err := p.sink.Write(page)
	return err
}
