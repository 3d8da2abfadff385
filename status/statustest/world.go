package statustest

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// World is a company's data at one moment: a ledger with its schedules.
type World struct {
	*Ledger
	Zone  *time.Location
	At    time.Time
	Night elt.Date // the latest data date

	passed func() time.Duration
}

type plan struct {
	name, schedule, about, owners, inputs, deadline string
	rows                                            int64
	begin, minutes                                  int // after the schedule's time; of all steps together
}

// Three schedules, so that a page shows nights in different states beside each other.
var plans = []plan{
	{"shop.companies", "early", "Accounts and their plans", "growth@example.com data-platform@example.com", "", "07:00", 48_210, 0, 9},
	{"shop.users", "early", "People and their devices", "growth@example.com data-platform@example.com", "", "07:00", 1_204_551, 0, 26},
	{"shop.campaigns", "early", "Outbound campaigns, on weekdays", "marketing@example.com growth@example.com", "", "", 912, 9, 3},
	{"active_users", "early", "Who was active on the day, and where", "growth@example.com analytics@example.com", "shop.users shop.companies", "07:00", 310_442, 26, 5},
	{"shop.conversations", "nightly", "Every conversation and its state", "messaging@example.com data-platform@example.com", "", "07:00", 11_604_020, 0, 84},
	{"shop.message_parts", "nightly", "Messages, notes and replies", "messaging@example.com data-platform@example.com", "", "07:30", 64_120_408, 0, 98},
	{"shop.teammates", "nightly", "Who answers, in which team", "messaging@example.com data-platform@example.com", "", "07:30", 8_204, 0, 2},
	{"stg_conversations", "nightly", "Conversations, cleaned", "analytics@example.com messaging@example.com", "shop.conversations", "", 11_604_020, 84, 4},
	{"response_times", "nightly", "How fast teams answer", "messaging@example.com analytics@example.com", "stg_conversations shop.message_parts shop.teammates", "07:30", 96_204, 98, 4},
	{"satisfaction", "nightly", "Ratings by team and week", "analytics@example.com messaging@example.com", "stg_conversations", "", 41_002, 88, 2},
	{"finance.invoices", "finance", "Invoices and credit notes", "billing@example.com data-platform@example.com", "", "06:30", 2_310_887, 0, 14},
	{"finance.subscriptions", "finance", "Plans, seats and renewals", "billing@example.com data-platform@example.com", "", "06:30", 204_118, 0, 6},
	{"revenue", "finance", "Monthly recurring revenue by plan", "billing@example.com analytics@example.com", "finance.invoices finance.subscriptions shop.companies", "07:00", 1_880, 14, 3},
	{"churn", "finance", "Accounts that left, and why", "growth@example.com billing@example.com", "finance.subscriptions shop.companies", "07:00", 640, 8, 2},
	{"board_report", "finance", "The numbers that the board sees", "analytics@example.com billing@example.com", "revenue churn active_users", "07:00", 96, 17, 1},
}

var fires = map[string]int{"early": 4*60 + 30, "nightly": 5 * 60, "finance": 5*60 + 30}

// Calm is the world on a Saturday at 06:44, with ninety nights behind it and everything ready.
func Calm(days int) *World {
	zone, err := time.LoadLocation("Europe/Dublin")
	if err != nil {
		panic(err) // tests run where the zone database is
	}
	w := &World{Zone: zone, Night: elt.Date{Year: 2026, Month: 11, Day: 20}}
	w.At = w.Night.AddDays(1).At(6, 44, zone)
	w.Ledger = New(w.Now)
	for _, p := range plans {
		w.AddDatasets(p.dataset())
	}
	for i := days - 1; i >= 0; i-- {
		for _, schedule := range []string{"early", "nightly", "finance"} {
			w.pastNight(schedule, w.Night.AddDays(-i))
		}
	}
	return w
}

func (p plan) dataset() elt.Dataset {
	d := elt.Dataset{
		Name: elt.DatasetName(p.name), Kind: elt.ModelDataset, Schedule: elt.ScheduleName(p.schedule), Description: p.about,
		Owners: strings.Fields(p.owners), DeadlineTime: p.deadline, Zone: "Europe/Dublin", Relation: "analytics." + p.name, Materialized: "table",
		Columns: []elt.ColumnDoc{{Name: "id", Type: "int64", Description: "Identifies the row", Tests: []string{"unique", "not_null"}}, {Name: "updated_at", Type: "timestamp", Description: "When it last changed"}},
	}
	for in := range strings.FieldsSeq(p.inputs) {
		d.Inputs = append(d.Inputs, elt.DatasetName(in))
	}
	if len(d.Inputs) == 0 {
		d.Kind, d.Relation, d.Materialized = elt.TableDataset, p.name, "full"
	}
	return d
}

// dice is a fixed number from 0 to 99 for a name and date.
func dice(name string, date elt.Date) int {
	h := fnv.New32a()
	fmt.Fprint(h, name, date)
	return int(h.Sum32() % 100)
}

