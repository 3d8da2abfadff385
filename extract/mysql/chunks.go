package mysql

import (
	"context"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
)

const (
	// chunksPerConnection is how many chunks a table has for each connection that may read, so that no connection waits
	// long for the last one.
	chunksPerConnection = 6
	// largestChunk is how much of a table, as it lies on the server's disk, one chunk holds at most.
	largestChunk = 1 << 30
	// mostDives limits how often the server is asked for an estimate, however its keys are scattered.
	mostDives = 2000
)

// partition is one of a table's partitions, with those within it.
type partition struct {
	name    string
	bytes   int64
	created string // a partition that was emptied or exchanged is another one
	past    bool   // it was made by when rows ended, and no statement may name it
}

// chunk is what one statement reads: a whole table, whole partitions, or a range of the key in either.
type chunk struct {
	table      *table
	partitions []string // empty for all
	from, to   bound    // within it; nil for no bound
	null       bool     // only rows without a key
	ranged     bool     // only rows with a key
	window     *extract.Range
}

// sql returns what follows FROM: the rows of the chunk for which all else holds, too.
func (c chunk) sql(also ...string) string {
	where := c.where()
	from := c.relation(len(where) > 0)
	where = append(where, also...)
	if c.window != nil {
		where = append(where, rangeSQL(c.window))
	}
	return from + conditions(where)
}

// where returns the conditions that make the chunk a range of the key.
func (c chunk) where() []string {
	var where []string
	k := c.table.key
	if c.from != nil {
		where = append(where, k.atLeast(c.from))
	}
	if c.to != nil {
		where = append(where, k.below(c.to))
	}
	switch {
	case c.null:
		where = append(where, k.columns[0].sql()+" IS NULL")
	case c.ranged && k.nullable && len(where) == 0:
		where = append(where, k.columns[0].sql()+" IS NOT NULL")
	}
	return where
}

// relation returns the table, its partitions, and the index where the chunk is a range of it: left alone, a server
// may prefer to look at all rows of the table for each of its chunks.
func (c chunk) relation(ranged bool) string {
	from := c.table.name.sql()
	if len(c.partitions) > 0 {
		names := make([]string, len(c.partitions))
		for i, p := range c.partitions {
			names[i] = identifier(p)
		}
		from += " PARTITION (" + strings.Join(names, ", ") + ")"
	}
	if ranged {
		from += " FORCE INDEX (" + identifier(c.table.key.index) + ")"
	}
	return from
}

func conditions(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(all, " AND ")
}

// span is a stretch of a table that is a chunk, or, when it is to be walked, is cut into chunks while they are read.
type span struct {
	chunk
	walk bool
}

// cutter cuts a table into chunks, whose bounds are values that the server computed, or integers between them. Whatever
// the bounds are, two neighbours share one, and each row is at or behind it, or before it, or has none.
type cutter struct {
	table table
	rows  int64 // wanted in a chunk
	spans []span
	dives int
}

// newCutter cuts what can be cut from estimates alone: tables into partitions, and ranges of integers. Tables without
// a key, or in which the key's index is only a detour, are one chunk; so is a window, whose rows another index may find.
func (w *session) newCutter(ctx context.Context, t table, window *extract.Range) (*cutter, error) {
	c := &cutter{table: t}
	whole := chunk{table: &c.table, window: window}
	size := w.source.chunkBytes(t)
	if window != nil && !window.All || t.data <= size || t.info.Rows <= 0 {
		c.spans = []span{{chunk: whole}}
		return c, nil
	}
	c.rows = max(1, int64(float64(t.info.Rows)*(float64(size)/float64(t.data))))
	if len(t.partitions) == 0 || t.partitions[0].past {
		return c, c.cut(ctx, w, whole)
	}
	open := whole // of small partitions
	var held int64
	for _, p := range t.partitions {
		if p.bytes > 2*size {
			big := whole
			big.partitions = []string{p.name}
			if err := c.cut(ctx, w, big); err != nil {
				return nil, err
			}
			continue
		}
		if len(open.partitions) > 0 && held+p.bytes > size {
			c.spans, open.partitions, held = append(c.spans, span{chunk: open}), nil, 0
		}
		open.partitions, held = append(slices.Clone(open.partitions), p.name), held+p.bytes
	}
	if len(open.partitions) > 0 {
		c.spans = append(c.spans, span{chunk: open})
	}
	return c, nil
}

// chunkBytes is how much of the table a chunk should hold.
func (s *Source) chunkBytes(t table) int64 {
	return min(max(t.data/int64(chunksPerConnection*s.opts.Connections), s.opts.ChunkBytes), largestChunk)
}

