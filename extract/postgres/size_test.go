package postgres_test

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// held returns how much memory the process has of the system, without what it has given back.
func held() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// grows returns by how much the memory of this process grew at most while do ran.
func grows(do func()) int64 {
	debug.FreeOSMemory()
	before := held()
	stop, most := make(chan struct{}), before
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				most = max(most, held())
			}
		}
	})
	do()
	close(stop)
	watch.Wait()
	return most - before
}

// TestSizes extracts sources of unusual shapes within the memory that docs/postgresql.md tells of.
func TestSizes(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf(`CREATE TABLE t%d AS SELECT i AS id, 'row ' || i AS v FROM generate_series(1, %d) i`, i, i%50))
	}
	var columns []string
	for i := range 1600 {
		columns = append(columns, fmt.Sprintf("(i + %d)::int2 AS c%d", i, i))
	}
	for name, test := range map[string]struct {
		statements []string
		tables     int
		rows       int64
		most       int64 // megabytes
	}{
		"nothing":         {nil, 0, 0, 20},
		"1,000 tables":    {[]string{strings.Join(many, ";")}, 1000, 24_500, 100},
		"1,600 columns":   {[]string{`CREATE TABLE t0 AS SELECT ` + strings.Join(columns, ", ") + ` FROM generate_series(1, 3000) i`}, 1, 3000, 450},
		"values of 100MB": {[]string{`CREATE TABLE t0 AS SELECT i, repeat(chr(96 + i), 100000000) AS v FROM generate_series(1, 4) i`}, 1, 4, 650},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := database(t, test.statements...)
			var tables []elt.Extraction
			for i := range test.tables {
				tables = append(tables, extracttest.Table(fmt.Sprintf("public.t%d", i)))
			}
			var rows int64
			grown := grows(func() {
				night := extracttest.New(t, newSource(t, url), &extracttest.Lake{Discard: true}).Begin("r1", tables, tables)
				defer night.Close()
				var mu sync.Mutex
				var workers sync.WaitGroup
				queue := make(chan elt.Extraction)
				for range 4 {
					workers.Go(func() {
						for e := range queue {
							m, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
							if err != nil {
								t.Error(err)
								continue
							}
							mu.Lock()
							rows += m.Rows()
							mu.Unlock()
							if !m.Source.CrossTableConsistent {
								t.Errorf("%s is of another moment", e.Dataset)
							}
						}
					})
				}
				for _, e := range tables {
					queue <- e
				}
				close(queue)
				workers.Wait()
			})
			t.Logf("%d MB more", grown>>20)
			if rows != test.rows || grown > test.most<<20 {
				t.Errorf("%d rows came, of %d, in %d MB, of %d", rows, test.rows, grown>>20, test.most)
			}
		})
	}
}
