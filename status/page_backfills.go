package status

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

func backfillPill(f elt.Backfill) pill {
	switch f.State {
	case elt.BackfillRunning:
		if f.Progress[elt.BackfillDayRunning] == 0 {
			return pill{"waiting", "◌", "Waits for its turn"}
		}
		return pill{"running", "▸", "Under way"}
	case elt.BackfillPaused:
		return pill{"waiting", "‖", "Paused"}
	case elt.BackfillSucceeded:
		return pill{"ready", "✓", "Brought"}
	case elt.BackfillFailed:
		return pill{"failed", "✕", "Failed in part"}
	case elt.BackfillCancelled:
		return pill{"none", "–", "Cancelled"}
	}
	return pill{"unknown", "?", string(f.State)}
}

// backfillRow is a backfill in the list.
type backfillRow struct {
	ID, Href, What string
	Pill           pill
	Days           string
	Started        stamp
	By, Why        string
}

// rangeText says which days are meant: "every day, Thu 5 – Sat 7 Jan".
func rangeText(r elt.BackfillRequest, today elt.Date) string {
	text := map[elt.BackfillMode]string{
		elt.MissingDays: "missing days", elt.FailedDays: "failed days", elt.OutdatedDays: "outdated days", elt.AllDays: "every day",
	}[r.Mode]
	if r.From == r.To {
		return text + " of " + shortDate(r.From, today)
	}
	return text + " from " + shortDate(r.From, today) + " to " + shortDate(r.To, today)
}

func daysText(f elt.Backfill) string {
	return fmt.Sprintf("%s of %s", grouped(int64(f.Progress[elt.BackfillDaySucceeded])), counted(f.Total(), "day"))
}

// backfillForm is what the form that plans a backfill holds.
type backfillForm struct {
	Datasets, From, To string
	Modes              []choice
	Alone              bool
	Names              []string
}

type choice struct {
	Value, Text string
	Chosen      bool
}

// newBackfillForm fills the form with what was asked for.
func newBackfillForm(v view, r elt.BackfillRequest) *backfillForm {
	form := &backfillForm{Datasets: strings.Join(r.Select, " "), From: r.From.String(), To: r.To.String(), Alone: !r.Downstream}
	for _, m := range []choice{
		{string(elt.MissingDays), "those that are missing", false}, {string(elt.FailedDays), "those that failed", false},
		{string(elt.OutdatedDays), "those whose inputs are newer", false}, {string(elt.AllDays), "every one", false},
	} {
		m.Chosen = m.Value == string(r.Mode)
		form.Modes = append(form.Modes, m)
	}
	for _, set := range v.sets {
		if !set.Retired {
			form.Names = append(form.Names, string(set.Name))
		}
	}
	slices.Sort(form.Names)
	return form
}

func (s *Service) backfillsPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	body, err := s.backfills(c)
	if err != nil {
		return err
	}
	today := v.today()
	data := struct {
		Sentence string
		Rows     []backfillRow
		More     string
		Form     *backfillForm
	}{Sentence: "Nothing is being brought again."}
	running, paused := 0, 0
	for _, f := range body.Backfills {
		switch f.State {
		case elt.BackfillRunning:
			running++
		case elt.BackfillPaused:
			paused++
		}
		data.Rows = append(data.Rows, backfillRow{
			ID: string(f.ID), Href: backfillHref(f.ID), What: strings.Join(f.Request.Select, " ") + ": " + rangeText(f.Request, today), Pill: backfillPill(f),
			Days: daysText(f), Started: stampOf(f.CreatedAt, v.location, today), By: f.Actor, Why: f.Reason,
		})
	}
	switch {
	case running > 0:
		data.Sentence = capital(counted(running, "backfill")) + " " + be(running) + " under way."
	case paused > 0:
		data.Sentence = capital(counted(paused, "backfill")) + " " + be(paused) + " paused."
	}
	if body.Next != "" {
		data.More = "/backfills?cursor=" + body.Next
	}
	if s.acting(c) {
		yesterday := today.AddDays(-1)
		data.Form = newBackfillForm(v, elt.BackfillRequest{Mode: elt.MissingDays, Downstream: true, From: yesterday.AddDays(-6), To: yesterday})
	}
	return s.page(c, http.StatusOK, "backfills", "Backfills", data)
}

// spanRow is days of a plan in a row.
type spanRow struct {
	Dataset   link
	Days      string
	Count     string
	Pill      pill
	Reason    string
	Important bool
}

