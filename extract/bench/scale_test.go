package bench

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract/extracttest"
)

// projected is how many rows a table has for which docs/scale.md says what its extraction takes.
const projected = 1_000_000_000

// scaleConnections are how many connections read; the projection is made for each.
var scaleConnections = []int{1, 4}

// BenchmarkScale extracts lineitem at one, four and sixteen times DAYBREAK_BENCH_SCALE rows, a million by default, and prints
// what each took as Markdown, and what a thousand million rows would take by the straight line through the three. How far the
// line through the smaller two misses the largest says what such a line is worth.
func BenchmarkScale(b *testing.B) {
	base, err := strconv.Atoi(cmp.Or(os.Getenv("DAYBREAK_BENCH_SCALE"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	s := newServer(b)
	took := make(map[int][]measure) // by connections, the sizes from small to large
	for _, times := range []int{1, 4, 16} {
		n := base * times
		s.exec(b, fmt.Sprintf(extracttest.Lineitem, n))
		s.exec(b, "VACUUM ANALYZE lineitem")
		for _, c := range scaleConnections {
			var of []measure
			for range max(1, 4/times) { // what is soon over is measured more often
				of = append(of, s.run(b, contender{name: fmt.Sprintf("%d connections", c), connections: c}, "lineitem", int64(n)))
			}
			m := median(of)
			m.Rows = int64(n)
			took[c] = append(took[c], m)
		}
		s.exec(b, "DROP TABLE lineitem")
	}
	measured(took)
	projection(took)
}

// measured prints what was measured.
func measured(took map[int][]measure) {
	fmt.Printf("\nlineitem, measured\n\n")
	table("rows | connections | wall s | rows/s | client CPU s | server CPU s | peak MiB | MiB of Parquet", func(row func(format string, args ...any)) {
		for _, c := range scaleConnections {
			for _, m := range took[c] {
				row("%d | %d | %.2f | %.0f | %.2f | %.2f | %d | %.1f", m.Rows, c, m.Wall.Seconds(), float64(m.Rows)/m.Wall.Seconds(), m.ClientCPU.Seconds(), m.ServerCPU.Seconds(), m.PeakBytes>>20, mebi(m.Written))
			}
		}
	})
}

// projection prints what the projected table would take. Its memory is the largest that was measured, and the growth of the last
// fourfold table says whether that may be said.
func projection(took map[int][]measure) {
	fmt.Printf("\n%d rows, projected\n\n", projected)
	table("connections | hours | client core hours | server core hours | peak MiB | growth of memory, last fourfold | GiB of Parquet | objects of 256 MiB | the line misses the largest by", func(row func(format string, args ...any)) {
		for _, c := range scaleConnections {
			all := took[c]
			last := all[len(all)-1]
			wall := func(m measure) float64 { return m.Wall.Seconds() }
			bytes := lineThrough(all, func(m measure) float64 { return float64(m.Written) }).at(projected)
			row("%d | %.2f | %.2f | %.2f | %d | %+.0f %% | %.1f | %.0f | %+.0f %%", c,
				lineThrough(all, wall).at(projected)/time.Hour.Seconds(),
				lineThrough(all, func(m measure) float64 { return m.ClientCPU.Seconds() }).at(projected)/time.Hour.Seconds(),
				lineThrough(all, func(m measure) float64 { return m.ServerCPU.Seconds() }).at(projected)/time.Hour.Seconds(),
				last.PeakBytes>>20, 100*(float64(last.PeakBytes)/float64(all[len(all)-2].PeakBytes)-1), bytes/(1<<30), bytes/(256<<20),
				100*(lineThrough(all[:len(all)-1], wall).at(float64(last.Rows))/last.Wall.Seconds()-1))
		}
	})
}

// line is what something takes before the first row, and for each.
type line struct{ first, each float64 }

func (l line) at(rows float64) float64 { return l.first + l.each*rows }

// lineThrough is the straight line through a figure of the measures by their rows: the one with the least squares.
func lineThrough(of []measure, figure func(measure) float64) line {
	var n, x, y, xx, xy float64
	for _, m := range of {
		rows, f := float64(m.Rows), figure(m)
		n, x, y, xx, xy = n+1, x+rows, y+f, xx+rows*rows, xy+rows*f
	}
	each := (n*xy - x*y) / (n*xx - x*x)
	return line{(y - each*x) / n, each}
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// table prints rows as Markdown, as docs has its tables.
func table(head string, rows func(row func(format string, args ...any))) {
	fmt.Printf("| %s |\n|%s\n", head, strings.Repeat(" --- |", strings.Count(head, " | ")+1))
	rows(func(format string, args ...any) { fmt.Printf("| "+format+" |\n", args...) })
}

// A line through what lies on one finds it.
func TestLineThrough(t *testing.T) {
	var of []measure
	for _, rows := range []int64{1_000_000, 4_000_000, 16_000_000} {
		of = append(of, measure{Rows: rows, Wall: 3*time.Second + time.Duration(rows)*time.Microsecond})
	}
	got := lineThrough(of, func(m measure) float64 { return m.Wall.Seconds() })
	if at := got.at(projected); at < 1002.9 || at > 1003.1 {
		t.Errorf("%+v is %f at a thousand million rows, want 1003", got, at)
	}
}
