package app

import (
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// incremental completes the job of an incremental table: what it goes on from follows from what is published, so that
// a night which was extracted and never published moves nothing.
func (s *stages) incremental(ctx context.Context, job *extract.Job) error {
	table := job.Extraction
	if table.Mode != elt.Incremental {
		return nil
	}
	if table.OverlapNumbers == nil {
		job.Window, job.First = s.window(table, job.Date)
	}
	keys, err := s.wantsKeys(ctx, table, job.Date)
	job.Keys = keys
	return err
}

// window returns what an extraction of the date reads: everything since its start before the dataset has a version,
// and afterwards the date's own window, with the dates before it that nobody has brought. A version that the ledger has no
// manifest of counts as well: one that was taken over from the warehouse.
func (s *stages) window(table elt.Extraction, date elt.Date) (w *elt.Window, first bool) {
	zone := s.catalog.zone(table.Dataset)
	own := date.Window(zone)
	w = &own
	s.mu.Lock()
	through, begun := s.through[table.Dataset]
	s.mu.Unlock()
	switch {
	case begun:
		if gap := through.AddDays(1).Start(zone).UTC(); gap.Before(w.From) {
			w.From = gap
		}
	case table.Start.IsZero():
		w.From = time.Time{}
	default:
		w.From = table.Start.Start(zone).UTC()
	}
	return w, !begun
}

// manifest returns a manifest as the ledger has it, or as the lake does where the ledger is a new one.
func (s *stages) manifest(ctx context.Context, key string) (*elt.Manifest, error) {
	m, err := s.ledger.Manifest(ctx, key)
	if elt.CodeOf(err) == "manifest_unknown" {
		return readManifest(ctx, s.lake, key)
	}
	return m, err
}

// wantsKeys reports whether a date's extraction reads every key, too: when none of the dates before it did that are
// nearer than the table says. Without anything published there is nothing to delete.
func (s *stages) wantsKeys(ctx context.Context, table elt.Extraction, date elt.Date) (bool, error) {
	if table.Deletes.Mode != elt.DeletesByKey || !s.isPublished(table.Dataset) {
		return false, nil
	}
	if table.Deletes.Every <= 1 {
		return true, nil
	}
	versions, err := s.ledger.Versions(ctx, table.Dataset, 2*table.Deletes.Every)
	if err != nil {
		return false, err
	}
	since := date.AddDays(-table.Deletes.Every)
	for _, v := range versions {
		if !v.Date.After(since) || !v.Date.Before(date) || v.Manifest == "" {
			continue
		}
		m, err := s.manifest(ctx, v.Manifest)
		if err != nil {
			return false, err
		}
		if m.Keys != nil {
			return false, nil
		}
	}
	return true, nil
}

// codeSuperseded is the code of what was extracted before what is published was.
const codeSuperseded elt.Code = "extract_superseded"

// notOlder refuses what was extracted before what is published was: a row could go back to what it was, and one that
// is new could be taken for deleted.
func (s *stages) notOlder(ctx context.Context, d elt.DatasetName, run elt.RunID, key string) error {
	s.mu.Lock()
	v, begun := s.published[d]
	s.mu.Unlock()
	if !begun || v.Run == run || v.Manifest == "" || v.Manifest == key || v.Restores != "" {
		return nil
	}
	m, err := s.manifest(ctx, key)
	if err != nil {
		return err
	}
	published, err := s.manifest(ctx, v.Manifest)
	if err != nil || !published.Source.TakenAt.After(m.Source.TakenAt) {
		return err
	}
	return &elt.Error{
		Code: codeSuperseded, Class: elt.Data,
		What: fmt.Sprintf("%s of %s was extracted at %s, before what is published by now (%s, extracted at %s): its rows may have changed since", d, m.Date,
			m.Source.TakenAt.UTC().Format(time.RFC3339), v.Date, published.Source.TakenAt.UTC().Format(time.RFC3339)),
		Do: fmt.Sprintf("extract the date anew: daybreak run --again --date %s", m.Date),
	}
}
