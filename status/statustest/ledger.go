package statustest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Ledger keeps everything in memory. Every change raises its revision.
type Ledger struct {
	mu        sync.Mutex
	now       func() time.Time
	revision  int64
	failure   error
	datasets  []elt.Dataset
	days      map[elt.DayKey]elt.Day
	versions  map[elt.DayKey]elt.Version
	runs      map[elt.RunID]elt.Run
	steps     map[elt.RunID][]elt.Step
	attempts  map[elt.StepID][]elt.Attempt
	failing   []elt.FailingRows
	manifests map[string]*elt.Manifest
	incidents []elt.Incident
	events    []elt.Event
	reads     int
}

// New returns an empty ledger whose clock is now.
func New(now func() time.Time) *Ledger {
	return &Ledger{
		now: now, days: make(map[elt.DayKey]elt.Day), versions: make(map[elt.DayKey]elt.Version),
		runs: make(map[elt.RunID]elt.Run), steps: make(map[elt.RunID][]elt.Step),
		attempts: make(map[elt.StepID][]elt.Attempt), manifests: make(map[string]*elt.Manifest),
	}
}

// Fail makes every read fail with err, until it is called with nil.
func (l *Ledger) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
}

// FactsRead tells how often the facts were read.
func (l *Ledger) FactsRead() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reads
}

func (l *Ledger) change(e elt.Event) {
	l.revision++
	if e.Kind == "" {
		return
	}
	e.Seq, e.At = int64(len(l.events)+1), l.now()
	l.events = append(l.events, e)
}

// AddDatasets declares datasets.
func (l *Ledger) AddDatasets(ds ...elt.Dataset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.datasets = append(l.datasets, ds...)
	for _, d := range ds {
		l.change(elt.Event{Kind: "dataset.added", Dataset: d.Name})
	}
}

// SetDay replaces a day.
func (l *Ledger) SetDay(d elt.Day) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.days[elt.DayKey{Dataset: d.Dataset, Date: d.Date}] = d
	l.change(elt.Event{Kind: "day.changed", Dataset: d.Dataset, Date: d.Date})
}

// Day returns a day as it was set.
func (l *Ledger) Day(d elt.DatasetName, date elt.Date) elt.Day {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.days[elt.DayKey{Dataset: d, Date: date}]
}

// SetRun replaces a run.
func (l *Ledger) SetRun(r elt.Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[r.ID] = r
	l.change(elt.Event{Kind: "run." + string(r.State), Run: r.ID, Date: r.Date})
}

// SetStep replaces a step, or adds it.
func (l *Ledger) SetStep(s elt.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps := l.steps[s.Run]
	if i := slices.IndexFunc(steps, func(o elt.Step) bool { return o.ID == s.ID }); i >= 0 {
		steps[i] = s
	} else {
		l.steps[s.Run] = append(steps, s)
	}
	l.change(elt.Event{Kind: "step." + string(s.State), Dataset: s.Dataset, Date: s.Date, Run: s.Run, Step: s.ID})
}

// SetAttempts replaces a step's attempts.
func (l *Ledger) SetAttempts(step elt.StepID, attempts ...elt.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts[step] = attempts
	l.change(elt.Event{})
}

// Publish records a version.
func (l *Ledger) Publish(v elt.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions[elt.DayKey{Dataset: v.Dataset, Date: v.Date}] = v
	l.change(elt.Event{Kind: "version.published", Dataset: v.Dataset, Date: v.Date, Run: v.Run})
}

// Published returns a day's version.
func (l *Ledger) Published(d elt.DatasetName, date elt.Date) elt.Version {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.versions[elt.DayKey{Dataset: d, Date: date}]
}

// SaveManifest records a manifest under its key.
func (l *Ledger) SaveManifest(key string, m *elt.Manifest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manifests[key] = m
	l.change(elt.Event{})
}

// SetIncident adds or replaces an incident.
func (l *Ledger) SetIncident(in elt.Incident) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.incidents = slices.DeleteFunc(l.incidents, func(o elt.Incident) bool { return o.ID == in.ID })
	l.incidents = append(l.incidents, in)
	l.change(elt.Event{Kind: "incident.opened", Dataset: in.Cause, Date: in.Date})
}

// Revision implements status.BoardLedger.
func (l *Ledger) Revision(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.revision, l.failure
}

// Facts implements status.BoardLedger.
func (l *Ledger) Facts(_ context.Context, from, to elt.Date) (elt.Facts, error) {
	return l.facts(func(d elt.Date) bool { return !d.Before(from) && !d.After(to) })
}

// FactsOn implements status.BoardLedger.
func (l *Ledger) FactsOn(_ context.Context, dates []elt.Date) (elt.Facts, error) {
	return l.facts(func(d elt.Date) bool { return slices.Contains(dates, d) })
}

