package extract

import (
	"slices"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Facts are what a source says of the rows that it was asked for, besides how many there are. Its methods may be
// called at the same time.
type Facts struct {
	// Digest asks the source for its own digest of the rows, in the snapshot in which they are read.
	Digest bool
	// Unlike are the columns that are not as the source has them, which its digest leaves out.
	Unlike []string

	mu      sync.Mutex
	digest  elt.RowDigest
	skipped int64
	err     error
}

// Leaves reports whether the source's digest leaves the column out.
func (f *Facts) Leaves(column string) bool { return slices.Contains(f.Unlike, column) }

// Rows adds the source's digest of some of the rows.
func (f *Facts) Rows(d elt.RowDigest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum, err := f.digest.Add(d)
	if f.digest = sum; f.err == nil {
		f.err = err
	}
}

// Skipped counts rows that were left out because they have no cursor.
func (f *Facts) Skipped(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skipped += n
}

// read returns what was gathered.
func (f *Facts) read() (digest elt.RowDigest, skipped int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.digest, f.skipped, f.err
}
