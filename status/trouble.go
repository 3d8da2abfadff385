package status

import (
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// rootKey names a root cause: a dataset's day, or a whole run when it was its publishing that failed
// or the run that was cancelled.
type rootKey struct {
	dataset elt.DatasetName
	date    elt.Date
	run     elt.RunID
}

// findTrouble groups every latest day that is not on its way to being ready under its root cause.
func (s *snapshot) findTrouble(sets []*dataset) []api.Trouble {
	members := make(map[rootKey][]elt.DayStatus)
	var order []rootKey
	for _, set := range sets {
		d := set.headline.Latest
		if d.State == "" || d.State == elt.DayNotExpected || d.Good() {
			continue
		}
		key := s.rootOf(d)
		if members[key] == nil {
			order = append(order, key)
		}
		members[key] = append(members[key], d)
	}
	var out []api.Trouble
	for _, key := range order {
		if t, ok := s.troubleOf(key, members[key]); ok {
			out = append(out, t)
		}
	}
	rank := map[api.Severity]int{api.P1: 0, api.Problem: 1, api.Notice: 2}
	slices.SortStableFunc(out, func(a, b api.Trouble) int {
		if a.Severity != b.Severity {
			return rank[a.Severity] - rank[b.Severity]
		}
		return len(b.Affected) - len(a.Affected)
	})
	return out
}

// rootOf follows what holds a day up, the worst first, to where the trouble began.
func (s *snapshot) rootOf(d elt.DayStatus) rootKey {
	for range len(s.sets) {
		if d.State == elt.DayBlocked && d.Cause != nil {
			if root, ok := s.day(d.Cause.Dataset, d.Date); ok && root.Dataset != d.Dataset {
				d = root
				continue
			}
		}
		var worst elt.DayStatus
		for _, name := range d.BlockedBy {
			if in, ok := s.day(name, d.Date); ok && (worst.State == "" || in.Severity() > worst.Severity()) {
				worst = in
			}
		}
		if worst.State == "" {
			break
		}
		d = worst
	}
	if d.State == elt.DayFailed && (d.Step == elt.PublishStep || s.cancelled(d)) {
		return rootKey{date: d.Date, run: d.Run}
	}
	return rootKey{dataset: d.Dataset, date: d.Date}
}

// troubleOf tells one root cause with its members; ok is false when it is a night like any other.
func (s *snapshot) troubleOf(key rootKey, members []elt.DayStatus) (api.Trouble, bool) {
	root, known := s.day(key.dataset, key.date)
	if key.run != "" || !known {
		root = members[0]
	}
	set := s.byName[root.Dataset]
	t := api.Trouble{
		Dataset: root.Dataset, Date: key.date, State: root.State, Severity: api.Notice,
		NextAttemptAt: root.NextAttemptAt, Owners: set.Owners, Incident: s.incidentOf(root.Dataset, key.date),
	}
	deadline := false
	for _, m := range members {
		deadline = deadline || m.Deadline == elt.DeadlineBreached || m.Deadline == elt.DeadlineAtRisk
		if m.Dataset != root.Dataset {
			t.Affected = append(t.Affected, m.Dataset)
		}
	}
	stuck := root.State == elt.DayUnknown || root.Impossible()
	switch {
	case deadline || t.Incident != "":
		t.Severity = api.P1
	case stuck:
		t.Severity = api.Problem
	case root.State != elt.DayRetrying && (root.State != elt.DayRunning || paused(s.stepAtWork(root)) == ""):
		return t, false
	}
	if root.Cause != nil && root.Cause.Failure != nil {
		t.Failure, t.Do = root.Cause.Failure, root.Cause.Failure.Do
	}
	if st := s.stepAtWork(root); st != nil {
		switch {
		case root.State == elt.DayUnknown:
			t.Since = st.LeaseUntil
		case !st.FinishedAt.IsZero():
			t.Since = st.FinishedAt
		}
	}
	t.Title, t.Detail = s.tellTrouble(key, set, root, t)
	return t, true
}

func (s *snapshot) tellTrouble(key rootKey, set *dataset, root elt.DayStatus, t api.Trouble) (title, detail string) {
	today := elt.DateOf(s.at.In(set.zone))
	name, date := string(set.Name), shortDate(key.date, today)
	var parts []string
	switch {
	case key.run != "" && s.cancelled(root):
		return fmt.Sprintf("The run of %s was cancelled", date), "Nothing more starts in it. What was published before still serves."
	case key.run != "":
		title = fmt.Sprintf("The night of %s could not be published", date)
	case root.Withdrawn != "":
		title = fmt.Sprintf("%s of %s was withdrawn", name, date)
		parts = append(parts, sentence(root.Withdrawn))
	case root.State == elt.DayFailed:
		title = name + " failed while " + doing(root.Step)
	case root.State == elt.DayRetrying:
		title = name + " is tried again at " + clock(root.NextAttemptAt, set.zone)
		parts = append(parts, "It failed while "+doing(root.Step)+".")
	case root.State == elt.DayUnknown:
		title = "Nobody can vouch for " + string(set.Name)
		parts = append(parts, "Its worker stopped reporting while "+doing(root.Step)+". Another one takes it up as soon as it is free.")
	case root.Deadline == elt.DeadlineBreached:
		title = fmt.Sprintf("%s is late: it was due %s", name, clock(root.DeadlineAt, set.zone))
		parts = append(parts, shortDate(root.Date, today)+" "+s.clause(set, root)+".")
	case root.Deadline == elt.DeadlineAtRisk:
		title = fmt.Sprintf("%s is likely to be late: it is due %s", name, clock(root.DeadlineAt, set.zone))
		parts = append(parts, shortDate(root.Date, today)+" "+s.clause(set, root)+".", s.expectation(set, root))
	case root.State == elt.DayRunning && paused(s.stepAtWork(root)) != "":
		title = name + " is paused: " + paused(s.stepAtWork(root))
		parts = append(parts, "It goes on by itself.")
	case awaitedStill(root) && len(t.Affected) > 0 && t.Severity == api.P1:
		title = fmt.Sprintf("%s holds up %s", name, listed(t.Affected, 2))
		parts = append(parts, shortDate(root.Date, today)+" "+s.clause(set, root)+".", s.expectation(set, root))
	default:
		title = fmt.Sprintf("%s of %s %s", name, date, s.clause(set, root))
	}
	if t.Failure != nil {
		parts = append(parts, sentence(t.Failure.Message))
	}
	if root.Deadline == elt.DeadlineBreached && (root.State == elt.DayRetrying || root.State == elt.DayFailed) {
		parts = append(parts, "It was due "+clock(root.DeadlineAt, set.zone)+".")
	}
	if !set.headline.LatestReady.IsZero() && set.headline.LatestReady.Before(key.date) {
		parts = append(parts, shortDate(set.headline.LatestReady, today)+" still serves.")
	}
	return title, joinSentences(parts)
}

func (s *snapshot) incidentOf(d elt.DatasetName, date elt.Date) elt.IncidentID {
	for _, in := range s.incidents {
		if in.Cause == d && in.Date == date && in.ResolvedAt.IsZero() {
			return in.ID
		}
	}
	return ""
}
