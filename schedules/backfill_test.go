package schedules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
	"github.com/daybreak-data/daybreak/schedules"
)

// planOf plans a backfill over the facts, at 8 o'clock of the 9th of January: the last date that has ended is the 8th.
func planOf(f elt.Facts, r elt.BackfillRequest, change func(*schedules.BackfillFacts)) elt.BackfillPlan {
	facts := schedules.BackfillFacts{
		Datasets: f.Datasets, Dates: make(map[elt.DatasetName]schedules.PublishedDates), Threads: 2,
		Extractions: map[elt.DatasetName]elt.Extraction{
			"shop.orders": {Mode: elt.Incremental, Start: date("2026-01-03")}, "shop.users": {Mode: elt.Full},
		},
		Last:        func(elt.Dataset) elt.Date { return date("2026-01-08") },
		NotExpected: func(elt.Dataset, elt.Date) string { return "" },
	}
	for _, v := range f.Versions {
		d, known := facts.Dates[v.Dataset]
		if !known || v.Date.Before(d.First) {
			d.First = v.Date
		}
		if v.Date.After(d.Newest) {
			d.Newest = v.Date
		}
		facts.Dates[v.Dataset] = d
	}
	facts.Board = elt.NewBoard(f)
	if change != nil {
		change(&facts)
	}
	var chosen []elt.DatasetName
	for _, s := range r.Select {
		chosen = append(chosen, elt.DatasetName(s))
	}
	return schedules.PlanBackfill(facts, r, chosen)
}

