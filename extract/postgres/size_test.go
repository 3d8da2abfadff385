package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// TestSizes extracts sources of unusual shapes within the memory that docs/postgresql.md tells of, garbage apart.
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
		verify     elt.Level
	}{
		"nothing":         {nil, 0, 0, 10, ""},
		"1,000 tables":    {[]string{strings.Join(many, ";")}, 1000, 24_500, 30, elt.LevelColumns},
		"1,600 columns":   {[]string{`CREATE TABLE t0 AS SELECT ` + strings.Join(columns, ", ") + ` FROM generate_series(1, 3000) i`}, 1, 3000, 180, elt.LevelColumns},
		"values of 100MB": {[]string{`CREATE TABLE t0 AS SELECT i, repeat(chr(96 + i), 100000000) AS v FROM generate_series(1, 3) i`}, 1, 3, 650, elt.LevelRows},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := database(t, test.statements...)
			var tables []elt.Extraction
			for i := range test.tables {
				e := extracttest.Table(fmt.Sprintf("public.t%d", i))
				e.Verify = test.verify
				tables = append(tables, e)
			}
			var rows int64
			grown := extracttest.Held(t, func() {
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
			if rows != test.rows || grown > test.most {
				t.Errorf("%d rows came, of %d, in %d MB, of %d", rows, test.rows, grown, test.most)
			}
		})
	}
}
