package bench

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/daybreak-data/daybreak/extract/extracttest"
)

// BenchmarkMemory extracts lineitem at one, four and sixteen times DAYBREAK_BENCH_ROWS ÷ 4 rows and prints the peak of
// the process's memory: what is kept does not grow with the table.
func BenchmarkMemory(b *testing.B) {
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("DAYBREAK_BENCH_ROWS"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	s := newServer(b)
	fmt.Printf("\nPeak of memory by the size of lineitem\n\n")
	table("rows | one connection reads, MiB | four connections read, MiB", func(row func(format string, args ...any)) {
		for _, times := range []int{1, 4, 16} {
			n := rows / 4 * times
			s.exec(b, fmt.Sprintf(extracttest.Lineitem, n))
			s.exec(b, "VACUUM ANALYZE lineitem")
			one := s.run(b, contender{name: "1 connection", connections: 1}, "lineitem", int64(n))
			four := s.run(b, contender{name: "4 connections", connections: 4}, "lineitem", int64(n))
			row("%d | %d | %d", n, one.PeakBytes>>20, four.PeakBytes>>20)
			s.exec(b, "DROP TABLE lineitem")
		}
	})
}
