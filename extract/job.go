package extract

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Job is one attempt at extracting one table for one date.
type Job struct {
	Extraction elt.Extraction
	Run        elt.RunID
	Date       elt.Date
	Attempt    int
	Lease      elt.Lease   // of the step; chunks of the table are lent under it, and none without
	Window     *elt.Window // incremental only; a zero From reads everything below To
	First      bool        // nothing of it was published when the window was chosen, which begins where its data does
	// Published is the manifest of the dataset's published version, which the columns are compared with and which an
	// integer cursor goes on from; nil when nothing is published.
	Published *elt.Manifest
	// Keys says that every key is read, too, so that deletes can be told.
	Keys bool
}

// attempt is one call of Extract, over as many snapshots as it takes.
type attempt struct {
	Job
	tell func(elt.Progress)
	log  *slog.Logger

	mu       sync.Mutex // held while progress is told: one call at a time
	progress elt.Progress
	here     written // of what is in progress; the rest is what others are about to bring
	others   written
	helpers  []string // who are about to
	again    string   // why the table was begun again
	readings int      // of the table, each of which may lend others
	parts    int      // that were begun, in whichever snapshot: no key is used twice
	asides   int      // likewise, of quarantined rows
	keys     int      // likewise, of keys
}

func (a *attempt) update(change func(*elt.Progress)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.progress)
	a.tell(a.progress)
}

// written is how many rows and octets have been written.
type written struct{ rows, bytes int64 }

// count tells what has been written: here, what others have brought included, and what they are about to bring.
func (a *attempt) count(change func()) {
	a.update(func(p *elt.Progress) {
		change()
		p.Rows, p.Bytes = a.here.rows+a.others.rows, a.here.bytes+a.others.bytes
		if p.Note = a.again; len(a.helpers) > 0 {
			p.Note = strings.TrimPrefix(fmt.Sprintf("%s; some of its chunks are read by %s", a.again, strings.Join(a.helpers, " and ")), "; ")
		}
	})
}

// paused tells why reading waits on purpose, and with nothing to tell that it goes on.
func (a *attempt) paused(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.progress.Paused == why {
		return
	}
	switch { // once, however often the reason shows another number
	case why == "":
		a.log.Info("reading goes on", "dataset", a.Extraction.Dataset, "run", a.Run)
	case a.progress.Paused == "":
		a.log.Warn("reading is paused", "dataset", a.Extraction.Dataset, "run", a.Run, "why", why)
	}
	a.progress.Paused = why
	a.tell(a.progress)
}

// restart notes that what was read so far is discarded, and why.
func (a *attempt) restart(why error) {
	a.update(func(p *elt.Progress) {
		a.here, a.others, a.helpers = written{}, written{}, nil
		a.again = "read again from its beginning, in a new snapshot: " + why.Error()
		*p = elt.Progress{RowsExpected: p.RowsExpected, Note: a.again}
	})
}

// next returns the number of the next object of a kind.
func (a *attempt) next(begun *int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	*begun++
	return *begun - 1
}

// extract reads the job's table in the snapshot: its parts, then its manifest.
func (x *Extractor) extract(ctx context.Context, a *attempt, in *epoch) (*elt.Manifest, error) {
	job := a.Job
	request, chosen, info, err := x.request(ctx, job, in.snapshot)
	if err != nil {
		return nil, &sourceError{err}
	}
	request.Paused = a.paused
	m := x.manifest(job, request, in)
	m.Changes, m.Ignored = chosen.changes, chosen.ignored
	if job.Extraction.Mode != elt.Incremental {
		a.update(func(p *elt.Progress) { p.RowsExpected = max(info.Rows, 0) })
	}
	started := x.opts.Now()
	to := parquet.NewWriter(request.Columns, parquet.Options{
		PartBytes: x.opts.PartBytes, Digests: request.Facts.Digest, Unlike: request.Facts.Unlike,
		Create: func(int) (parquet.Sink, error) {
			return newPart(ctx, x.opts.Lake, fmt.Sprintf("%spart-%05d.parquet", m.Prefix(), a.next(&a.parts))), nil
		},
		CreateAside: func(int) (parquet.Sink, error) {
			return newPart(ctx, x.opts.Lake, fmt.Sprintf("%squarantine-%05d.parquet", m.Prefix(), a.next(&a.asides))), nil
		},
		Progress: func(rows, bytes int64) {
			a.count(func() { a.here = written{rows, bytes} })
		},
	})
	lending := x.lends(ctx, a, in, m, &request, to)
	rows, err := in.snapshot.Read(ctx, request, to)
	lending.end()
	if err != nil {
		to.Abort(err)
		if to.Failed() {
			return nil, fmt.Errorf("extract %s: %w", job.Extraction.Dataset, err)
		}
		return nil, &sourceError{err}
	}
	if m.Parts, m.Stats, err = to.Close(); err != nil {
		return nil, fmt.Errorf("extract %s: %w", job.Extraction.Dataset, err)
	}
	failpoint.Here("extract.parts_stored")
	m.Fidelity, m.Quarantined = to.Fidelity()
	if kept := rows - m.SetAside(); m.Stats.Rows != kept || m.Rows() != kept {
		return nil, &elt.Error{
			Code: "rows_lost", Class: elt.Internal,
			What: fmt.Sprintf("%s: the source sent %s, %s came into the lake", job.Extraction.Dataset, count(rows), count(m.Rows()+m.SetAside())),
			Do:   "report it with the step's log; nothing was published",
		}
	}
	if err := x.complete(job, request, to, m); err != nil {
		return nil, err
	}
	if job.Keys {
		if m.Keys, err = x.keys(ctx, a, request, in, m); err != nil {
			return nil, err
		}
	}
	m.CreatedAt = x.opts.Now().UTC()
	failpoint.Here("extract.manifest")
	if err := x.writeManifest(ctx, m); err != nil {
		return nil, err
	}
	failpoint.Here("extract.manifest_stored")
	a.update(func(p *elt.Progress) { p.Rows, p.RowsExpected, p.Bytes, p.Paused = m.Rows(), m.Rows(), m.Bytes(), "" })
	x.opts.Log.Info("extracted", "dataset", m.Dataset, "run", m.Run, "date", m.Date.String(), "rows", m.Rows(), "quarantined", m.SetAside(),
		"bytes", m.Bytes(), "parts", len(m.Parts), "took", m.CreatedAt.Sub(started).Round(time.Millisecond).String())
	return m, nil
}

