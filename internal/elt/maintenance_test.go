package elt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

func window(from, to string) elt.Maintenance {
	return elt.Maintenance{ID: elt.MaintenanceID(from), From: at(from), To: at(to), Everything: true, Reason: "the server moves", Zone: "UTC"}
}

// at is a time of day on 6 January, the night in which theDate is brought.
func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", "2026-01-06 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// The truth table of a day under maintenance: its tick is due at 02:00, its deadline at 07:00.
func TestDeriveUnderMaintenance(t *testing.T) {
	failedAt := func(clock string) []elt.Step {
		s := steps(failed, blocked, blocked, blocked)
		for i := range s {
			s[i].FinishedAt = at(clock)
		}
		return s
	}
	night := window("01:00", "05:00")
	ended := night
	ended.EndedAt = at("02:30")
	never := night
	never.EndedAt = at("00:30")
	type want struct {
		state    elt.DayState
		deadline elt.DeadlineState
		due      string
	}
	for name, tc := range map[string]struct {
		now     string
		windows []elt.Maintenance
		day     elt.Day
		steps   []elt.Step
		version *elt.Version
		want
	}{
		"no window":                       {now: "03:00", want: want{elt.DayScheduled, elt.DeadlineOnTrack, "07:00"}},
		"in the window":                   {now: "03:00", windows: []elt.Maintenance{night}, want: want{elt.DayNotExpected, elt.DeadlineNone, "10:00"}},
		"before the window":               {now: "00:59", windows: []elt.Maintenance{night}, want: want{elt.DayScheduled, elt.DeadlineOnTrack, "10:00"}},
		"after the window":                {now: "05:00", windows: []elt.Maintenance{night}, want: want{elt.DayScheduled, elt.DeadlineOnTrack, "10:00"}},
		"late after the window":           {now: "10:01", windows: []elt.Maintenance{night}, want: want{elt.DayScheduled, elt.DeadlineBreached, "10:00"}},
		"ended before its time":           {now: "03:00", windows: []elt.Maintenance{ended}, want: want{elt.DayScheduled, elt.DeadlineOnTrack, "07:30"}},
		"ended before it began":           {now: "03:00", windows: []elt.Maintenance{never}, want: want{elt.DayScheduled, elt.DeadlineOnTrack, "07:00"}},
		"it runs, and rests":              {now: "03:00", windows: []elt.Maintenance{night}, steps: steps(running, pending, pending, pending), want: want{elt.DayNotExpected, elt.DeadlineNone, "10:00"}},
		"failed within the window":        {now: "03:00", windows: []elt.Maintenance{night}, steps: failedAt("02:10"), want: want{elt.DayNotExpected, elt.DeadlineNone, "10:00"}},
		"failed, and the window over":     {now: "05:10", windows: []elt.Maintenance{night}, steps: failedAt("02:10"), want: want{elt.DayFailed, elt.DeadlineAtRisk, "10:00"}},
		"failed before the window":        {now: "04:00", windows: []elt.Maintenance{window("03:00", "05:00")}, steps: failedAt("02:10"), want: want{elt.DayFailed, elt.DeadlineAtRisk, "09:00"}},
		"late before the window":          {now: "09:00", windows: []elt.Maintenance{window("08:00", "11:00")}, want: want{elt.DayScheduled, elt.DeadlineBreached, "07:00"}},
		"due after the window":            {now: "01:30", windows: []elt.Maintenance{window("01:00", "02:00")}, want: want{elt.DayScheduled, elt.DeadlineOnTrack, "07:00"}},
		"ready all the same":              {now: "03:00", windows: []elt.Maintenance{night}, version: &elt.Version{ID: "v", PublishedAt: at("02:30")}, want: want{elt.DayReady, elt.DeadlineMet, "10:00"}},
		"ready in the time that moved":    {now: "12:00", windows: []elt.Maintenance{night}, version: &elt.Version{ID: "v", PublishedAt: at("09:00")}, want: want{elt.DayReady, elt.DeadlineMet, "10:00"}},
		"two that overlap":                {now: "03:00", windows: []elt.Maintenance{window("01:00", "04:00"), window("02:30", "05:00")}, want: want{elt.DayNotExpected, elt.DeadlineNone, "10:00"}},
		"one moves it into the other":     {now: "03:00", windows: []elt.Maintenance{window("02:00", "04:00"), window("08:00", "09:00")}, want: want{elt.DayNotExpected, elt.DeadlineNone, "10:00"}},
		"the calendar comes first":        {now: "03:00", windows: []elt.Maintenance{night}, day: elt.Day{NotExpected: "Epiphany", NotExpectedKind: elt.ByCalendar}, want: want{elt.DayNotExpected, elt.DeadlineNone, "10:00"}},
		"of long ago, promised to nobody": {now: "03:00", windows: []elt.Maintenance{night}, day: elt.Day{DueAt: at("02:00").AddDate(0, 0, -9), Deadline: time.Time{}}, want: want{elt.DayScheduled, elt.DeadlineNone, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			day := tc.day
			day.Dataset, day.Date = "shop.users", theDate
			if day.DueAt.IsZero() {
				day.DueAt, day.Deadline = at("02:00"), deadline
			}
			if tc.steps != nil {
				day.Run = "r1"
			}
			s := elt.Derive(elt.DayFacts{Day: day, Now: at(tc.now), Steps: tc.steps, Version: tc.version, Maintenance: tc.windows})
			got := want{s.State, s.Deadline, ""}
			if !s.DeadlineAt.IsZero() {
				got.due = s.DeadlineAt.Format("15:04")
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if (s.State == elt.DayNotExpected) != (s.NotExpected != nil) {
				t.Errorf("%s says %+v", s.State, s.NotExpected)
			}
			if moved := s.DeadlineAt != day.Deadline; moved != !s.DeadlineWas.IsZero() {
				t.Errorf("due %s, was %s", s.DeadlineAt, s.DeadlineWas)
			}
		})
	}
}

// What a window takes from the time between tick and deadline is given back after it, and nothing else.
func TestMovedDeadlines(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		minute := func(label string, from, to int) time.Time {
			return at("00:00").Add(time.Duration(rapid.IntRange(from, to).Draw(t, label)) * time.Minute)
		}
		due := minute("due", 0, 300)
		promised := due.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "slack")) * time.Minute)
		var windows []elt.Maintenance
		for range rapid.IntRange(0, 4).Draw(t, "windows") {
			from := minute("from", -300, 1500)
			windows = append(windows, elt.Maintenance{ID: elt.MaintenanceID(from.String()), Everything: true, From: from, To: from.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "length")) * time.Minute)})
		}
		sorted := elt.Maintained([]elt.Dataset{{Name: "d"}}, windows)["d"]
		moved := elt.Moved(due, promised, sorted)
		free := time.Duration(0)
		for now := due; now.Before(moved); now = now.Add(time.Minute) {
			resting := false
			for _, m := range windows {
				resting = resting || m.Holds(now)
			}
			if !resting {
				free += time.Minute
			}
		}
		if free != promised.Sub(due) {
			t.Fatalf("from %s to %s are %s without maintenance, and %s were promised", due, moved, free, promised.Sub(due))
		}
	})
}

