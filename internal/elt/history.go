package elt

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// history is what the versions of all dates say about one of them. Once it is in use it is not changed.
type history struct {
	newest  map[DatasetName]Date          // of the versions
	byTime  map[DatasetName][]publication // of incremental datasets, in the order of publication
	rebuilt map[DatasetName]publication
}

// publication is what other dates need to know of a version.
type publication struct {
	id   VersionID
	date Date
	at   time.Time
}

func (p publication) equal(o publication) bool {
	return p.id == o.id && p.date == o.date && p.at.Equal(o.at)
}

func newHistory(f Facts, datasets []Dataset) *history {
	h := &history{make(map[DatasetName]Date), make(map[DatasetName][]publication), rebuiltOf(f)}
	incremental := make(map[DatasetName]bool)
	for _, d := range datasets {
		incremental[d.Name] = d.Materialized == string(AsIncremental)
	}
	for i := range f.Versions {
		v := &f.Versions[i]
		if v.Date.After(h.newest[v.Dataset]) {
			h.newest[v.Dataset] = v.Date
		}
		if incremental[v.Dataset] {
			h.byTime[v.Dataset] = append(h.byTime[v.Dataset], publication{v.ID, v.Date, v.PublishedAt})
		}
	}
	for _, list := range h.byTime {
		slices.SortFunc(list, byTime)
	}
	return h
}

// byTime orders what was published at one moment by date, so that it makes no difference in which order it was read.
func byTime(a, b publication) int {
	return cmp.Or(a.at.Compare(b.at), a.date.Compare(b.date), cmp.Compare(a.id, b.id))
}

func rebuiltOf(f Facts) map[DatasetName]publication {
	rebuilt := make(map[DatasetName]publication, len(f.Rebuilt))
	for _, v := range f.Rebuilt {
		rebuilt[v.Dataset] = publication{v.ID, v.Date, v.PublishedAt}
	}
	return rebuilt
}

// with returns the history in which the versions of one incremental dataset's date are others.
func (h *history) with(d DatasetName, date Date, now []publication) *history {
	next := &history{h.newest, maps.Clone(h.byTime), h.rebuilt}
	list := slices.DeleteFunc(slices.Clone(h.byTime[d]), func(p publication) bool { return p.date == date })
	next.byTime[d] = append(list, now...)
	slices.SortFunc(next.byTime[d], byTime)
	return next
}

// rebuiltAt returns when a later version of the day's dataset was built whole, zero if none was.
func (h *history) rebuiltAt(d Day) time.Time {
	if v, ok := h.rebuilt[d.Dataset]; ok && !v.date.Before(d.Date) {
		return v.at
	}
	return time.Time{}
}

// late returns the last version of an older date of the input that was published after the given version of a model
// that is built whole, or is a view, and so reads every date of the input; nil if there is none. It concerns the
// model's newest date alone: of the others nothing is left to read.
func (h *history) late(model Dataset, input DatasetName, v *Version) *Version {
	if v == nil || model.Materialized == string(AsIncremental) || v.Date != h.newest[model.Name] {
		return nil
	}
	for _, in := range slices.Backward(h.byTime[input]) {
		if !in.at.After(v.PublishedAt) {
			return nil
		}
		if in.date.Before(v.Date) {
			return &Version{ID: in.id, Dataset: input, Date: in.date, PublishedAt: in.at}
		}
	}
	return nil
}

// seenThrough is why views show other rows than they did.
type seenThrough map[DayKey][]OutdatedInput

// note keeps why a view shows other rows than it did, for what reads it. A view's older day is not outdated itself: it
// has no rows of its own, and nothing could be built again.
func (t seenThrough) note(s *DayStatus, h *history, d Dataset) {
	if d.Materialized != string(AsView) || len(s.OutdatedBy) == 0 {
		return
	}
	t[DayKey{s.Dataset, s.Date}] = s.OutdatedBy
	if s.Date != h.newest[s.Dataset] {
		s.Outdated, s.OutdatedBy = nil, nil
	}
}

// reasons returns why a model's input, if it is a view, shows other rows than it did: to a model that is built whole any
// of them, to an incremental one those of the date alone.
func (t seenThrough) reasons(model Dataset, input DayKey) []OutdatedInput {
	reasons := t[input]
	if model.Materialized != string(AsIncremental) {
		return reasons
	}
	return slices.DeleteFunc(slices.Clone(reasons), func(o OutdatedInput) bool { return o.Date != input.Date })
}
