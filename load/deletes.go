package load

import (
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// deletes has the warehouse find the rows that the source no longer has, and returns how many there are. Too many are
// refused, with their number.
func (l *Loader) deletes(ctx context.Context, m *elt.Manifest, level elt.Level) (int64, error) {
	if m.Keys == nil && m.SoftDelete == "" {
		return 0, nil
	}
	var files []string
	if m.Keys != nil {
		keys := *m
		keys.Parts = m.Keys.Parts
		local, release, err := l.fetch(ctx, &keys, func(int64) {})
		if err != nil {
			return 0, err
		}
		defer release()
		files = local
	}
	found, err := l.warehouse.Deletes(ctx, m.Run, m, string(m.Dataset), files) // a table is published under its dataset's name
	if err != nil || m.Keys == nil || found.Published == 0 {
		return found.Gone, err
	}
	if err := sameKeys(m, found, level); err != nil {
		return 0, err
	}
	if share := float64(found.Gone) / float64(found.Published); share > m.Keys.Max {
		return found.Gone, &elt.Error{
			Code: codeDeletesOverCap, Class: elt.Data,
			What: fmt.Sprintf("%s %s: the source no longer has %d of the %d published rows (%.1f%%), and max_deletes is %.1f%%", m.Dataset, m.Date,
				found.Gone, found.Published, 100*share, 100*m.Keys.Max),
			Do: fmt.Sprintf("find out who deleted them; if it is right, let it pass once: daybreak allow %s %s --reason …", m.Dataset, m.Date),
		}
	}
	return found.Gone, nil
}

// sameKeys refuses keys that are not what was extracted: for each that is lost a row would be deleted.
func sameKeys(m *elt.Manifest, found elt.Deletion, level elt.Level) error {
	want := m.Keys.Stats
	if level == elt.LevelCounts {
		want.Columns, found.Keys.Columns = nil, nil
	}
	var said []string
	for _, d := range want.Compare(found.Keys) {
		said = append(said, sentence(m, d))
	}
	if found.Unknown > 0 {
		said = append(said, fmt.Sprintf("%d rows came whose keys are not among them", found.Unknown))
	}
	if len(said) == 0 {
		return nil
	}
	return &elt.Error{
		Code: codeKeysDiffer, Class: elt.Data,
		What: fmt.Sprintf("the warehouse holds other keys than were extracted of %s %s: %s", m.Dataset, m.Date, strings.Join(said, "; ")),
		Do:   "load it again; if it happens again, extract the day again and report it. Nothing was deleted",
	}
}