// request works out what the job reads, by the catalog of its snapshot.
func (x *Extractor) request(ctx context.Context, job Job, in Snapshot) (Request, selection, TableInfo, error) {
	e := job.Extraction
	r := Request{Extraction: e, Mask: x.mask, Facts: &Facts{Digest: e.Verify == elt.LevelRows}}
	info, err := in.Describe(ctx, e.Table)
	if err != nil {
		return r, selection{}, info, err
	}
	chosen, wrong := choose(info, e, job.Published)
	if wrong = append(wrong, x.maskKey(e, chosen, job.Published)...); len(wrong) > 0 {
		return r, chosen, info, wrong[0]
	}
	r.Columns, r.Key, r.Rules = chosen.columns, chosen.key, chosen.rules
	r.Facts.Unlike = unlike(r.Columns, r.Rules, info)
	switch {
	case e.Mode != elt.Incremental:
	case e.OverlapNumbers != nil:
		r.Range = openRange(chosen.cursor, e, job.Published.Next(*e.OverlapNumbers))
	default:
		if job.Window == nil {
			return r, chosen, info, fmt.Errorf("extract %s: an incremental job came without a window", e.Dataset)
		}
		if err := closed(e, *job.Window, in.Position().TakenAt); err != nil {
			return r, chosen, info, err
		}
		r.Range = newRange(chosen.cursor, e, *job.Window)
	}
	return r, chosen, info, nil
}

// closed refuses a window that is still going on by the source's clock: rows could still come into it.
func closed(e elt.Extraction, w elt.Window, now time.Time) error {
	if !w.To.After(now) {
		return nil
	}
	return &elt.Error{
		Code: CodeWindowOpen, Class: elt.Budget,
		What: fmt.Sprintf("%s: the window ends at %s, and the source's clock shows %s", e.Dataset,
			w.To.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)),
		Do: "nothing: it is tried again once the window has ended; if that was long ago, correct the source's clock",
	}
}

// CodeWindowOpen is the code with which rows may still come into a window.
const CodeWindowOpen = elt.WindowOpen

func (x *Extractor) manifest(job Job, r Request, in *epoch) *elt.Manifest {
	e := job.Extraction
	m := &elt.Manifest{
		Format: elt.ManifestFormat, Dataset: e.Dataset, Date: job.Date, Run: job.Run, Attempt: job.Attempt,
		Mode: elt.Full, Key: e.Key, Schema: r.Columns, Source: in.snapshot.Position(),
	}
	m.Source.Source, m.Source.Epoch, m.Source.CrossTableConsistent = e.Source, in.number, in.whole
	if r.Range != nil {
		m.Mode, m.Cursor, m.Window, m.First = elt.Incremental, e.Cursor, job.Window, job.First
		m.Range = &elt.CursorRange{From: r.Range.From, To: r.Range.To, All: r.Range.All}
		if r.Range.Open {
			m.Window, m.Range, m.Numbers = nil, nil, job.Published.Next(*e.OverlapNumbers)
		}
	}
	if e.Deletes.Mode == elt.DeletesSoft {
		m.SoftDelete = e.Deletes.Column
	}
	for _, c := range r.Columns {
		if c.Masked == MaskHash {
			m.MaskKey = x.mask.ID()
		}
	}
	return m
}

func (x *Extractor) writeManifest(ctx context.Context, m *elt.Manifest) error {
	text, err := m.Encode()
	if err != nil {
		return err
	}
	if _, err := x.opts.Lake.Put(ctx, m.ObjectKey(), bytes.NewReader(text)); err != nil {
		return fmt.Errorf("write the manifest of %s %s: %w", m.Dataset, m.Date, err)
	}
	return nil
}

// sourceError marks an error of a source, after which the table needs another snapshot.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }
