package parquet

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow/go/v15/parquet"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const (
	// pageOctets is how many octets of values a PLAIN page holds about.
	pageOctets = 1 << 20
	// worthwhile is the part of PLAIN's size, in eighths, that another encoding may take.
	worthwhile = 6
	// squeezing is zstd's level: the lowest of those that look for the likeliest literals, too.
	squeezing = 1
)

// encoder turns vectors into pages. It keeps its memory, and what it has learned of the columns, from one row
// group to the next.
type encoder struct {
	zstd       zstd.Ctx
	dictionary dictionary
	varied     []bool // columns of octets whose values were too many for a dictionary
	page       []byte // levels and values as they are written
	values     []byte // before they are compressed
	pages      pages
	footer     footer // of the part that is open
}

func newEncoder(columns int) *encoder {
	return &encoder{zstd: zstd.NewCtx(), varied: make([]bool, columns), dictionary: newDictionary()}
}

// column writes a column chunk.
func (e *encoder) column(to *steadySink, number int, v *Vector) error {
	e.pages.begin(to)
	if err := e.pagesOf(v, number); err != nil {
		return err
	}
	if cap(e.page) > 4*pageOctets { // for one huge value
		e.page = nil
	}
	e.footer.column(number, &e.pages, statisticsOf(v))
	return to.err
}

// pagesOf writes the pages in the encoding that suits the values.
func (e *encoder) pagesOf(v *Vector, number int) error {
	d, whole := &e.dictionary, span{levels: v.levels(), values: v.values()}
	plain := 8 * whole.values
	switch {
	case whole.values == 0:
	case v.layout == inInts:
		if low, high := v.bounds(); uint64(high)-uint64(low) < widestSpan {
			integers(d, v.ints, low, int(high-low), func(to []byte, x int64) []byte { return binary.LittleEndian.AppendUint64(to, uint64(x)) })
			return e.inDictionary(d, v, whole)
		}
		var ok bool
		if e.values, ok = appendDeltas(e.values[:0], v.ints, plain/8*worthwhile); ok {
			return e.dataPage(v, whole, e.values, parquet.Encodings.DeltaBinaryPacked, false)
		}
	case v.layout == inDays:
		if low, high := v.bounds(); high-low < widestSpan {
			integers(d, v.days, int32(low), int(high-low), func(to []byte, x int32) []byte { return binary.LittleEndian.AppendUint32(to, uint32(x)) })
			return e.inDictionary(d, v, whole)
		}
	case v.layout == inOctets && !e.varied[number]:
		if v.coded {
			d = v.places
		}
		if (v.coded || d.texts(v)) && d.size() < v.octetsHeld()/8*worthwhile {
			v.least, v.most, v.known = append(v.least[:0], d.least...), append(v.most[:0], d.most...), true
			v.few = v.celled && d.count <= fewTexts
			return e.inDictionary(d, v, whole)
		}
		e.varied[number] = true
	}
	if v.coded {
		v.spell()
	}
	return e.plain(v)
}

func (e *encoder) inDictionary(d *dictionary, v *Vector, whole span) error {
	if err := e.pages.dictionary(d.plain, d.count); err != nil {
		return err
	}
	e.values = append(e.values[:0], byte(d.width()))
	e.values = appendHybrid(e.values, d.indices, d.width())
	return e.dataPage(v, whole, e.values, parquet.Encodings.RLEDict, false)
}

// span is where a page lies in its vector, or how much it holds.
type span struct{ level, value, levels, values int }

// plain writes PLAIN pages that end where a row ends.
func (e *encoder) plain(v *Vector) error {
	for at := (span{}); ; {
		v.measure(&at)
		until := at.value + at.values
		var values []byte
		if v.layout == inOctets {
			values = v.data[v.begin(at.value):v.begin(until)]
		} else {
			e.values = v.appendPlain(e.values[:0], at.value, until)
			values = e.values
		}
		if err := e.dataPage(v, at, values, parquet.Encodings.Plain, true); err != nil {
			return err
		}
		at.level, at.value = at.level+at.levels, at.value+at.values
		if at.level == v.levels() {
			return nil
		}
	}
}

// measure sets how much of the vector the page takes that begins there.
func (v *Vector) measure(at *span) {
	size := 0
	at.levels, at.values = 0, 0
	if v.flat {
		for i := at.value; i < v.rows && size < pageOctets; i++ {
			size += v.size(i)
			at.values++
		}
		at.levels = at.values
		return
	}
	for i := at.level; i < len(v.def) && (size < pageOctets || v.isList && v.rep[i] != 0); i++ {
		at.levels++
		if v.def[i] == v.present {
			size += v.size(at.value + at.values)
			at.values++
		}
	}
}

// size returns how many octets the ith value takes.
func (v *Vector) size(i int) int {
	switch v.layout {
	case inBools:
		return 1 // an eighth, to be exact
	case inWide:
		return wideOctets
	case inOctets:
		return v.ends[i] - v.begin(i)
	}
	return 8
}

// dataPage writes a page of version 2: levels, which are never compressed, and the values.
func (e *encoder) dataPage(v *Vector, at span, values []byte, encoding parquet.Encoding, squeeze bool) error {
	rows := at.levels
	e.page = e.page[:0]
	if v.isList {
		rep := v.rep[at.level : at.level+at.levels]
		rows = 0
		for _, r := range rep {
			if r == 0 {
				rows++
			}
		}
		e.page = appendHybrid(e.page, rep, 1)
	}
	repOctets := len(e.page)
	switch {
	case v.flat && at.levels > 0:
		e.page = appendRun(e.page, v.present, at.levels, 1)
	case v.isList:
		e.page = appendHybrid(e.page, v.def[at.level:at.level+at.levels], 2)
	case !v.flat:
		e.page = appendHybrid(e.page, v.def[at.level:at.level+at.levels], 1)
	}
	levels := len(e.page)
	squeezed := false
	if squeeze && len(values) > 0 {
		e.page = slices.Grow(e.page, zstd.CompressBound(len(values)))
		small, err := e.zstd.CompressLevel(e.page[levels:], values, squeezing) // into the room behind the levels
		if err != nil {
			return fmt.Errorf("compress a page: %w", err)
		}
		if squeezed = len(small) < len(values); squeezed {
			e.page = e.page[:levels+len(small)]
		}
	}
	if !squeezed {
		e.page = append(e.page, values...)
	}
	return e.pages.data(dataPage{
		octets: e.page, uncompressed: levels + len(values), squeezed: squeezed, values: at.levels, nulls: at.levels - at.values, rows: rows,
		repetitions: repOctets, definitions: levels - repOctets, encoding: encoding,
	})
}

// statisticsOf returns the statistics of integers and their like; of others nothing is told.
func statisticsOf(v *Vector) (s statistics) {
	if v.isList || v.values() == 0 || v.leaf.Kind == elt.Uint64 {
		return s
	}
	switch v.layout {
	case inInts:
		s.width = 8
	case inDays:
		s.width = 4
	default:
		return s
	}
	low, high := v.bounds()
	binary.LittleEndian.PutUint64(s.low[:], uint64(low)) // which begins with the octets of a narrower number
	binary.LittleEndian.PutUint64(s.high[:], uint64(high))
	s.nulls = int64(v.levels() - v.values())
	return s
}
