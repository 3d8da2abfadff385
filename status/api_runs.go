package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

func (s *Service) getRuns(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	body, err := s.runsBody(c)
	if err != nil {
		return err
	}
	return s.answer(c, v, false, body, &body.Meta)
}

func (s *Service) runsBody(c echo.Context) (*api.Runs, error) {
	limit, err := limitParam(c, 50, 500)
	if err != nil {
		return nil, err
	}
	f := elt.RunFilter{Schedule: elt.ScheduleName(c.QueryParam("schedule")), State: elt.RunState(c.QueryParam("state")), Limit: limit + 1}
	if c.QueryParams().Has("schedule") && !elt.ValidPlainName(string(f.Schedule)) {
		return nil, badRequest("schedule=%q is not a schedule's name", shortened(string(f.Schedule)))
	}
	if states := enums[runStateType]; c.QueryParams().Has("state") && !slices.Contains(states, string(f.State)) {
		return nil, badRequest("state=%q is not a run's state: %v", shortened(string(f.State)), states)
	}
	if cursor := c.QueryParam("cursor"); cursor != "" {
		if !idText.MatchString(cursor) {
			return nil, badRequest("cursor=%q is not one that this list gave", shortened(cursor))
		}
		f.Before = elt.RunID(cursor)
	}
	for name, into := range map[string]*elt.Date{"from": &f.From, "to": &f.To} {
		if text := c.QueryParam(name); c.QueryParams().Has(name) {
			if *into, err = dateText(name, text); err != nil {
				return nil, err
			}
		}
	}
	runs, err := s.opts.Ledger.Runs(c.Request().Context(), f)
	if err != nil {
		return nil, ledgerAway(err)
	}
	body := &api.Runs{Runs: append([]elt.Run{}, runs...)}
	if len(body.Runs) > limit {
		body.Runs = body.Runs[:limit]
		body.Next = string(body.Runs[limit-1].ID)
	}
	return body, nil
}

// runParam returns the run of the path with its steps.
func (s *Service) runParam(c echo.Context) (elt.Run, []elt.Step, error) {
	id := c.Param("run")
	unknown := refuse(http.StatusNotFound, codeRunUnknown, fmt.Sprintf("there is no run %q", shortened(id)), "see /v1/runs for those that there are")
	if !idText.MatchString(id) {
		return elt.Run{}, nil, unknown
	}
	ctx := c.Request().Context()
	run, err := s.opts.Ledger.Run(ctx, elt.RunID(id))
	if err != nil {
		var e *elt.Error
		if errors.As(err, &e) && e.Code == codeRunUnknown || errors.As(err, &e) && e.Code == "run_missing" {
			return elt.Run{}, nil, unknown
		}
		return elt.Run{}, nil, ledgerAway(err)
	}
	steps, err := s.opts.Ledger.Steps(ctx, run.ID)
	if err != nil {
		return elt.Run{}, nil, ledgerAway(err)
	}
	return run, steps, nil
}

func (s *Service) getRun(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	run, steps, err := s.runParam(c)
	if err != nil {
		return err
	}
	body := &api.Run{Run: run, Steps: make(map[elt.StepState]int)}
	for _, st := range steps {
		body.Steps[st.State]++
	}
	body.Usage = usageOf(steps)
	body.Sentence, _ = v.describeRun(run, steps)
	return s.answer(c, v, false, body, &body.Meta)
}

func (s *Service) getSteps(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	run, steps, err := s.runParam(c)
	if err != nil {
		return err
	}
	body := &api.Steps{Run: run.ID, Steps: []api.Step{}}
	for _, st := range steps {
		full, err := s.stepBody(c.Request().Context(), st, v.asOf)
		if err != nil {
			return err
		}
		body.Steps = append(body.Steps, full)
	}
	return s.answer(c, v, false, body, &body.Meta)
}

// stepBody adds a step's attempts and speed. A step that went through at the first attempt is its own
// attempt: only others ask the ledger.
func (s *Service) stepBody(ctx context.Context, st elt.Step, now time.Time) (api.Step, error) {
	full := api.Step{Step: st, LeaseLost: st.State == elt.StepRunning && st.LeaseUntil.Before(now)}
	if st.StartedAt.IsZero() {
		return full, nil
	}
	began, ended := st.StartedAt, st.FinishedAt
	if st.Attempt > 1 || st.Error != nil {
		attempts, err := s.opts.Ledger.Attempts(ctx, st.ID)
		if err != nil {
			return full, ledgerAway(err)
		}
		full.Attempts = attempts
		if len(attempts) > 0 {
			began = attempts[len(attempts)-1].StartedAt
		}
	}
	if ended.IsZero() {
		ended = now
	}
	full.Seconds = max(0, ended.Sub(st.StartedAt).Seconds())
	if st.State == elt.StepRunning || st.State == elt.StepSucceeded {
		full.RowsPerSecond, full.BytesPerSecond = rates(st.Progress, ended.Sub(began))
	}
	return full, nil
}

// describeRun is the sentence at the top of a run's page.
func (s *snapshot) describeRun(run elt.Run, steps []elt.Step) (head, detail string) {
	zone, today := s.location, elt.DateOf(s.at.In(s.location))
	states := make(map[elt.StepState]int)
	published, lost := 0, 0
	var held []elt.DatasetName
	for _, st := range steps {
		states[st.State]++
		published += st.Result.Versions
		if st.State == elt.StepRunning && st.LeaseUntil.Before(s.at) {
			lost++
		}
		if (st.State == elt.StepFailed || st.State == elt.StepBlocked) && st.Dataset != "" && !slices.Contains(held, st.Dataset) {
			held = append(held, st.Dataset)
		}
	}
	of := "The night of " + shortDate(run.Date, today)
	switch run.Kind {
	case elt.ManualRun:
		of = "The run by hand of " + shortDate(run.Date, today)
	case elt.BackfillRun:
		of = "The backfill of " + shortDate(run.Date, today)
	}
	took := span(run.FinishedAt.Sub(run.CreatedAt))
	switch run.State {
	case elt.RunRunning:
		head = fmt.Sprintf("%s is under way: %d of %s done.", of, states[elt.StepSucceeded], counted(len(steps), "step"))
	case elt.RunSucceeded:
		head = of + " is published, whole."
	case elt.RunPartial:
		head = fmt.Sprintf("%s is published without %s.", of, listed(held, 3))
	case elt.RunFailed:
		head = of + " failed: nothing of it was published."
	case elt.RunCancelled:
		head = of + " was cancelled."
	}
	detail = "It began " + moment(run.CreatedAt, zone, today)
	if !run.FinishedAt.IsZero() {
		detail += " and ended " + moment(run.FinishedAt, zone, elt.DateOf(run.CreatedAt.In(zone))) + ", after " + took
	}
	detail += "."
	if published > 0 {
		detail += " " + counted(published, "dataset") + " appeared together."
	}
	if states[elt.StepRetrying] > 0 {
		detail += fmt.Sprintf(" %s to be tried again.", counted(states[elt.StepRetrying], "step"))
	}
	if lost > 0 {
		detail += fmt.Sprintf(" Nobody can vouch for %s: the worker stopped reporting.", counted(lost, "step"))
	}
	if run.State == elt.RunRunning && len(held) > 0 {
		detail += " " + listed(held, 3) + " " + be(len(held)) + " held back."
	}
	if used := usageOf(steps); used.BytesBilled > 0 {
		text, _ := billed(used)
		detail += " It was billed for " + text + "."
	}
	if run.Reason != "" {
		detail += " " + sentence("asked for by "+run.Reason)
	}
	return head, detail
}
