package statustest

import (
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Forget takes the latest night of a schedule back to before it began: its days are expected, nothing more.
func (w *World) Forget(schedule string) {
	run := RunOf(schedule, w.Night)
	w.mu.Lock()
	delete(w.runs, run)
	delete(w.steps, run)
	for key, d := range w.days {
		if d.Run == run {
			d.Run = ""
			w.days[key] = d
			delete(w.versions, key)
		}
	}
	w.change(elt.Event{})
	w.mu.Unlock()
}

// Begin starts the latest night of a schedule anew: a run under way whose steps are all to come.
func (w *World) Begin(schedule string) elt.RunID {
	w.Forget(schedule)
	run := RunOf(schedule, w.Night)
	w.SetRun(elt.Run{ID: run, Schedule: elt.ScheduleName(schedule), Date: w.Night, Kind: elt.ScheduledRun, State: elt.RunRunning, CreatedAt: w.Fire(schedule, w.Night)})
	var ends []elt.StepID
	for _, p := range plans {
		if p.schedule != schedule || p.off(w.Night) {
			continue
		}
		d := w.Day(elt.DatasetName(p.name), w.Night)
		d.Run = run
		w.SetDay(d)
		needs := p.needs(run)
		kinds, _ := p.stepShare()
		for _, kind := range kinds {
			st := elt.Step{ID: elt.NewStepID(run, kind, d.Dataset), Run: run, Kind: kind, Dataset: d.Dataset, Date: w.Night, State: elt.StepPending, Needs: needs}
			w.SetStep(st)
			needs = []elt.StepID{st.ID}
		}
		ends = append(ends, needs...)
	}
	w.SetStep(elt.Step{ID: elt.NewStepID(run, elt.PublishStep, ""), Run: run, Kind: elt.PublishStep, Date: w.Night, State: elt.StepPending, Needs: ends})
	return run
}

// needs are the last steps of the inputs that the same run brings.
func (p plan) needs(run elt.RunID) []elt.StepID {
	var out []elt.StepID
	for _, in := range p.dataset().Inputs {
		if input := planOf(in); input.schedule == p.schedule {
			kinds, _ := input.stepShare()
			out = append(out, elt.NewStepID(run, kinds[len(kinds)-1], in))
		}
	}
	return out
}

// Pass ends every step of a dataset's latest night well, one minute each.
func (w *World) Pass(ds ...elt.DatasetName) {
	for _, d := range ds {
		kinds, _ := planOf(d).stepShare()
		for i, kind := range kinds {
			w.Succeed(d, kind, time.Duration(i)*time.Minute, time.Duration(i+1)*time.Minute)
		}
	}
}

// Succeed ends a step of the latest night well.
func (w *World) Succeed(d elt.DatasetName, kind elt.StepKind, from, to time.Duration) {
	p := planOf(d)
	st := w.step(d, kind)
	fire := w.Fire(p.schedule, w.Night)
	st.State, st.Attempt, st.StartedAt, st.FinishedAt = elt.StepSucceeded, 1, fire.Add(from), fire.Add(to)
	st.Result = elt.Result{Rows: p.rows, Bytes: p.rows * 27}
	st.Progress = elt.Progress{Rows: p.rows, RowsExpected: p.rows, Bytes: p.rows * 27}
	w.SetStep(st)
}

// Work puts a step of the latest night to work, with a live lease, done to a share in percent.
func (w *World) Work(d elt.DatasetName, kind elt.StepKind, from time.Duration, share int64) {
	p := planOf(d)
	st := w.step(d, kind)
	st.State, st.Attempt, st.StartedAt, st.LeaseUntil = elt.StepRunning, 1, w.Fire(p.schedule, w.Night).Add(from), w.At.Add(time.Minute)
	st.Progress = elt.Progress{Rows: p.rows * share / 100, RowsExpected: p.rows, Bytes: p.rows * 27 * share / 100}
	w.SetStep(st)
}

// Pause has a step of the latest night that is at work wait on purpose.
func (w *World) Pause(d elt.DatasetName, kind elt.StepKind, why string) {
	st := w.step(d, kind)
	st.Progress.Paused = why
	w.SetStep(st)
}

// Lose lets the lease of a step of the latest night run out.
func (w *World) Lose(d elt.DatasetName, kind elt.StepKind) {
	st := w.step(d, kind)
	st.State, st.Attempt, st.StartedAt, st.LeaseUntil = elt.StepRunning, 1, w.At.Add(-20*time.Minute), w.At.Add(-4*time.Minute)
	w.SetStep(st)
}

// Retry lets an attempt fail, with the next one at a time.
func (w *World) Retry(d elt.DatasetName, kind elt.StepKind, in time.Duration) {
	st := w.broken(d, kind, &elt.Failure{Code: "source_unreachable", Class: elt.Transient, Message: "cannot reach source " + string(d) + ": connection reset by peer", Do: "nothing: Daybreak tries again by itself"})
	st.State, st.NextAttemptAt, st.FinishedAt = elt.StepRetrying, w.At.Add(in), time.Time{}
	w.SetStep(st)
}

// Break lets a step fail for good and blocks the steps that come after it.
func (w *World) Break(d elt.DatasetName, kind elt.StepKind) {
	st := w.broken(d, kind, &elt.Failure{
		Code: "source_refused", Class: elt.Config, Message: "the finance replica refuses connections: password authentication failed for user \"daybreak\"",
		Do: "put the rotated password into the address of source finance, and run the date again: daybreak run --again",
	})
	st.State = elt.StepFailed
	w.SetStep(st)
	after := false
	kinds, _ := planOf(d).stepShare()
	for _, k := range kinds {
		if after {
			w.block(d, k)
		}
		after = after || k == kind
	}
	for _, p := range plans {
		for _, in := range p.dataset().Inputs {
			if in == d && p.schedule == planOf(d).schedule {
				w.blockAll(elt.DatasetName(p.name))
			}
		}
	}
}

func (w *World) blockAll(d elt.DatasetName) {
	kinds, _ := planOf(d).stepShare()
	for _, k := range kinds {
		w.block(d, k)
	}
	for _, p := range plans {
		for _, in := range p.dataset().Inputs {
			if in == d && p.schedule == planOf(d).schedule {
				w.blockAll(elt.DatasetName(p.name))
			}
		}
	}
}

func (w *World) block(d elt.DatasetName, kind elt.StepKind) {
	st := w.step(d, kind)
	st.State = elt.StepBlocked
	w.SetStep(st)
}

func (w *World) broken(d elt.DatasetName, kind elt.StepKind, f *elt.Failure) elt.Step {
	st := w.step(d, kind)
	began := w.Fire(planOf(d).schedule, w.Night).Add(4 * time.Second)
	st.Attempt, st.StartedAt, st.FinishedAt, st.Error = 3, began, began.Add(18*time.Minute), f
	var attempts []elt.Attempt
	for i := range 3 {
		at := began.Add(time.Duration(i*i*4) * time.Minute)
		attempts = append(attempts, elt.Attempt{Step: st.ID, Number: i + 1, Worker: "worker-1:4121:9f2c", Fence: int64(i + 1), StartedAt: at, FinishedAt: at.Add(12 * time.Second), Error: f})
	}
	w.SetAttempts(st.ID, attempts...)
	return st
}

func (w *World) step(d elt.DatasetName, kind elt.StepKind) elt.Step {
	run := RunOf(planOf(d).schedule, w.Night)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, st := range w.steps[run] {
		if st.Dataset == d && st.Kind == kind {
			return st
		}
	}
	panic("no step " + string(elt.NewStepID(run, kind, d)))
}

// Busy is the world at 06:14: the early night is ready, the messaging night is under way, the finance
// replica refuses connections, and a few days behind carry every flag that there is.
func Busy() *World {
	w := Calm(95)
	w.At = w.Night.AddDays(1).At(6, 14, w.Zone)
	w.Begin("nightly")
	w.Succeed("shop.teammates", elt.ExtractStep, 2*time.Second, 40*time.Second)
	w.Succeed("shop.teammates", elt.LoadStep, 41*time.Second, 70*time.Second)
	w.Succeed("shop.teammates", elt.VerifyStep, 71*time.Second, 80*time.Second)
	w.Succeed("shop.conversations", elt.ExtractStep, 3*time.Second, 46*time.Minute)
	w.Work("shop.conversations", elt.LoadStep, 46*time.Minute, 71)
	w.Work("shop.message_parts", elt.ExtractStep, 2*time.Minute, 88)
	w.Begin("finance")
	w.Succeed("finance.subscriptions", elt.ExtractStep, time.Second, 4*time.Minute)
	w.Succeed("finance.subscriptions", elt.LoadStep, 4*time.Minute, 6*time.Minute)
	w.Succeed("finance.subscriptions", elt.VerifyStep, 6*time.Minute, 7*time.Minute)
	w.Succeed("churn", elt.TransformStep, 8*time.Minute, 9*time.Minute)
	w.Break("finance.invoices", elt.ExtractStep)
	w.SetIncident(elt.Incident{
		ID: "inc-0007", Cause: "finance.invoices", Date: w.Night, Title: "Invoices cannot be read from finance",
		Failure: w.step("finance.invoices", elt.ExtractStep).Error, Affected: []elt.DatasetName{"board_report", "finance.invoices", "revenue"}, OpenedAt: w.At.Add(-26 * time.Minute),
	})
	w.SetIncident(elt.Incident{
		ID: "inc-0006", Cause: "shop.message_parts", Date: w.Night.AddDays(-9), Title: "Message parts came late", Affected: []elt.DatasetName{"response_times", "shop.message_parts"},
		OpenedAt: w.Night.AddDays(-8).At(7, 30, w.Zone), ResolvedAt: w.Night.AddDays(-8).At(8, 4, w.Zone), AcknowledgedBy: "messaging@example.com", AcknowledgedAt: w.Night.AddDays(-8).At(7, 36, w.Zone),
	})
	return w
}

// Flags puts each flag of a ready day on one dataset of the latest night.
func (w *World) Flags() {
	outdated := w.Published("active_users", w.Night)
	outdated.Inputs = map[elt.DatasetName]elt.VersionID{"shop.users": "shop.users@earlier", "shop.companies": outdated.Inputs["shop.companies"]}
	w.Publish(outdated)

	day := w.Day("shop.companies", w.Night)
	day.Withdrawn = "plan names of trial accounts are wrong"
	w.SetDay(day)

	warned := w.Published("shop.campaigns", w.Night)
	warned.Checks = elt.ChecksWarned
	w.Publish(warned)

	again := elt.RunID("20261121t0610-early")
	w.SetRun(elt.Run{ID: again, Schedule: "early", Date: w.Night, Kind: elt.ManualRun, Sequence: 1, State: elt.RunRunning, Reason: "growth@example.com", CreatedAt: w.At.Add(-3 * time.Minute)})
	users := w.Day("shop.users", w.Night)
	users.Run = again
	w.SetDay(users)
	w.SetStep(elt.Step{
		ID: elt.NewStepID(again, elt.ExtractStep, "shop.users"), Run: again, Kind: elt.ExtractStep, Dataset: "shop.users", Date: w.Night, State: elt.StepRunning,
		Attempt: 1, StartedAt: w.At.Add(-2 * time.Minute), LeaseUntil: w.At.Add(time.Minute), Progress: elt.Progress{Rows: 700_000, RowsExpected: 1_204_551, Bytes: 18_000_000},
	})
}
