package elt

import (
	"fmt"
	"math/big"
	"strconv"
	"time"
)

// Level is how deep a dataset-day is verified. Each level holds what the ones before it hold.
type Level string

// The levels.
const (
	LevelCounts  Level = "counts"  // the source's own count = rows in the lake = rows in the warehouse
	LevelColumns Level = "columns" // and the facts of each column, in the lake and the warehouse
	LevelRows    Level = "rows"    // and a digest of every row: in the source's snapshot, the lake and the warehouse
)

// NullCursors says what becomes of rows without a value in their cursor column: no window would bring them.
type NullCursors string

// The policies.
const (
	NullsFail    NullCursors = "fail"    // the extraction fails and names one
	NullsInclude NullCursors = "include" // every window brings them
	NullsSkip    NullCursors = "skip"    // they are left out, and counted
)

// DeleteMode says what becomes of rows that the source has deleted since an incremental dataset brought them.
type DeleteMode string

// The modes.
const (
	DeletesIgnored DeleteMode = "ignore"   // they stay
	DeletesByKey   DeleteMode = "key_diff" // every key is read, and published rows whose key is gone are deleted
	DeletesSoft    DeleteMode = "soft"     // a column flags them; flagged rows are not published
)

// DeleteRule is how an incremental dataset follows the source's deletes.
type DeleteRule struct {
	Mode   DeleteMode
	Every  int     // by key: on how many days one reads the keys
	Max    float64 // by key: the share of the published rows that one night may delete
	Column string  // soft: true, not zero or not NULL in rows that are deleted
}

// KeySet is every key that the source had in an extraction's snapshot, as parts of their own.
type KeySet struct {
	Schema Schema     `json:"schema"`
	Parts  []Part     `json:"parts"`
	Stats  TableStats `json:"stats"`
	// Max is the share of the published rows that may be deleted because their key is not among these.
	Max float64 `json:"max_deletes"`
}

// Rows returns the number of keys over all parts.
func (k *KeySet) Rows() (n int64) {
	for _, p := range k.Parts {
		n += p.Rows
	}
	return n
}

// Numbers is the range that an extraction by an integer cursor read. Such a cursor tells an order and no time: a night
// reads what came since the night before.
type Numbers struct {
	// From is the least number that was asked for, the overlap included; nil for all.
	From *int64 `json:"from,omitempty"`
	// First is true where nothing was published before. A later night may ask for all, too: when nothing is settled.
	First bool `json:"first,omitempty"`
	// High is the greatest number that has been brought so far; nil when there was none.
	High *int64 `json:"high,omitempty"`
	// Settled is the number up to which no row can come any more: what a transaction that was open in the snapshot
	// has taken is above it. The next night reads from here on.
	Settled *int64 `json:"settled,omitempty"`
}

// Next returns what the night after m reads: from what is settled on, with that overlap.
func (m *Manifest) Next(overlap int64) *Numbers {
	if m == nil || m.Numbers == nil || m.Numbers.Settled == nil {
		return &Numbers{}
	}
	from := *m.Numbers.Settled - overlap
	if from > *m.Numbers.Settled { // it wrapped around
		return &Numbers{}
	}
	return &Numbers{From: &from}
}

// Settle completes the range of a night: high is the greatest number that it brought, before the manifest that it went
// on from, and openSince when the oldest transaction began that was open in its snapshot.
func (n *Numbers) Settle(high *int64, before *Manifest, openSince time.Time) {
	n.High = high
	var last Numbers
	if before != nil && before.Numbers != nil {
		last = *before.Numbers
	}
	if last.High != nil && (high == nil || *last.High > *high) {
		n.High = last.High
	}
	switch {
	case openSince.IsZero():
		n.Settled = n.High
	case before != nil && openSince.After(before.Source.TakenAt):
		// Whatever it takes, it took after the night before, whose numbers are below.
		n.Settled = last.High
	default:
		n.Settled = last.Settled
	}
}

// RowDigest stands for a set of rows in any order: how many there are, and the sums of two slices of 60 bits of each
// row's MD5. Sums, because XOR would cancel out a row that comes twice.
type RowDigest struct {
	Rows int64  `json:"rows"`
	A    string `json:"a"` // the sum of the first 15 hexadecimal digits
	B    string `json:"b"` // of the next 15
}

// Add returns the digest of both sets together.
func (d RowDigest) Add(o RowDigest) (RowDigest, error) {
	out := RowDigest{Rows: d.Rows + o.Rows}
	for _, s := range []struct {
		to   *string
		x, y string
	}{{&out.A, d.A, o.A}, {&out.B, d.B, o.B}} {
		sum := new(big.Int)
		for _, text := range []string{s.x, s.y} {
			if text == "" {
				continue
			}
			n, ok := new(big.Int).SetString(text, 10)
			if !ok {
				return out, fmt.Errorf("a digest's sum came as %q", text)
			}
			sum.Add(sum, n)
		}
		*s.to = sum.String()
	}
	return out, nil
}

// Equal reports whether both stand for the same rows.
func (d RowDigest) Equal(o RowDigest) bool {
	blank := func(s string) string {
		if s == "" {
			return "0"
		}
		return s
	}
	return d.Rows == o.Rows && blank(d.A) == blank(o.A) && blank(d.B) == blank(o.B)
}

// String shows the digest shortly: "3 rows, 1f…".
func (d RowDigest) String() string {
	n, _ := new(big.Int).SetString(d.A, 10)
	if n == nil {
		n = new(big.Int)
	}
	return strconv.FormatInt(d.Rows, 10) + " rows, digest " + n.Text(16)
}

// Deletion is what a night finds out about rows that its source no longer has.
type Deletion struct {
	Published int64      // rows that the published table holds
	Gone      int64      // rows that go: of those that are published where keys were compared, else of those that came
	Keys      TableStats // of the keys as the warehouse holds them; of no rows where none were compared
	// Unknown is how many rows came whose key is not among the keys: none, unless something is broken.
	Unknown int64
}

// Deleted returns the SQL condition under which a soft-delete column of that kind says that its row is deleted. name is
// the column as the statement quotes it. It is never NULL.
func Deleted(kind Kind, name string) string {
	switch kind {
	case Bool:
		return "COALESCE(" + name + ", FALSE)"
	case Int64:
		return "COALESCE(" + name + " <> 0, FALSE)"
	}
	return name + " IS NOT NULL"
}