func date(s string) elt.Date {
	d, err := elt.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

func asked(from, to int, mode elt.BackfillMode, datasets ...string) elt.BackfillRequest {
	return elt.BackfillRequest{Select: datasets, From: elt.Date{Year: 2026, Month: 1, Day: from}, To: elt.Date{Year: 2026, Month: 1, Day: to}, Mode: mode, Downstream: true}
}

// withUsers adds a table that is read whole and a view over it, which an incremental model reads, and one that reads what is
// built whole.
func withUsers() elt.Facts {
	f, _ := past()
	more := []elt.Dataset{
		{Name: "shop.users", Kind: elt.TableDataset, Materialized: "full"},
		{Name: "stg_orders", Kind: elt.ModelDataset, Materialized: "view", Inputs: []elt.DatasetName{"shop.orders"}},
		{Name: "hourly", Kind: elt.ModelDataset, Materialized: "incremental", Inputs: []elt.DatasetName{"stg_orders"}},
		{Name: "ranked", Kind: elt.ModelDataset, Materialized: "incremental", Inputs: []elt.DatasetName{"totals"}},
	}
	for day := 5; day <= 8; day++ {
		for _, d := range more {
			at := elt.Date{Year: 2026, Month: 1, Day: day}
			run := elt.RunID(fmt.Sprintf("run%d", day))
			v := elt.Version{ID: elt.NewVersionID(d.Name, run), Dataset: d.Name, Date: at, Run: run, PublishedAt: at.AddDays(1).At(3, 0, time.UTC), Inputs: map[elt.DatasetName]elt.VersionID{}}
			for _, in := range d.Inputs {
				v.Inputs[in] = elt.NewVersionID(in, run)
			}
			f.Versions, f.Days = append(f.Versions, v), append(f.Days, elt.Day{Dataset: d.Name, Date: at, Run: run})
		}
	}
	f.Datasets = append(f.Datasets, more...)
	return f
}

func spanLines(plan elt.BackfillPlan) string {
	var b strings.Builder
	for _, s := range plan.Spans() {
		days := fmt.Sprint(s.From.Day)
		if s.To != s.From {
			days += fmt.Sprintf("-%d", s.To.Day)
		}
		fmt.Fprintf(&b, "%s %s %s: %s\n", s.Dataset, days, s.Action, s.Reason)
	}
	return strings.TrimSpace(b.String())
}

func TestPlanBackfill(t *testing.T) {
	for name, c := range map[string]struct {
		request elt.BackfillRequest
		change  func(elt.Facts) elt.Facts
		facts   func(*schedules.BackfillFacts)
		want    string
	}{
		"nothing is missing": {request: asked(6, 7, elt.MissingDays, "shop.orders"), want: `shop.orders 6-7 skip: it is ready`},
		"a missing day, with what is made from it": {
			request: asked(5, 7, elt.MissingDays, "shop.orders"),
			change:  func(f elt.Facts) elt.Facts { return without(f, "shop.orders", 6) },
			want: `
shop.orders 5 skip: it is ready
shop.orders 6 extract: nothing of it is published
shop.orders 7 skip: it is ready
daily 6 build: shop.orders is brought again
hourly 6 build: shop.orders is brought again
hourly 8 build: stg_orders is brought again
stg_orders 8 build: it is built whole, once, after all of shop.orders that is brought again
totals 8 build: it is built whole, once, after all of daily that is brought again
shown 8 build: it is built whole, once, after all of totals that is brought again
ranked 6 build: daily is brought again
ranked 8 build: totals is brought again`,
		},
		"before its history, its first version and after the last date": {
			request: asked(1, 9, elt.MissingDays, "shop.orders"), change: func(f elt.Facts) elt.Facts { return f },
			want: `
shop.orders 1-4 skip: its first version, of 2026-01-05, brought everything until then
shop.orders 5-8 skip: it is ready
shop.orders 9 refuse: the date has not ended`,
		},
		"all of it, from before its history": {
			request: elt.BackfillRequest{Select: []string{"shop.orders"}, From: date("2026-01-01"), To: date("2026-01-04"), Mode: elt.AllDays},
			want: `
shop.orders 1-2 refuse: its history begins on 2026-01-03
shop.orders 3-4 extract: every day was asked for`,
		},
		"a table that is read whole": {
			request: elt.BackfillRequest{Select: []string{"shop.users"}, From: date("2026-01-05"), To: date("2026-01-08"), Mode: elt.AllDays},
			want: `
shop.users 5-7 refuse: it is read whole, and 2026-01-08 is published: an older day is never published over a newer one
shop.users 8 extract: every day was asked for`,
		},
		"a table that is read whole comes from the lake": {
			request: elt.BackfillRequest{Select: []string{"shop.users"}, From: date("2026-01-06"), To: date("2026-01-08"), Mode: elt.MissingDays},
			change: func(f elt.Facts) elt.Facts {
				return without(without(without(f, "shop.users", 8), "shop.users", 7), "shop.users", 6)
			},
			facts: func(f *schedules.BackfillFacts) {
				f.Lake = map[elt.DayKey]string{{Dataset: "shop.users", Date: date("2026-01-07")}: "shop.users/date=2026-01-07/m.json"}
			},
			want: `
shop.users 6 refuse: it is read whole, and production has moved on since: the lake has nothing of that date
shop.users 7 reload: nothing of it is published; the lake has what was extracted of it
shop.users 8 extract: nothing of it is published`,
		},
		"a number tells no date": {
			request: elt.BackfillRequest{Select: []string{"shop.orders"}, From: date("2026-01-07"), To: date("2026-01-08"), Mode: elt.AllDays},
			facts: func(f *schedules.BackfillFacts) {
				least := int64(5)
				f.Extractions = map[elt.DatasetName]elt.Extraction{"shop.orders": {Mode: elt.Incremental, OverlapNumbers: &least}}
			},
			want: `
shop.orders 7 refuse: its cursor is a number, and tells no date, and 2026-01-08 is published: an older day is never published over a newer one
shop.orders 8 extract: every day was asked for`,
		},
		"failed days": {
			request: asked(6, 7, elt.FailedDays, "shop.orders", "daily"),
			change: func(f elt.Facts) elt.Facts {
				f = without(f, "shop.orders", 6)
				f.Steps = append(f.Steps, elt.Step{ID: "run6/extract/shop.orders", Run: "run6", Kind: elt.ExtractStep, Dataset: "shop.orders", State: elt.StepFailed, Error: &elt.Failure{Code: "x"}})
				return f
			},
			want: `
shop.orders 6 extract: it failed
shop.orders 7 skip: it has not failed
daily 6 build: shop.orders is brought again
daily 7 skip: it has not failed
hourly 6 build: shop.orders is brought again
hourly 8 build: stg_orders is brought again
stg_orders 8 build: it is built whole, once, after all of shop.orders that is brought again
totals 8 build: it is built whole, once, after all of daily that is brought again
shown 8 build: it is built whole, once, after all of totals that is brought again
ranked 6 build: daily is brought again
ranked 8 build: totals is brought again`,
		},
		"outdated days": {
			request: elt.BackfillRequest{Select: []string{"daily"}, From: date("2026-01-05"), To: date("2026-01-08"), Mode: elt.OutdatedDays},
			change:  func(f elt.Facts) elt.Facts { return again(f, "shop.orders", 6) },
			want: `
daily 5 skip: it is not outdated
daily 6 build: shop.orders has a newer version than it was made from
daily 7-8 skip: it is not outdated`,
		},
		"what others have in hand": {
			request: elt.BackfillRequest{Select: []string{"shop.orders"}, From: date("2026-01-06"), To: date("2026-01-08"), Mode: elt.AllDays},
			facts: func(f *schedules.BackfillFacts) {
				f.Held = map[elt.DayKey]string{{Dataset: "shop.orders", Date: date("2026-01-06")}: "backfill-3"}
				f.Going = map[elt.RunID]bool{"run7": true}
			},
			want: `
shop.orders 6 skip: backfill-3 has it in hand
shop.orders 7 skip: run run7 has it in hand
shop.orders 8 extract: every day was asked for`,
		},
		"holidays, known and not": {
			request: elt.BackfillRequest{Select: []string{"shop.orders"}, From: date("2026-01-04"), To: date("2026-01-06"), Mode: elt.AllDays},
			change: func(f elt.Facts) elt.Facts {
				f = without(f, "shop.orders", 6)
				for i := range f.Days {
					if d := &f.Days[i]; d.Dataset == "shop.orders" && d.Date.Day == 6 {
						d.NotExpected = "Epiphany"
					}
				}
				return f
			},
			facts: func(f *schedules.BackfillFacts) {
				f.NotExpected = func(_ elt.Dataset, d elt.Date) string {
					return map[bool]string{true: "Sunday"}[d.Weekday() == time.Sunday]
				}
			},
			want: `
shop.orders 4 skip: nothing is expected of that date
shop.orders 5 extract: every day was asked for
shop.orders 6 skip: nothing is expected of that date`,
		},
		"an older day of what is built whole": {
			request: elt.BackfillRequest{Select: []string{"totals"}, From: date("2026-01-07"), To: date("2026-01-08"), Mode: elt.AllDays},
			want: `
totals 7 refuse: it is built whole, and its newest day is 2026-01-08: an older one cannot be built any more
totals 8 build: every day was asked for`,
		},
		"an input that is not there": {
			request: elt.BackfillRequest{Select: []string{"daily"}, From: date("2026-01-06"), To: date("2026-01-06"), Mode: elt.MissingDays},
			change:  func(f elt.Facts) elt.Facts { return without(without(f, "shop.orders", 6), "daily", 6) },
			want:    `daily 6 refuse: shop.orders of that date, which it is made from, is not there`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := withUsers()
			if c.change != nil {
				f = c.change(f)
			}
			if diff := cmp.Diff(strings.TrimSpace(c.want), spanLines(planOf(f, c.request, c.facts))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// What is built whole is built after every date that it reads, and before the incremental models that read it.
func TestPlanBackfillPhases(t *testing.T) {
	plan := planOf(without(withUsers(), "shop.orders", 6), asked(6, 6, elt.MissingDays, "shop.orders"), nil)
	at := make(map[string]int)
	for i, d := range plan.Days {
		at[fmt.Sprintf("%s %d", d.Dataset, d.Date.Day)] = i + 1
	}
	for _, pair := range [][2]string{{"shop.orders 6", "daily 6"}, {"daily 6", "totals 8"}, {"totals 8", "ranked 6"}, {"stg_orders 8", "hourly 8"}} {
		if a, b := at[pair[0]], at[pair[1]]; a == 0 || b == 0 || a >= b {
			t.Errorf("%s comes at %d, %s at %d", pair[0], a, pair[1], b)
		}
	}
}

func TestBackfillEstimate(t *testing.T) {
	r := elt.BackfillRequest{Select: []string{"shop.orders", "shop.users"}, From: date("2026-01-07"), To: date("2026-01-08"), Mode: elt.AllDays}
	plan := planOf(withUsers(), r, func(f *schedules.BackfillFacts) {
		f.Efforts = map[elt.DatasetName]elt.Effort{
			"shop.orders": {Rows: 100, Bytes: 1000, Duration: time.Minute}, "shop.users": {Rows: 7, Bytes: 70, Duration: 3 * time.Minute, BytesBilled: 5},
		}
	})
	want := elt.Estimate{Effort: elt.Effort{Rows: 207, Bytes: 2070, Duration: 4 * time.Minute, BytesBilled: 5}} // one minute, and then both side by side
	if diff := cmp.Diff(want, plan.Estimate); diff != "" {
		t.Error(diff)
	}
	plan = planOf(withUsers(), r, nil)
	if diff := cmp.Diff(elt.Estimate{Unknown: []elt.DatasetName{"shop.orders", "shop.users"}}, plan.Estimate); diff != "" {
		t.Error(diff)
	}
}

// Whatever the models are made of and whichever days are there: a plan names no day twice, brings nothing before what it is
// made from, publishes no older day of what is read whole, and is the same again over the same facts.
func TestPlanBackfillProperties(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		f := elt.Facts{Now: time.Date(2026, 1, 9, 8, 0, 0, 0, time.UTC)}
		tables := []elt.Dataset{{Name: "shop.orders", Kind: elt.TableDataset, Materialized: "incremental"}, {Name: "shop.users", Kind: elt.TableDataset, Materialized: "full"}}
		f.Datasets = append(f.Datasets, tables...)
		for i := range rapid.IntRange(1, 6).Draw(t, "models") {
			d := elt.Dataset{Name: elt.DatasetName(fmt.Sprintf("m%d", i)), Kind: elt.ModelDataset, Materialized: rapid.SampledFrom([]string{"table", "view", "incremental"}).Draw(t, "as")}
			for _, in := range f.Datasets {
				if rapid.Bool().Draw(t, "reads") {
					d.Inputs = append(d.Inputs, in.Name)
				}
			}
			f.Datasets = append(f.Datasets, d)
		}
		for day := 3; day <= 8; day++ {
			for _, d := range f.Datasets {
				at := elt.Date{Year: 2026, Month: 1, Day: day}
				if rapid.IntRange(0, 9).Draw(t, "known") == 0 {
					continue
				}
				f.Days = append(f.Days, elt.Day{Dataset: d.Name, Date: at, Run: "r"})
				if rapid.IntRange(0, 3).Draw(t, "there") > 0 {
					f.Versions = append(f.Versions, elt.Version{ID: elt.NewVersionID(d.Name, elt.RunID(fmt.Sprint(day))), Dataset: d.Name, Date: at, Run: "r", PublishedAt: at.At(4, 0, time.UTC)})
				}
			}
		}
		from := rapid.IntRange(1, 8).Draw(t, "from")
		r := asked(from, rapid.IntRange(from, 9).Draw(t, "to"), rapid.SampledFrom(elt.BackfillModes()).Draw(t, "mode"))
		for _, d := range f.Datasets {
			if rapid.Bool().Draw(t, "asked") {
				r.Select = append(r.Select, string(d.Name))
			}
		}
		r.Downstream = rapid.Bool().Draw(t, "downstream")
		plan := planOf(f, r, nil)
		if how := planOf(f, r, nil).Differs(plan.Token()); how != "" {
			t.Fatal("the same facts give another plan: " + how)
		}
		inputs := make(map[elt.DatasetName][]elt.DatasetName)
		for _, d := range f.Datasets {
			inputs[d.Name] = d.Inputs
		}
		seen := make(map[elt.DayKey]int)
		for i, d := range plan.Days {
			key := elt.DayKey{Dataset: d.Dataset, Date: d.Date}
			if _, twice := seen[key]; twice {
				t.Fatalf("%v is planned twice", key)
			}
			seen[key] = i
			if d.Reason == "" {
				t.Fatalf("%v has no reason", d)
			}
		}
		for i, d := range plan.Days {
			for _, in := range inputs[d.Dataset] {
				if j, planned := seen[elt.DayKey{Dataset: in, Date: d.Date}]; planned && j > i && plan.Days[j].Action.Acts() && d.Action.Acts() {
					t.Fatalf("%s of %s is built before %s", d.Dataset, d.Date, in)
				}
			}
			if d.Dataset == "shop.users" && d.Action.Acts() {
				for _, v := range f.Versions {
					if v.Dataset == d.Dataset && v.Date.After(d.Date) {
						t.Fatalf("%s would be published over %s", d.Date, v.Date)
					}
				}
			}
		}
	})
}

func TestPlanToken(t *testing.T) {
	r := asked(5, 8, elt.AllDays, "shop.orders")
	token := planOf(withUsers(), r, nil).Token()
	if !slices.ContainsFunc([]byte(token), func(b byte) bool { return b != '=' }) || len(token) > 2000 {
		t.Fatalf("token %q", token)
	}
	for name, c := range map[string]struct {
		plan elt.BackfillPlan
		want string
	}{
		"the same":        {planOf(withUsers(), r, nil), ""},
		"a newer version": {planOf(again(withUsers(), "daily", 6), r, nil), "what is known of daily has changed"},
		"a day less": {planOf(withUsers(), r, func(f *schedules.BackfillFacts) {
			f.Held = map[elt.DayKey]string{{Dataset: "shop.orders", Date: r.From}: "backfill-1"}
		}), "days now, and"},
		"another request":   {planOf(withUsers(), asked(5, 7, elt.AllDays, "shop.orders"), nil), "has changed"},
		"nothing of a plan": {elt.BackfillPlan{}, "has changed"},
	} {
		if got := c.plan.Differs(token); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, rubbish := range []elt.PlanToken{"", "x", "????", "AQ", token[:10]} {
		if got := planOf(withUsers(), r, nil).Differs(rubbish); !strings.Contains(got, "none that a plan was given") {
			t.Errorf("%q: %q", rubbish, got)
		}
	}
}