func (p plan) off(date elt.Date) bool {
	return p.name == "shop.campaigns" && (date.Weekday() == time.Saturday || date.Weekday() == time.Sunday)
}

func (w *World) deadline(p plan, date elt.Date) time.Time {
	if p.deadline == "" {
		return time.Time{}
	}
	clock, err := time.Parse("15:04", p.deadline)
	if err != nil {
		panic(err)
	}
	return date.AddDays(1).At(clock.Hour(), clock.Minute(), w.Zone)
}

// Fire is when a schedule begins the night of a date.
func (w *World) Fire(schedule string, date elt.Date) time.Time {
	return date.AddDays(1).At(fires[schedule]/60, fires[schedule]%60, w.Zone)
}

// RunOf is the ID of a schedule's run of a date.
func RunOf(schedule string, date elt.Date) elt.RunID {
	return elt.RunID(strings.ReplaceAll(date.AddDays(1).String(), "-", "") + "t0500-" + schedule)
}

func (w *World) pastNight(schedule string, date elt.Date) {
	run, fire := RunOf(schedule, date), w.Fire(schedule, date)
	delay := time.Duration(dice(schedule, date)%12) * time.Minute
	quiet := w.Night.DaysSince(date) < 5 // so that a short history has nothing to tell
	if !quiet && dice(schedule+"late", date) < 5 {
		delay += 95 * time.Minute
	}
	var last time.Time
	var brings []plan
	for _, p := range plans {
		if p.schedule != schedule {
			continue
		}
		day := elt.Day{Dataset: elt.DatasetName(p.name), Date: date, Run: run, Deadline: w.deadline(p, date)}
		if p.off(date) {
			day.Run, day.NotExpected, day.Deadline = "", "campaigns are not sent at the weekend", time.Time{}
			w.SetDay(day)
			continue
		}
		w.SetDay(day)
		brings = append(brings, p)
		if end := fire.Add(delay + time.Duration(p.begin+p.minutes)*time.Minute); end.After(last) {
			last = end
		}
	}
	held := ""
	if !quiet && dice(schedule+"failed", date) < 2 {
		held = brings[len(brings)-1].name
	}
	var ends []elt.StepID
	for _, p := range brings {
		w.addSteps(p, run, date, fire.Add(delay), p.name == held)
		kinds, _ := p.stepShare()
		ends = append(ends, elt.NewStepID(run, kinds[len(kinds)-1], elt.DatasetName(p.name)))
	}
	state := elt.RunSucceeded
	if held != "" {
		state = elt.RunPartial
	}
	published := last.Add(40 * time.Second)
	w.SetRun(elt.Run{ID: run, Schedule: elt.ScheduleName(schedule), Date: date, Kind: elt.ScheduledRun, State: state, CreatedAt: fire, FinishedAt: published})
	w.SetStep(elt.Step{
		ID: elt.NewStepID(run, elt.PublishStep, ""), Run: run, Kind: elt.PublishStep, Date: date, State: elt.StepSucceeded, Attempt: 1,
		StartedAt: last, FinishedAt: published, Needs: ends, Result: elt.Result{Versions: len(brings)},
	})
	for _, p := range brings {
		if p.name != held {
			w.publish(p, run, date, published)
		}
	}
}

func (w *World) publish(p plan, run elt.RunID, date elt.Date, at time.Time) {
	name := elt.DatasetName(p.name)
	v := elt.Version{
		ID: elt.NewVersionID(name, run), Dataset: name, Date: date, Run: run, Fence: 1, PublishedAt: at, Checks: elt.ChecksPassed,
		Rows: p.rows - p.rows*int64(w.Night.DaysSince(date))/900 + int64(dice(p.name, date)),
	}
	if w.Night.DaysSince(date) >= 5 && dice(p.name+"warned", date) < 2 {
		v.Checks = elt.ChecksWarned
	}
	if p.inputs == "" {
		v.Manifest = elt.AttemptPrefix(name, date, run, 1) + "manifest.json"
		w.SaveManifest(v.Manifest, w.manifest(p, run, date))
	}
	for in := range strings.FieldsSeq(p.inputs) {
		if v.Inputs == nil {
			v.Inputs = make(map[elt.DatasetName]elt.VersionID)
		}
		v.Inputs[elt.DatasetName(in)] = w.Published(elt.DatasetName(in), date).ID
	}
	w.Publish(v)
}

