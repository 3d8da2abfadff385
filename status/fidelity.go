package status

import (
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// changesShown is how many times that a dataset's columns changed are told.
const changesShown = 20

// held is how true a dataset's readable version is to its source, and how its columns have changed.
type held struct {
	date        elt.Date // of the version
	uses        []elt.PolicyUse
	quarantined int64
	changes     []elt.DatasetChanges
}

// heldOf reads it from the ledger. A model has neither: it is made from what is held. While the ledger is away, what else is
// known of the dataset is told without it.
func (s *Service) heldOf(ctx context.Context, v view, set *dataset) held {
	h := held{date: set.headline.LatestReady}
	if set.Kind != elt.TableDataset {
		return h
	}
	var err error
	if h.changes, err = s.opts.Ledger.SchemaChanges(ctx, set.Name, changesShown); err != nil {
		s.log.Warn("how the columns of a dataset changed is not known", "dataset", set.Name, "error", err)
		return h
	}
	d, ok := v.day(set.Name, h.date)
	if !ok || d.Version == "" {
		return h
	}
	version, err := s.opts.Ledger.Version(ctx, d.Version)
	if err != nil {
		s.log.Warn("what a version holds is not known", "version", d.Version, "error", err)
		return h
	}
	if version.Manifest == "" {
		return h
	}
	m, err := s.opts.Ledger.Manifest(ctx, version.Manifest)
	if err != nil {
		s.log.Warn("what a version was read from is not known", "version", version.ID, "error", err)
		return h
	}
	h.uses, h.quarantined = m.Fidelity, m.SetAside()
	return h
}

// heldData is what the page says about values that are not held as they are.
type heldData struct {
	Lead  string   // "In Friday's data, 3 values are not as they are in the source."
	Uses  []string // one sentence for each column and policy
	Aside string   // how to look at the rows that are left out; empty when there are none
}

// sayHeld puts it in plain words; nil when everything is as it is in the source.
func sayHeld(name elt.DatasetName, date elt.Date, when string, uses []elt.PolicyUse, quarantined int64) *heldData {
	if len(uses) == 0 {
		return nil
	}
	var changed int64
	h := &heldData{}
	for _, u := range uses {
		if u.Policy != elt.Quarantine {
			changed += u.Values
		}
		h.Uses = append(h.Uses, capital(u.String())+".")
	}
	var parts []string
	if changed > 0 {
		parts = append(parts, fmt.Sprintf("%s not as in the source", isOrAre(changed, "value")))
	}
	if quarantined > 0 {
		parts = append(parts, fmt.Sprintf("%s left out", isOrAre(quarantined, "row")))
		h.Aside = fmt.Sprintf("daybreak quarantine %s --date %s", name, date)
	}
	h.Lead = fmt.Sprintf("In the data of %s, %s: the warehouse cannot hold what is there, and the schedule says what to do about it.", when, strings.Join(parts, " and "))
	return h
}

func isOrAre(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return grouped(n) + " " + thing + "s are"
}

// changeRow is a day on which columns changed.
type changeRow struct {
	Date, Href string
	Changes    []string
}

func changeRows(name elt.DatasetName, changes []elt.DatasetChanges, today elt.Date) []changeRow {
	var rows []changeRow
	for _, c := range changes {
		r := changeRow{Date: shortDate(c.Date, today), Href: dayHref(name, c.Date)}
		for _, change := range c.Changes {
			r.Changes = append(r.Changes, capital(change.String())+".")
		}
		rows = append(rows, r)
	}
	return rows
}

// sayChanges puts the changes of one day in plain words.
func sayChanges(f *api.SourceFacts) []string {
	if f == nil {
		return nil
	}
	var out []string
	for _, c := range f.SchemaChanges {
		out = append(out, capital(c.String())+".")
	}
	return out
}
