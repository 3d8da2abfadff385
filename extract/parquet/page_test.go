package parquet

import (
	"bytes"
	"math"
	"testing"

	buffer "github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// TestPagesAreTheLibrarys has the Parquet library write the same column chunk: octet for octet it is the same, and what the
// footer says of it, too.
func TestPagesAreTheLibrarys(t *testing.T) {
	root, err := fileSchema(elt.Schema{{Name: "t", Type: elt.Type{Kind: elt.String}}})
	if err != nil {
		t.Fatal(err)
	}
	chunk := func() *metadata.ColumnChunkMetaDataBuilder {
		return metadata.NewFileMetadataBuilder(schema.NewSchema(root), properties(), nil).AppendRowGroup().NextColumnChunk()
	}
	number := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, math.MaxInt32))
	property.Check(t, func(t *rapid.T) {
		var ours, theirs bytes.Buffer
		own, other := chunk(), chunk()
		sink := &steadySink{to: &theirs}
		library, err := file.NewPageWriter(sink, compress.Codecs.Uncompressed, 0, other, 0, 0, buffer.DefaultAllocator, false, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var p pages
		p.begin(&steadySink{to: &ours})
		begun := rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "before")
		for _, s := range []*steadySink{p.sink, sink} { // no column chunk begins where the file does
			if _, err := s.Write(begun); err != nil {
				t.Fatal(err)
			}
		}
		must := func(_ int64, err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		inDictionary := rapid.Bool().Draw(t, "in dictionary")
		if inDictionary {
			plain, values := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "dictionary"), number.Draw(t, "values")
			must(0, p.dictionary(plain, values))
			must(library.WriteDictionaryPage(file.NewDictionaryPage(buffer.NewBufferBytes(plain), int32(values), parquet.Encodings.Plain)))
		}
		for range rapid.IntRange(1, 3).Draw(t, "pages") {
			page := dataPage{
				octets: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "page"), uncompressed: number.Draw(t, "uncompressed"), squeezed: rapid.Bool().Draw(t, "squeezed"),
				values: number.Draw(t, "values"), nulls: number.Draw(t, "nulls"), rows: number.Draw(t, "rows"),
				repetitions: number.Draw(t, "repetitions"), definitions: number.Draw(t, "definitions"),
				encoding: rapid.SampledFrom([]parquet.Encoding{parquet.Encodings.Plain, parquet.Encodings.RLEDict, parquet.Encodings.DeltaBinaryPacked}).Draw(t, "encoding"),
			}
			must(0, p.data(page))
			must(library.WriteDataPage(file.NewDataPageV2(buffer.NewBufferBytes(page.octets), int32(page.values), int32(page.nulls), int32(page.rows), page.encoding,
				int32(page.definitions), int32(page.repetitions), int32(page.uncompressed), page.squeezed)))
		}
		// The library counts pages of several encodings in an order of its own.
		if len(p.stats.DataEncodingStats) > 1 {
			return
		}
		must(0, p.end(own, inDictionary))
		must(0, library.Close(inDictionary, false))
		if !bytes.Equal(ours.Bytes(), theirs.Bytes()) {
			t.Fatalf("%x was written, the library writes %x", ours.Bytes(), theirs.Bytes())
		}
		if diff := cmp.Diff(other.Contents(), own.Contents()); diff != "" {
			t.Fatalf("(-library +here)\n%s", diff)
		}
	})
}
