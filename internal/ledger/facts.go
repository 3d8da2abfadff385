package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Facts returns what the status of every day between two dates, both inclusive, follows from, as the
// ledger was at one moment. Days and versions come in no order. Steps are those of a day that has no version, or that another run brings
// than its version's, with that run's publish step.
func (l *Ledger) Facts(ctx context.Context, from, to elt.Date) (elt.Facts, error) {
	return l.facts(ctx, "read the facts of "+from.String()+" to "+to.String(), `date >= $1 AND date <= $2`, from.String(), to.String())
}

// FactsOn is Facts of some dates alone: of those that events have named.
func (l *Ledger) FactsOn(ctx context.Context, dates []elt.Date) (elt.Facts, error) {
	places, args := make([]string, len(dates)), make([]any, len(dates))
	for i, d := range dates {
		places[i], args[i] = fmt.Sprintf("$%d", i+1), d.String()
	}
	if len(dates) == 0 {
		places = []string{"NULL"}
	}
	return l.facts(ctx, fmt.Sprintf("read the facts of %d dates", len(dates)), `date IN (`+strings.Join(places, ", ")+`)`, args...)
}

// facts reads those of the dates that a condition selects.
func (l *Ledger) facts(ctx context.Context, op, dates string, args ...any) (f elt.Facts, err error) {
	err = l.snapshot(ctx, op, func(ctx context.Context, q queryer) error {
		f = elt.Facts{}
		if f.Revision, err = l.readRevision(ctx, q); err != nil {
			return err
		}
		if f.Now, err = l.clock(ctx, q); err != nil {
			return err
		}
		if f.Datasets, err = readDatasets(ctx, q, l.table("datasets")); err != nil {
			return err
		}
		if f.Days, err = collect(ctx, q, scanDay, `SELECT `+dayColumns+` FROM `+l.table("days")+` WHERE `+dates, args...); err != nil {
			return err
		}
		if f.Versions, err = collect(ctx, q, scanVersion, `SELECT `+versionColumns+` FROM `+l.table("versions")+` WHERE is_newest = 1 AND `+dates, args...); err != nil {
			return err
		}
		if f.Maintenance, err = l.maintenanceOf(ctx, q, f.Days); err != nil {
			return err
		}
		if f.Rebuilt, err = l.readRebuilt(ctx, q); err != nil {
			return err
		}
		f.Steps, err = l.readSteps(ctx, q, unsettled(f))
		return err
	})
	if err != nil {
		return elt.Facts{}, err
	}
	return f, nil
}

// ownSteps names the steps of one dataset in a run; those of the run itself have no dataset.
type ownSteps struct {
	run     elt.RunID
	dataset elt.DatasetName
}

// unsettled returns whose steps a day's status still depends on.
func unsettled(f elt.Facts) []ownSteps {
	bringer := make(map[elt.DayKey]elt.RunID, len(f.Versions))
	for _, v := range f.Versions {
		bringer[elt.DayKey{Dataset: v.Dataset, Date: v.Date}] = v.Run
	}
	runs := make(map[elt.RunID]bool)
	var out []ownSteps
	for _, d := range f.Days {
		if d.Run == "" || d.Run == bringer[elt.DayKey{Dataset: d.Dataset, Date: d.Date}] {
			continue
		}
		if !runs[d.Run] {
			runs[d.Run] = true
			out = append(out, ownSteps{run: d.Run})
		}
		out = append(out, ownSteps{d.Run, d.Dataset})
	}
	return out
}

func (l *Ledger) readSteps(ctx context.Context, q queryer, whose []ownSteps) ([]elt.Step, error) {
	rows := make([][]any, len(whose))
	for i, w := range whose {
		rows[i] = []any{string(w.run), string(w.dataset)}
	}
	var held []heldStep
	for text, args := range statements(`SELECT `+stepColumns+` FROM `+l.table("steps")+` WHERE (run, dataset) IN (VALUES `, `)`, rows) {
		some, err := collect(ctx, q, scanHeldStep, text, args...)
		if err != nil {
			return nil, err
		}
		held = append(held, some...)
	}
	slices.SortFunc(held, func(a, b heldStep) int {
		return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.position, b.position))
	})
	steps := make([]elt.Step, len(held))
	for i, s := range held {
		steps[i] = s.Step
	}
	return steps, nil
}

// readRebuilt returns the last version of each dataset that a full refresh built whole.
func (l *Ledger) readRebuilt(ctx context.Context, q queryer) (rebuilt []elt.Version, err error) {
	text := `SELECT ` + versionColumns + ` FROM ` + l.table("versions") + ` WHERE run IN (SELECT id FROM runs WHERE options IS NOT NULL AND options LIKE '%"full_refresh":true%')`
	all, err := collect(ctx, q, scanVersion, text)
	last := make(map[elt.DatasetName]elt.Version, len(all))
	for _, v := range all {
		if old, ok := last[v.Dataset]; !ok || v.PublishedAt.After(old.PublishedAt) {
			last[v.Dataset] = v
		}
	}
	for _, v := range last {
		rebuilt = append(rebuilt, v)
	}
	return rebuilt, err
}
