package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// rollbacks plans going back to earlier versions and asks for it, for the command and for the status service.
type rollbacks struct {
	ws   *workspace
	book *ledger.Ledger
}

// PlanRollback says what going back would do: to the version or data date that to names, or to the version before what
// people read.
func (r rollbacks) PlanRollback(ctx context.Context, d elt.DatasetName, to string) (elt.Rollback, error) {
	plan := elt.Rollback{Dataset: d, Lost: []elt.Date{}, Feeds: []elt.DatasetName{}}
	if _, err := r.ws.catalog.dataset(string(d)); err != nil {
		return plan, err
	}
	var err error
	if plan.Versions, err = r.book.Versions(ctx, d, everyVersion); err != nil {
		return plan, err
	}
	if plan.Begun, err = r.begun(ctx, plan.Versions); err != nil {
		return plan, err
	}
	if plan.Begun != "" && to == "" { // asked for again
		to = string(plan.Versions[0].Restores)
	}
	if plan.Target, err = rollbackTarget(d, to, plan.Versions); err != nil {
		return plan, err
	}
	plan.Current = plan.Versions[0]
	if plan.Current.Restores != plan.Target.ID {
		plan.Begun = ""
	}
	for _, date := range lostDates(plan.Versions, plan.Target) {
		parsed, err := elt.ParseDate(date)
		if err != nil {
			return plan, fmt.Errorf("version of %s: %w", date, err)
		}
		plan.Lost = append(plan.Lost, parsed)
	}
	for _, name := range r.ws.catalog.feeds(d) {
		plan.Feeds = append(plan.Feeds, elt.DatasetName(name))
	}
	return plan, nil
}

// begun returns the rollback whose version people read and whose run has not ended, because it was interrupted: asked for
// again, it is carried to its end.
func (r rollbacks) begun(ctx context.Context, versions []elt.Version) (elt.RunID, error) {
	if len(versions) == 0 || versions[0].Restores == "" {
		return "", nil
	}
	run, err := r.book.Run(ctx, versions[0].Run)
	if elt.CodeOf(err) == "run_unknown" { // long forgotten
		return "", nil
	}
	if err != nil || run.State.Terminal() {
		return "", err
	}
	return run.ID, nil
}

// Rollback asks for what was planned. Whoever works on the workspace carries it out: a daybreak serve, or the command
// itself.
func (r rollbacks) Rollback(ctx context.Context, plan elt.Rollback, actor, reason string) (elt.RunID, error) {
	run, err := r.ask(ctx, plan, actor, reason)
	return run.ID, err
}

func (r rollbacks) ask(ctx context.Context, plan elt.Rollback, actor, reason string) (elt.Run, error) {
	d, err := r.ws.catalog.dataset(string(plan.Dataset))
	if err != nil {
		return elt.Run{}, err
	}
	run := elt.Run{Schedule: d.Schedule, Date: plan.Target.Date, Kind: elt.RollbackRun, Target: plan.Target.ID}
	return r.ws.ask(ctx, r.book, run, nil, elt.AuditEntry{
		Actor: actor, Action: "rollback", Target: fmt.Sprintf("%s: %s → %s", d.Name, plan.Current.ID, plan.Target.ID), Reason: reason,
	})
}

// texts writes dates as people name them.
func texts(dates []elt.Date) []string {
	out := make([]string, len(dates))
	for i, d := range dates {
		out[i] = d.String()
	}
	return out
}

// everyVersion bounds how many versions of a dataset are looked at: more than the days that are kept.
const everyVersion = 10_000

// rollbackTarget returns the version to go back to: the one of that ID, the latest of that date, or the one before what
// people read. versions are the dataset's, the last published first.
func rollbackTarget(d elt.DatasetName, to string, versions []elt.Version) (elt.Version, error) {
	if len(versions) == 0 {
		return elt.Version{}, &elt.Error{
			Code: "nothing_published", Class: elt.Data, What: fmt.Sprintf("%s has no published version", d), Do: "run a night first: daybreak run",
		}
	}
	current := versions[0]
	switch {
	case to == "" && current.Restores != "":
		return elt.Version{}, &elt.Error{
			Code: "rolled_back_already", Class: elt.Config,
			What: fmt.Sprintf("%s was brought back to %s already, by run %s", d, current.Restores, current.Run),
			Do:   "to go further back, or forward again, name the version: --to " + candidates(versions),
		}
	case to == "" && len(versions) == 1:
		return elt.Version{}, &elt.Error{
			Code: "nothing_before", Class: elt.Data,
			What: fmt.Sprintf("there is nothing to go back to: %s has been published once, by run %s", d, current.Run),
			Do:   fmt.Sprintf("daybreak withdraw %s %s marks the day as bad", d, current.Date),
		}
	case to == "":
		return versions[1], nil
	case strings.Contains(to, "@"):
		if i := slices.IndexFunc(versions, func(v elt.Version) bool { return string(v.ID) == to }); i >= 0 {
			return versions[i], nil
		}
		return elt.Version{}, noVersion(d, to, versions)
	}
	date, err := parseDate(to)
	if err != nil {
		return elt.Version{}, err
	}
	of := slices.DeleteFunc(slices.Clone(versions), func(v elt.Version) bool { return v.Date != date })
	if i := slices.IndexFunc(of, func(v elt.Version) bool { return v.RolledBack == "" }); i >= 0 {
		return of[i], nil
	}
	if len(of) > 0 {
		return of[0], nil
	}
	return elt.Version{}, noVersion(d, to, versions)
}

func noVersion(d elt.DatasetName, asked string, versions []elt.Version) error {
	return &elt.Error{
		Code: "version_unknown", Class: elt.Config,
		What: fmt.Sprintf("%s has no version %s", d, asked), Do: "there are " + candidates(versions),
	}
}

// candidates lists the latest versions.
func candidates(versions []elt.Version) string {
	names := make([]string, len(versions))
	for i, v := range versions {
		names[i] = string(v.ID)
	}
	return listed(names)
}

// lostDates returns the dates that have no version once the target is restored: all of theirs are newer than it.
func lostDates(versions []elt.Version, target elt.Version) (dates []string) {
	kept := map[elt.Date]bool{target.Date: true}
	for _, v := range versions {
		if !v.PublishedAt.After(target.PublishedAt) {
			kept[v.Date] = true
		}
	}
	for _, v := range versions {
		if !kept[v.Date] && v.RolledBack == "" {
			kept[v.Date] = true
			dates = append(dates, v.Date.String())
		}
	}
	slices.Sort(dates)
	return dates
}