// However windows lie: no day that rests is red or at risk, none that is ready is hidden, and none that rests lets a
// dataset look complete beyond it.
func TestMaintenanceNeverLies(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		for range rapid.IntRange(0, 3).Draw(t, "windows") {
			m := elt.Maintenance{Reason: "r", From: now.Add(time.Duration(rapid.IntRange(-3000, 600).Draw(t, "from")) * time.Minute)}
			m.To = m.From.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "length")) * time.Minute)
			m.ID = elt.MaintenanceID(m.From.String())
			if m.Everything = rapid.Bool().Draw(t, "everything"); !m.Everything {
				m.Datasets = []elt.DatasetName{rapid.SampledFrom(f.Datasets).Draw(t, "covers").Name}
			}
			f.Maintenance = append(f.Maintenance, m)
		}
		for i := range f.Days {
			f.Days[i].DueAt = f.Days[i].Date.AddDays(1).At(2, 0, time.UTC)
		}
		with := elt.NewBoard(f)
		f.Maintenance = nil
		without := elt.NewBoard(f)
		for key, s := range with.Days {
			before := without.Days[key]
			if (s.State == elt.DayReady) != (before.State == elt.DayReady) {
				t.Fatalf("%v is %s with a window, and %s without", key, s.State, before.State)
			}
			if s.Comes() && (s.Deadline != elt.DeadlineNone || s.Severity() > 0 || s.Good() || s.Impossible()) {
				t.Fatalf("%v rests, and is %+v", key, s)
			}
			if s.DeadlineAt.Before(before.DeadlineAt) {
				t.Fatalf("%v is due %s with a window, and %s without", key, s.DeadlineAt, before.DeadlineAt)
			}
		}
		for _, d := range f.Datasets {
			first, last := theDate.AddDays(-20), theDate.AddDays(20)
			through := elt.NewHeadline(with.History(d.Name, first, last)).CompleteThrough
			for _, s := range with.History(d.Name, first, last) {
				if s.Comes() && !through.IsZero() && !through.Before(s.Date) {
					t.Fatalf("%s is complete through %s, and %s still comes", d.Name, through, s.Date)
				}
			}
		}
	})
}