func (l *Ledger) facts(within func(elt.Date) bool) (elt.Facts, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return elt.Facts{}, l.failure
	}
	l.reads++
	f := elt.Facts{Revision: l.revision, Now: l.now(), Datasets: slices.Clone(l.datasets)}
	needed := make(map[elt.RunID]bool)
	for key, d := range l.days {
		if !within(key.Date) {
			continue
		}
		f.Days = append(f.Days, d)
		v, published := l.versions[key]
		if published {
			f.Versions = append(f.Versions, v)
		}
		if d.Run != "" && (!published || v.Run != d.Run) {
			needed[d.Run] = true
		}
	}
	for _, run := range slices.Sorted(maps.Keys(needed)) {
		f.Steps = append(f.Steps, l.steps[run]...)
	}
	return f, nil
}

// Events implements status.BoardLedger.
func (l *Ledger) Events(_ context.Context, after int64, limit int) ([]elt.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return nil, l.failure
	}
	if after >= int64(len(l.events)) {
		return nil, nil
	}
	events := l.events[max(0, after):]
	return slices.Clone(events[:min(limit, len(events))]), nil
}

// Incidents implements status.BoardLedger.
func (l *Ledger) Incidents(_ context.Context, openOnly bool, limit int) ([]elt.Incident, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []elt.Incident
	for _, in := range l.incidents {
		if !openOnly || in.ResolvedAt.IsZero() {
			out = append(out, in)
		}
	}
	slices.SortFunc(out, func(a, b elt.Incident) int { return b.OpenedAt.Compare(a.OpenedAt) })
	return out[:min(limit, len(out))], l.failure
}

// Run implements status.RunLedger.
func (l *Ledger) Run(_ context.Context, id elt.RunID) (elt.Run, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return elt.Run{}, l.failure
	}
	if r, ok := l.runs[id]; ok {
		return r, nil
	}
	return elt.Run{}, &elt.Error{Code: "run_unknown", Class: elt.Config, What: "there is no run " + string(id)}
}

// Runs implements status.RunLedger.
func (l *Ledger) Runs(_ context.Context, f elt.RunFilter) ([]elt.Run, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []elt.Run
	for _, r := range l.runs {
		switch {
		case f.Schedule != "" && r.Schedule != f.Schedule, f.State != "" && r.State != f.State:
		case !f.From.IsZero() && r.Date.Before(f.From), !f.To.IsZero() && r.Date.After(f.To):
		case f.Before != "" && r.ID >= f.Before:
		default:
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b elt.Run) int { return cmp.Compare(b.ID, a.ID) })
	if f.Limit == 0 {
		f.Limit = 100
	}
	return out[:min(f.Limit, len(out))], l.failure
}

// Steps implements status.RunLedger.
func (l *Ledger) Steps(_ context.Context, run elt.RunID) ([]elt.Step, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.steps[run]), l.failure
}

// Attempts implements status.RunLedger.
func (l *Ledger) Attempts(_ context.Context, step elt.StepID) ([]elt.Attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.attempts[step]), l.failure
}

// FailingRows implements status.RunLedger.
func (l *Ledger) FailingRows(_ context.Context, run elt.RunID, d elt.DatasetName) ([]elt.FailingRows, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []elt.FailingRows
	for _, f := range l.failing {
		if f.Run == run && f.Dataset == d {
			out = append(out, f)
		}
	}
	return out, l.failure
}

// KeepFailing keeps rows that failed a test.
func (l *Ledger) KeepFailing(f elt.FailingRows) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = append(l.failing, f)
}

// Version implements status.ManifestLedger.
func (l *Ledger) Version(_ context.Context, id elt.VersionID) (elt.Version, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return elt.Version{}, l.failure
	}
	for _, v := range l.versions {
		if v.ID == id {
			return v, nil
		}
	}
	return elt.Version{}, &elt.Error{Code: "version_unknown", Class: elt.Internal, What: "there is no version " + string(id)}
}

// Manifest implements status.ManifestLedger.
func (l *Ledger) Manifest(_ context.Context, key string) (*elt.Manifest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return nil, l.failure
	}
	if m, ok := l.manifests[key]; ok {
		return m, nil
	}
	return nil, &elt.Error{Code: "manifest_unknown", Class: elt.Internal, What: "there is no manifest " + key}
}

// SchemaChanges returns what the dataset's manifests tell of its columns, the latest date first.
func (l *Ledger) SchemaChanges(_ context.Context, d elt.DatasetName, limit int) ([]elt.DatasetChanges, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return nil, l.failure
	}
	var out []elt.DatasetChanges
	for _, m := range l.manifests {
		if m.Dataset == d && len(m.Changes) > 0 {
			out = append(out, elt.DatasetChanges{Date: m.Date, Run: m.Run, Changes: m.Changes})
		}
	}
	slices.SortFunc(out, func(a, b elt.DatasetChanges) int { return b.Date.Compare(a.Date) })
	return out[:min(len(out), limit)], nil
}