// cut cuts a table, or a partition of it.
func (c *cutter) cut(ctx context.Context, w *session, whole chunk) error {
	k := c.table.key
	if len(k.columns) == 0 {
		c.spans = append(c.spans, span{chunk: whole})
		return nil
	}
	if k.nullable {
		null := whole
		null.null = true
		c.spans = append(c.spans, span{chunk: null})
	}
	whole.ranged = true
	if !k.columns[0].integer {
		c.spans = append(c.spans, span{whole, true})
		return nil
	}
	ends, err := w.list(ctx, "SELECT MIN("+k.columns[0].sql()+") + 0, MAX("+k.columns[0].sql()+") + 0 FROM "+whole.relation(true))
	if err != nil {
		return err
	}
	low, okLow := new(big.Int).SetString(ends[0][0], 10)
	high, okHigh := new(big.Int).SetString(ends[0][1], 10)
	if !okLow || !okHigh { // there are no rows with a key
		c.spans = append(c.spans, span{chunk: whole})
		return nil
	}
	return c.halve(ctx, w, whole, low, high)
}

// halve cuts a range of integers in two, and the halves again, until the server's estimate of each is small enough;
// neighbours that are small together stay together. A single integer with too many rows is walked.
func (c *cutter) halve(ctx context.Context, w *session, whole chunk, low, high *big.Int) error {
	one := big.NewInt(1)
	type stretch struct{ low, high *big.Int } // both are within it
	open, held := whole, int64(0)             // the chunk that is not ended yet, and about how many rows it has
	end := func(at bound, walk bool) {
		if held > 0 {
			open.to = at
			c.spans = append(c.spans, span{open, walk})
			open, held = whole, 0
			open.from = at
		}
	}
	for stack := []stretch{{low, high}}; len(stack) > 0; {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		part := whole
		part.from, part.to = bound{s.low.String()}, bound{new(big.Int).Add(s.high, one).String()}
		n, err := c.estimate(ctx, w, part)
		if err != nil {
			return err
		}
		n = max(n, 1)
		switch {
		case n > c.rows && s.low.Cmp(s.high) < 0 && c.dives < mostDives:
			middle := new(big.Int).Add(s.low, s.high)
			middle.Rsh(middle, 1)
			stack = append(stack, stretch{new(big.Int).Add(middle, one), s.high}, stretch{s.low, middle})
		case n > 2*c.rows && len(c.table.key.columns) > 1:
			end(part.from, false)
			held = n
			end(part.to, true)
		default:
			if held+n > c.rows {
				end(part.from, false)
			}
			held += n
		}
	}
	if held > 0 {
		c.spans = append(c.spans, span{chunk: open})
	} else { // the last was ended already
		c.spans[len(c.spans)-1].to = nil
	}
	return nil
}

// estimate asks the server how many rows a chunk might hold; it looks at two places of the index.
func (c *cutter) estimate(ctx context.Context, w *session, part chunk) (int64, error) {
	c.dives++
	part.window = nil
	rows, err := w.list(ctx, "EXPLAIN SELECT 1 FROM "+part.sql())
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	at := 8
	if len(rows[0]) > 10 { // MySQL since 5.7 tells of partitions and filters, too
		at = 9
	}
	if len(rows[0]) <= at || rows[0][at] == "" { // it knows that there are none
		return 0, nil
	}
	return strconv.ParseInt(rows[0][at], 10, 64)
}

// next returns the next chunk. One caller at a time.
func (c *cutter) next(ctx context.Context, w *session) (chunk, bool, error) {
	if len(c.spans) == 0 {
		return chunk{}, false, nil
	}
	s := c.spans[0]
	if !s.walk {
		c.spans = c.spans[1:]
		return s.chunk, true, nil
	}
	at, err := c.step(ctx, w, s.chunk)
	if err != nil {
		return chunk{}, false, err
	}
	if at == nil {
		c.spans = c.spans[1:]
		return s.chunk, true, nil
	}
	c.spans[0].from = at
	s.to = at
	return s.chunk, true, nil
}

// step walks a chunk's worth of the index, and returns where that ends, nil when it is at the end of the chunk: always
// behind its beginning, however many rows share that. A bound that does not find the row that it was taken from,
// whatever the reason, is none.
func (c *cutter) step(ctx context.Context, w *session, in chunk) (bound, error) {
	k := c.table.key
	where := in.where()
	if in.from != nil {
		where = append(where, k.behind(in.from))
	}
	from := in.relation(true)
	rows, err := w.list(ctx, "SELECT "+k.items()+" FROM "+from+conditions(where)+k.order()+" LIMIT 1 OFFSET "+strconv.FormatInt(max(c.rows-1, 1), 10))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	at := k.bound(rows[0])
	found, err := w.list(ctx, "SELECT 1 FROM "+from+" WHERE "+k.equals(at)+" LIMIT 1")
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return at, nil
}
