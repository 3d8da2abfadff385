package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Lake is where parts and manifests go.
type Lake interface {
	Put(ctx context.Context, key string, body io.Reader) (elt.Object, error)
}

// Options of an Extractor.
type Options struct {
	Sources   map[elt.SourceName]Source
	Lake      Lake
	MaskKey   []byte // of the columns that are hashed; empty when there are none
	PartBytes int64  // the size at which a part is ended; 0 means 256 MiB
	// Rest is how long a source is left alone that was over its budget, doubled each time; 0 means 15 s.
	Rest time.Duration
	Log  *slog.Logger
	Now  func() time.Time
	// Sharing is where workers on other machines are met who read the same run; nil where there are none.
	Sharing Sharing
	// Loans is where workers that share a snapshot lend one another chunks of large tables; nil where they do not.
	Loans  Loans
	Worker elt.WorkerID  // who this is to them
	Lease  time.Duration // after which a silent worker's seat is free; 0 means 30 s
	// Described is told by Check which columns would be extracted of a table with which nothing is wrong.
	Described func(elt.DatasetName, elt.Schema)
}

// Extractor reads tables into the lake.
type Extractor struct {
	opts Options
	mask *Masker
}

// New returns an Extractor. Without a Log nothing is logged; without a Now it is the system's clock.
func New(o Options) *Extractor {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rest <= 0 {
		o.Rest = 15 * time.Second
	}
	if o.Lease <= 0 {
		o.Lease = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Extractor{opts: o, mask: NewMasker(o.MaskKey)}
}

// Check asks the sources' catalogs whether the tables can be extracted as declared, and returns everything
// that is wrong, and as warnings what changed since the manifests of what is published. It reads no rows.
func (x *Extractor) Check(ctx context.Context, tables []elt.Extraction, published map[elt.DatasetName]*elt.Manifest) elt.Problems {
	var problems elt.Problems
	unreachable := make(map[elt.SourceName]bool)
	for _, e := range tables {
		if unreachable[e.Source] {
			continue
		}
		before := published[e.Dataset]
		chosen, _, errs := x.describe(ctx, e, before)
		if x.opts.Described != nil && len(errs) == 0 {
			x.opts.Described(e.Dataset, chosen.columns)
		}
		for _, err := range errs {
			unreachable[e.Source] = unreachable[e.Source] || err.Code == codeUnreachable || err.Code == "source_unknown"
			problems = append(problems, elt.Problem{Code: err.Code, What: err.Error(), Do: err.Do})
		}
		for _, change := range chosen.changes {
			problems = append(problems, elt.Problem{
				Code: CodeSchemaChanged, Warning: true, What: fmt.Sprintf("%s, compared with the version of %s: %s", e.Dataset, before.Date, change),
				Do: "nothing, if that is what you want: the next night does so",
			})
		}
		if warning, ok := x.newMaskKey(e, before); ok {
			problems = append(problems, warning)
		}
	}
	return problems
}

// newMaskKey warns of a full table whose hashes will be others than those of the version before.
func (x *Extractor) newMaskKey(e elt.Extraction, before *elt.Manifest) (elt.Problem, bool) {
	if e.Mode == elt.Incremental || before == nil || before.MaskKey == "" || x.mask == nil || before.MaskKey == x.mask.ID() {
		return elt.Problem{}, false
	}
	return elt.Problem{
		Code: "mask_key_changed", Warning: true,
		What: fmt.Sprintf("%s was hashed with the key %s, and the key is now %s: its hashes will be others, and join with no older ones", e.Dataset, before.MaskKey, x.mask.ID()),
		Do:   "put the old key back, or load everything again that is hashed",
	}, true
}

// describe returns what the extraction would take of its table, by the catalog of today.
func (x *Extractor) describe(ctx context.Context, e elt.Extraction, before *elt.Manifest) (selection, TableInfo, []*elt.Error) {
	source, err := x.source(e.Source)
	if err != nil {
		return selection{}, TableInfo{}, []*elt.Error{err}
	}
	info, failed := source.Describe(ctx, e.Table)
	if failed != nil {
		var coded *elt.Error
		if !errors.As(failed, &coded) {
			coded = &elt.Error{
				Code: "source_failed", Class: elt.Transient, What: fmt.Sprintf("cannot describe table %s of source %s", e.Table, e.Source), Err: failed,
				Do: "look at the message, and try again",
			}
		}
		return selection{}, TableInfo{}, []*elt.Error{coded}
	}
	chosen, wrong := choose(info, e, before)
	return chosen, info, append(wrong, x.maskKey(e, chosen, before)...)
}

func (x *Extractor) source(name elt.SourceName) (Source, *elt.Error) {
	if s, ok := x.opts.Sources[name]; ok {
		return s, nil
	}
	return nil, &elt.Error{
		Code: "source_unknown", Class: elt.Config,
		What: fmt.Sprintf("no source is called %q", name),
		Do:   "declare it under sources: in daybreak.yaml, or correct the name in the schedule",
	}
}

// maskKey checks that there is a key for what is hashed, and that an incremental table keeps to one.
func (x *Extractor) maskKey(e elt.Extraction, s selection, before *elt.Manifest) []*elt.Error {
	switch {
	case len(s.hashed) == 0:
		return nil
	case x.mask == nil:
		return []*elt.Error{{
			Code: "mask_key_missing", Class: elt.Config,
			What: fmt.Sprintf("%s: columns are hashed (%s) and no mask key is set", e.Dataset, strings.Join(s.hashed, ", ")),
			Do:   "set masking: {key: \"${env:DAYBREAK_MASK_KEY}\"} in daybreak.yaml, and keep the key safe: another one needs a full reload",
		}}
	case e.Mode == elt.Incremental && before != nil && before.MaskKey != "" && before.MaskKey != x.mask.ID():
		return []*elt.Error{{
			Code: "mask_key_changed", Class: elt.Config,
			What: fmt.Sprintf("%s was hashed with the key %s, and the key is now %s: its new rows would join with none of the older ones", e.Dataset, before.MaskKey, x.mask.ID()),
			Do:   "put the old key back, or " + wholeAgain,
		}}
	}
	return nil
}

// Estimate is what an extraction is expected to bring.
type Estimate struct {
	Dataset elt.DatasetName
	Rows    int64 // of the whole table, by the catalog; -1 when nobody knows
	Bytes   int64 // of the whole table on the source's disk
	Columns int   // that are extracted
}

// Plan estimates what the extractions would bring. It reads no rows of PostgreSQL; SQLite counts its own.
func (x *Extractor) Plan(ctx context.Context, tables []elt.Extraction) ([]Estimate, error) {
	out := make([]Estimate, 0, len(tables))
	for _, e := range tables {
		chosen, info, errs := x.describe(ctx, e, nil)
		if len(errs) > 0 {
			return nil, errs[0]
		}
		out = append(out, Estimate{Dataset: e.Dataset, Rows: info.Rows, Bytes: info.Bytes, Columns: len(chosen.columns)})
	}
	return out, nil
}

// count writes a number of rows for people.
func count(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return strconv.FormatInt(n, 10) + " rows"
}
