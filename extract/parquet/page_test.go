package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"testing"

	buffer "github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// chunkDrawn is a column chunk as a test draws it.
type chunkDrawn struct {
	dictionary []byte // nil where there is none
	values     int    // of the dictionary
	pages      []dataPage
	statistics statistics
}

// drawn draws a column chunk.
func drawn(t *rapid.T) (c chunkDrawn) {
	number := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, math.MaxInt32))
	encoding := rapid.SampledFrom([]parquet.Encoding{parquet.Encodings.Plain, parquet.Encodings.DeltaBinaryPacked}).Draw(t, "encoding")
	if rapid.Bool().Draw(t, "in dictionary") {
		c.dictionary, c.values = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "dictionary"), number.Draw(t, "values")
		encoding = parquet.Encodings.RLEDict
	}
	for range rapid.IntRange(1, 3).Draw(t, "pages") {
		c.pages = append(c.pages, dataPage{
			octets: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "page"), uncompressed: number.Draw(t, "uncompressed"), squeezed: rapid.Bool().Draw(t, "squeezed"),
			values: number.Draw(t, "values"), nulls: number.Draw(t, "nulls"), rows: number.Draw(t, "rows"),
			repetitions: number.Draw(t, "repetitions"), definitions: number.Draw(t, "definitions"), encoding: encoding,
		})
	}
	if c.statistics.width = rapid.SampledFrom([]int{0, 4, 8}).Draw(t, "width"); c.statistics.width > 0 {
		c.statistics.nulls = int64(number.Draw(t, "nulls"))
		binary.LittleEndian.PutUint64(c.statistics.low[:], rapid.Uint64().Draw(t, "low"))
		binary.LittleEndian.PutUint64(c.statistics.high[:], rapid.Uint64().Draw(t, "high"))
	}
	return c
}

// write writes the column chunk as this package does.
func (c chunkDrawn) write(to *steadySink, p *pages, f *footer, column int) error {
	p.begin(to)
	if c.dictionary != nil {
		if err := p.dictionary(c.dictionary, c.values); err != nil {
			return err
		}
	}
	for _, page := range c.pages {
		if err := p.data(page); err != nil {
			return err
		}
	}
	f.column(column, p, c.statistics)
	return nil
}

// placed is a sink that tells the Parquet library where it stands.
type placed struct{ *steadySink }

func (s placed) Tell() int64 { return s.bytes }

// theirs has the Parquet library write it.
func (c chunkDrawn) theirs(to *steadySink, chunk *metadata.ColumnChunkMetaDataBuilder) error {
	if s := c.statistics; s.width > 0 {
		known := metadata.EncodedStatistics{Signed: true}
		known.SetMin(s.low[:s.width])
		known.SetMax(s.high[:s.width])
		known.SetNullCount(s.nulls)
		chunk.SetStats(known)
	}
	if c.dictionary != nil {
		chunk.Contents().MetaData.Codec = 0
	}
	library, err := file.NewPageWriter(placed{to}, compress.Codecs.Uncompressed, 0, chunk, 0, 0, buffer.DefaultAllocator, false, nil, nil)
	if err == nil && c.dictionary != nil {
		_, err = library.WriteDictionaryPage(file.NewDictionaryPage(buffer.NewBufferBytes(c.dictionary), int32(c.values), parquet.Encodings.Plain))
	}
	for _, page := range c.pages {
		if err == nil {
			_, err = library.WriteDataPage(file.NewDataPageV2(buffer.NewBufferBytes(page.octets), int32(page.values), int32(page.nulls), int32(page.rows), page.encoding,
				int32(page.definitions), int32(page.repetitions), int32(page.uncompressed), page.squeezed))
		}
	}
	if err != nil {
		return err
	}
	return library.Close(c.dictionary != nil, false)
}

// asTold are properties with which the library writes what this package does, for a column of one encoding.
func asTold(deltas []string) *parquet.WriterProperties {
	options := []parquet.WriterProperty{parquet.WithCreatedBy(creator), parquet.WithVersion(parquet.V2_LATEST), parquet.WithCompression(compress.Codecs.Zstd)}
	for _, column := range deltas {
		options = append(options, parquet.WithEncodingFor(column, parquet.Encodings.DeltaBinaryPacked))
	}
	return parquet.NewWriterProperties(options...)
}

// TestPagesAndFootersAreTheLibrarys has the Parquet library write the same column chunks and the same footer: octet for octet they are the same.
func TestPagesAndFootersAreTheLibrarys(t *testing.T) {
	list := elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.Int64}}
	all := elt.Schema{{Name: "t", Type: elt.Type{Kind: elt.String}}, {Name: "a name, \"quoted\" — long, too", Type: elt.Type{Kind: elt.DateKind}}, {Name: "l", Type: list}}
	for i := range 15 { // so that a list is long
		all = append(all, elt.Column{Name: string(rune('a' + i)), Type: elt.Type{Kind: elt.Decimal, Precision: 10 + i, Scale: i}})
	}
	property.Check(t, func(t *rapid.T) {
		some := all[:rapid.SampledFrom([]int{0, 1, 3, 14, len(all)}).Draw(t, "columns")]
		of, err := newForm(some)
		if err != nil {
			t.Fatal(err)
		}
		root, err := fileSchema(some)
		if err != nil {
			t.Fatal(err)
		}
		chunks := make([]chunkDrawn, len(some))
		var deltas []string
		for i := range chunks {
			if chunks[i] = drawn(t); chunks[i].pages[0].encoding == parquet.Encodings.DeltaBinaryPacked {
				deltas = append(deltas, schema.NewSchema(root).Column(i).Path())
			}
		}
		library := metadata.NewFileMetadataBuilder(schema.NewSchema(root), asTold(deltas), nil)
		var ours, theirs bytes.Buffer
		own, other := &steadySink{to: &ours}, &steadySink{to: &theirs}
		begun := []byte(magic) // no column chunk begins where the file does
		for _, s := range []*steadySink{own, other} {
			if _, err := s.Write(begun); err != nil {
				t.Fatal(err)
			}
		}
		var p pages
		var f footer
		f.begin(of)
		for g := range rapid.SampledFrom([]int{0, 1, 2, 16}).Draw(t, "groups") {
			f.beginGroup()
			group := library.AppendRowGroup()
			var size int64
			for i, c := range chunks {
				if err := c.write(own, &p, &f, i); err != nil {
					t.Fatal(err)
				}
				chunk := group.NextColumnChunk()
				if err := c.theirs(other, chunk); err != nil {
					t.Fatal(err)
				}
				size += chunk.Contents().MetaData.TotalUncompressedSize
			}
			rows := rapid.IntRange(0, math.MaxInt32).Draw(t, "rows")
			f.endGroup(rows)
			group.SetNumRows(rows)
			if err := group.Finish(size, int16(g)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(ours.Bytes(), theirs.Bytes()) {
			t.Fatalf("%x was written, the library writes %x", ours.Bytes(), theirs.Bytes())
		}
		whole, err := library.Finish()
		if err != nil {
			t.Fatal(err)
		}
		want, err := whole.Serialize(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if got := f.append(nil); !bytes.Equal(got, want) {
			t.Fatalf("the footer is\n%x, the library's\n%x", got, want)
		}
	})
}
