package parquet

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// TestRoomIsMadeForWhatComes fills a batch. Room for what comes keeps what there is, suffices for rows like those before, and is never for much more
// than comes.
func TestRoomIsMadeForWhatComes(t *testing.T) {
	schema := elt.Schema{{Name: "i", Type: elt.Type{Kind: elt.Int64}}, {Name: "n", Type: elt.Type{Kind: elt.DateKind}, Nullable: true},
		{Name: "t", Type: elt.Type{Kind: elt.String}}, {Name: "l", Type: elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.Int64}}}}
	for _, octets := range []int{10, 1000} { // the batch is full by its rows, and by its octets
		b := NewBatch(schema)
		var want [][]string
		moved, room := 0, 0
		for i := 0; !b.Full(); i++ {
			b.Columns[0].AppendInt(int64(i))
			b.Columns[1].AppendNull()
			b.Columns[2].AppendString(fmt.Sprintf("%0*d", octets, i))
			b.Columns[3].BeginList()
			b.Columns[3].AppendInt(int64(i))
			b.Columns[3].EndList()
			b.EndRow(octets + 24)
			if i%1000 == 0 {
				want = append(want, []string{fmt.Sprint(i), "NULL", fmt.Sprintf("%0*d", octets, i), fmt.Sprintf("[%d]", i)})
			}
			if now := cap(b.Columns[0].ints); b.rows > firstRoom && now != room {
				moved, room = moved+1, now
			}
		}
		var got [][]string
		columns := make([][]string, len(schema))
		for c, v := range b.Columns {
			columns[c] = v.Texts()
		}
		for i := 0; i < b.rows; i += 1000 {
			got = append(got, []string{columns[0][i], columns[1][i], columns[2][i], columns[3][i]})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if octets == 10 && moved > 12 { // growing by a quarter from 128 rows on would be 25 times
			t.Errorf("%d rows of %d octets moved %d times", b.rows, octets, moved)
		}
		for _, c := range []struct{ have, room int }{{b.rows, cap(b.Columns[0].ints)}, {len(b.Columns[2].data), cap(b.Columns[2].data)}, {b.rows, cap(b.Columns[3].rep)}} {
			if c.room > c.have*3/2 {
				t.Errorf("%d rows of %d octets: there is room for %d where %d are", b.rows, octets, c.room, c.have)
			}
		}
	}
}
