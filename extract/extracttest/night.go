package extracttest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Moment is a moment of an extraction of the tables small and large.
type Moment string

// The moments at which something happens.
const (
	Connecting    Moment = "connecting"
	BetweenTables Moment = "between tables"
	MidChunk      Moment = "in the middle of a chunk"
	BetweenChunks Moment = "between chunks"
	Ending        Moment = "at the end"
)

// LargeRows is how many rows the table large has, in more than four chunks: a number n from 1 and a text that begins with
// n and a dash.
const LargeRows = 20_000

// Night extracts small and then large, and has something happen at that moment of it. What is stored waits until it has
// happened.
func Night(t *testing.T, x *extract.Extractor, lake *Lake, moment Moment, happen func()) (small, large *elt.Manifest, err error) {
	t.Helper()
	var once sync.Once
	var mu sync.Mutex
	parts := 0
	lake.Before = func(key string) error {
		if !strings.Contains(key, "shop.large/") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(key, ".parquet") {
			parts++
		}
		if moment == MidChunk && parts == 1 || moment == BetweenChunks && parts == 4 || moment == Ending && strings.HasSuffix(key, "manifest.json") {
			once.Do(happen)
		}
		return nil
	}
	tables := []elt.Extraction{Table("small"), Table("large")}
	night := x.Begin("r1", tables, tables)
	defer func() {
		if err := night.Close(); err != nil {
			t.Logf("letting go: %v", err) // of what is gone already
		}
	}()
	if moment == Connecting {
		happen()
	}
	if small, err = night.Extract(t.Context(), Job(tables[0], 1), func(elt.Progress) {}); err != nil {
		return nil, nil, err
	}
	if moment == BetweenTables {
		happen()
	}
	large, err = night.Extract(t.Context(), Job(tables[1], 1), func(elt.Progress) {})
	return small, large, err
}

// Exact checks that the table large came whole.
func Exact(t testing.TB, lake *Lake, m *elt.Manifest) {
	t.Helper()
	rows := lake.Rows(t, m)
	seen := make([]bool, LargeRows+1)
	for _, row := range rows {
		var n int
		if _, err := fmt.Sscan(row[0], &n); err != nil || n < 1 || n > LargeRows || seen[n] || !strings.HasPrefix(row[1], row[0]+"-") {
			t.Fatalf("the row %.40s is wrong, or there twice (%v)", row, err)
		}
		seen[n] = true
	}
	if len(rows) != LargeRows {
		t.Fatalf("%d rows came of %d", len(rows), LargeRows)
	}
}