func TestAHeldTickWaits(t *testing.T) {
	due := elt.Day{Dataset: "reports", Date: theDate, DueAt: at("02:00"), Deadline: deadline}
	day := func(h elt.Hold) elt.Day {
		d := due
		d.Hold = &h
		return d
	}
	upstream := func(state elt.DayState) []elt.InputFacts { return []elt.InputFacts{input("revenue", state, nil)} }
	waits := elt.Hold{Kind: elt.HoldDependency, Reason: "revenue is not ready", Waits: []elt.DatasetName{"revenue"}}
	gaveUp := waits
	gaveUp.GaveUp = true
	for name, tc := range map[string]struct {
		day    elt.Day
		inputs []elt.InputFacts
		want   elt.DayState
		by     []elt.DatasetName
	}{
		"paused":                  {day(elt.Hold{Kind: elt.HoldPaused, Reason: "paused by ann"}), nil, elt.DayWaiting, nil},
		"waits for revenue":       {day(waits), upstream(elt.DayRunning), elt.DayWaiting, []elt.DatasetName{"revenue"}},
		"revenue failed":          {day(waits), upstream(elt.DayFailed), elt.DayBlocked, []elt.DatasetName{"revenue"}},
		"nobody knows of revenue": {day(waits), upstream(elt.DayUnknown), elt.DayUnknown, []elt.DatasetName{"revenue"}},
		"revenue is there":        {day(waits), upstream(elt.DayReady), elt.DayWaiting, nil},
		"waited long enough":      {day(gaveUp), upstream(elt.DayRunning), elt.DayBlocked, []elt.DatasetName{"revenue"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := elt.Derive(elt.DayFacts{Day: tc.day, Now: now, Inputs: tc.inputs})
			if s.State != tc.want || !cmp.Equal(s.BlockedBy, tc.by) {
				t.Errorf("%s by %v: %+v", s.State, s.BlockedBy, s)
			}
			tc.day.Run = "r1" // begun all the same
			if s := elt.Derive(elt.DayFacts{Day: tc.day, Now: now, Steps: steps(running, pending, pending, pending)}); s.State != elt.DayRunning || s.Hold != nil {
				t.Errorf("with a run: %+v", s)
			}
		})
	}
}

// A day that is held for a dataset of another schedule is derived after it, although it is not made from it.
func TestTheBoardDerivesWhatIsWaitedForFirst(t *testing.T) {
	f := elt.Facts{Now: now, Datasets: []elt.Dataset{{Name: "a_report"}, {Name: "revenue"}}, Days: []elt.Day{
		{Dataset: "a_report", Date: theDate, Hold: &elt.Hold{Kind: elt.HoldDependency, Waits: []elt.DatasetName{"revenue"}}},
		{Dataset: "revenue", Date: theDate, Run: "r1"},
	}, Steps: []elt.Step{{Run: "r1", Dataset: "revenue", Kind: elt.TransformStep, State: failed, Error: broken}}}
	b := elt.NewBoard(f)
	if s := b.Days[elt.DayKey{Dataset: "a_report", Date: theDate}]; s.State != elt.DayBlocked || s.Cause == nil || s.Cause.Dataset != "revenue" {
		t.Errorf("%+v", s)
	}
	for _, d := range b.Datasets {
		if len(d.Inputs) > 0 {
			t.Errorf("%s is not made from %v", d.Name, d.Inputs)
		}
	}
}

func TestCalendars(t *testing.T) {
	c := &elt.Calendar{
		Dates:  map[elt.Date]string{{Year: 2026, Month: 12, Day: 25}: "Christmas Day", {Year: 2026, Month: 1, Day: 6}: ""},
		Spans:  []elt.DateSpan{{From: elt.Date{Year: 2026, Month: 12, Day: 27}, To: elt.Date{Year: 2027, Month: 1, Day: 1}, What: "office closed"}},
		Weekly: []time.Weekday{time.Sunday},
	}
	for text, want := range map[string]string{
		"2026-12-25": "Christmas Day", "2026-01-06": "a holiday", "2026-12-26": "", "2026-12-27": "office closed",
		"2027-01-01": "office closed", "2027-01-02": "", "2027-01-03": "Sunday",
	} {
		d, err := elt.ParseDate(text)
		if err != nil {
			t.Fatal(err)
		}
		if what, ok := c.On(d); what != want || ok != (want != "") {
			t.Errorf("%s is %q, %v", text, what, ok)
		}
	}
	if _, ok := (*elt.Calendar)(nil).On(theDate); ok {
		t.Error("without a calendar there is a holiday")
	}
}

func TestMaintenanceIsChecked(t *testing.T) {
	good := window("01:00", "05:00")
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*elt.Maintenance){
		"no reason":        func(m *elt.Maintenance) { m.Reason = " " },
		"no beginning":     func(m *elt.Maintenance) { m.From = time.Time{} },
		"not after":        func(m *elt.Maintenance) { m.To = m.From },
		"31 is the most":   func(m *elt.Maintenance) { m.To = m.From.AddDate(0, 2, 0) },
		"covers nothing":   func(m *elt.Maintenance) { m.Everything = false },
		"names some of it": func(m *elt.Maintenance) { m.Sources = []elt.SourceName{"shop"} },
	} {
		m := good
		spoil(&m)
		if err := m.Check(); elt.CodeOf(err) != "bad_maintenance" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