// manifest is a day's. Now and then a value of shop.companies cannot be held, and once its columns changed.
func (w *World) manifest(p plan, run elt.RunID, date elt.Date) *elt.Manifest {
	m := &elt.Manifest{
		Format: elt.ManifestFormat, Dataset: elt.DatasetName(p.name), Date: date, Run: run, Attempt: 1, Mode: elt.Full,
		Source:  elt.SourcePosition{Source: elt.SourceName(strings.Split(p.name, ".")[0]), Server: "postgres 15.8", TakenAt: w.Fire(p.schedule, date).Add(3 * time.Second), CrossTableConsistent: true},
		Schema:  elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "email", Type: elt.Type{Kind: elt.String}, Masked: "hash"}, {Name: "updated_at", Type: elt.Type{Kind: elt.Timestamp}}},
		Parts:   []elt.Part{{Key: "part-00000.parquet", Rows: p.rows / 2, Bytes: p.rows * 14}, {Key: "part-00001.parquet", Rows: p.rows - p.rows/2, Bytes: p.rows * 13}},
		MaskKey: "9f86d081",
	}
	if p.name != "shop.companies" {
		return m
	}
	if w.Night.DaysSince(date)%3 == 0 {
		m.Fidelity = []elt.PolicyUse{{Column: "credit_limit", Policy: elt.Clamp, Values: 3}, {Column: "founded_on", Policy: elt.Quarantine, Values: 2}}
		m.Quarantined = &elt.QuarantinedRows{Rows: 2, Parts: []elt.Part{{Key: "quarantine-00000.parquet", Rows: 2, Bytes: 900}}}
	}
	if w.Night.DaysSince(date) == 6 {
		m.Changes = []elt.SchemaChange{
			{Column: "vat_number", Kind: elt.ColumnAdded, To: "string"}, {Column: "credit_limit", Kind: elt.TypeWidened, From: "decimal(10,2)", To: "decimal(12,2)"},
		}
	}
	return m
}

// stepShare is how a dataset's minutes part into its steps, in percent.
func (p plan) stepShare() ([]elt.StepKind, []int) {
	if p.inputs != "" {
		return []elt.StepKind{elt.TransformStep, elt.TestStep}, []int{75, 25}
	}
	return []elt.StepKind{elt.ExtractStep, elt.LoadStep, elt.VerifyStep}, []int{62, 28, 10}
}

func (w *World) addSteps(p plan, run elt.RunID, date elt.Date, fire time.Time, fails bool) {
	at := fire.Add(time.Duration(p.begin) * time.Minute)
	kinds, shares := p.stepShare()
	needs := p.needs(run)
	for i, kind := range kinds {
		took := time.Duration(p.minutes*shares[i]) * time.Minute / 100
		st := elt.Step{
			ID: elt.NewStepID(run, kind, elt.DatasetName(p.name)), Run: run, Kind: kind, Dataset: elt.DatasetName(p.name), Date: date,
			Needs: needs, State: elt.StepSucceeded, Attempt: 1, StartedAt: at, FinishedAt: at.Add(took),
			Progress: elt.Progress{Rows: p.rows, RowsExpected: p.rows, Bytes: p.rows * 27},
			Result:   elt.Result{Rows: p.rows, Bytes: p.rows * 27},
		}
		if kind == elt.TestStep {
			st.Result.Notes = []elt.Check{{Name: "unique(id)", Severity: "error", Passed: true}, {Name: "not_null(id)", Severity: "error", Passed: true}}
			st.Result.Checks, st.Progress, st.Result.Rows, st.Result.Bytes = elt.ChecksPassed, elt.Progress{}, 0, 0
		}
		if fails && i == len(kinds)-1 {
			st.State, st.Result = elt.StepFailed, elt.Result{}
			st.Error = &elt.Failure{Code: "test_failed", Class: elt.Data, Message: "test unique(id) of " + p.name + " found 3 rows", Do: "look at the rows with daybreak query, correct the model or the source, then retry the day"}
		}
		w.SetStep(st)
		at, needs = at.Add(took), []elt.StepID{st.ID}
	}
}

// Schedules tells the schedules as the application would.
func (w *World) Schedules(now time.Time) []api.Schedule {
	var out []api.Schedule
	for _, name := range []string{"early", "finance", "nightly"} {
		s := api.Schedule{Name: elt.ScheduleName(name), Zone: "Europe/Dublin", When: fmt.Sprintf("at %02d:%02d", fires[name]/60, fires[name]%60), Deadline: "07:00", CatchUp: "latest"}
		for _, p := range plans {
			if p.schedule == name {
				s.Datasets++
			}
		}
		for date := elt.DateOf(now.In(w.Zone)).AddDays(-2); len(s.Next) < 5; date = date.AddDays(1) {
			if due := w.Fire(name, date); due.After(now) {
				s.Next = append(s.Next, elt.Tick{Schedule: s.Name, Date: date, DueAt: due})
			}
		}
		out = append(out, s)
	}
	return out
}

func planOf(name elt.DatasetName) plan {
	return plans[slices.IndexFunc(plans, func(p plan) bool { return p.name == string(name) })]
}

// Now is the world's clock: At, and what has passed since if it ticks.
func (w *World) Now() time.Time {
	if w.passed == nil {
		return w.At
	}
	return w.At.Add(w.passed())
}

// Tick lets the world's clock go on by what passed tells.
func (w *World) Tick(passed func() time.Duration) { w.passed = passed }