func actionPill(a elt.BackfillAction) pill {
	switch a {
	case elt.ExtractDay:
		return pill{"running", "▸", "Read from the source"}
	case elt.ReloadDay:
		return pill{"running", "▸", "Load from the lake"}
	case elt.BuildDay:
		return pill{"running", "▸", "Build"}
	case elt.RefuseDay:
		return pill{"failed", "✕", "Cannot be brought"}
	}
	return pill{"none", "–", "Leave"}
}

// backfillPlanPage shows what would happen, before anything does.
func (s *Service) backfillPlanPage(c echo.Context) error {
	plan, err := s.backfillPlan(c, c.QueryParam)
	if err != nil {
		return err
	}
	return s.backfillPlanned(c, http.StatusOK, plan, "")
}

// planAgain shows the plan as it is now to whoever wanted to start another.
func (s *Service) planAgain(r request, err error) error {
	if elt.CodeOf(err) != codePlanStale && elt.CodeOf(err) != "backfill_overlaps" {
		return asRefusal(err)
	}
	plan, again := s.backfillPlan(r, r.field)
	if again != nil {
		return again
	}
	return s.backfillPlanned(r, http.StatusConflict, plan, sentence(err.Error()))
}

// mostSpans is how many rows of a plan are shown.
const mostSpans = 400

func (s *Service) backfillPlanned(c echo.Context, status int, plan *api.BackfillPlan, note string) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	today := v.today()
	data := struct {
		Sentence, Detail, Note string
		Facts                  []fact
		Rows                   []spanRow
		Left                   int
		Form                   *confirmForm
		Change                 *backfillForm
	}{Note: note, Change: newBackfillForm(v, plan.Request)}
	what := strings.Join(plan.Request.Select, " ") + ", " + rangeText(plan.Request, today)
	if plan.Days == 0 {
		data.Sentence = "Nothing would be brought."
		data.Detail = "Of " + what + ". Why is said of each below."
	} else {
		data.Sentence = "Bring " + counted(plan.Days, "day") + " again?"
		data.Detail = "Of " + what + ". Nothing has happened yet. It works between nights, oldest date first; the old version of each day serves until the new one is published."
		data.Form = &confirmForm{Action: "/backfills", Label: "Start it", Back: "/backfills", Hidden: hiddenRequest(plan)}
		data.Facts = planFacts(plan)
	}
	for _, span := range plan.Spans[:min(len(plan.Spans), mostSpans)] {
		row := spanRow{Dataset: link{string(span.Dataset), datasetHref(span.Dataset)}, Days: shortDate(span.From, today), Count: grouped(int64(span.Days)), Pill: actionPill(span.Action), Reason: sentence(span.Reason)}
		if span.To != span.From {
			row.Days += " – " + shortDate(span.To, today)
		}
		data.Rows = append(data.Rows, row)
	}
	data.Left = len(plan.Spans) - len(data.Rows)
	return s.page(c, status, "backfillplan", "Plan of a backfill", data)
}

// hiddenRequest carries what was looked at from the plan to its start.
func hiddenRequest(plan *api.BackfillPlan) []link {
	r := plan.Request
	return []link{
		{"datasets", strings.Join(r.Select, " ")}, {"from", r.From.String()}, {"to", r.To.String()}, {"mode", string(r.Mode)},
		{"downstream", fmt.Sprint(r.Downstream)}, {"plan_token", string(plan.PlanToken)},
	}
}

func planFacts(plan *api.BackfillPlan) []fact {
	e := plan.Estimate
	facts := []fact{
		{Term: "Read from the source", Text: counted(plan.Counts[elt.ExtractDay], "day")},
		{Term: "Load from the lake", Text: counted(plan.Counts[elt.ReloadDay], "day")},
		{Term: "Build", Text: counted(plan.Counts[elt.BuildDay], "day")},
		{Term: "Cannot be brought", Text: counted(plan.Counts[elt.RefuseDay], "day")},
	}
	if e.Effort == (elt.Effort{}) {
		return append(facts, fact{Term: "It takes", Text: "unknown", Small: "nothing of it was brought before"})
	}
	small := ""
	if n := len(e.Unknown); n > 0 {
		small = "without " + listed(e.Unknown, 3) + ", of which nothing was brought before"
	}
	facts = append(facts,
		fact{Term: "It takes about", Text: span(e.Duration), Small: small},
		fact{Term: "Rows, about", Text: grouped(e.Rows), Small: sized(e.Bytes) + " in the lake"},
	)
	if e.BytesBilled > 0 {
		facts = append(facts, fact{Term: "Billed, about", Text: sized(e.BytesBilled)})
	}
	return facts
}
