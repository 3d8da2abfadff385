package status

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// runPill is a run's state as icon, word and colour.
func runPill(state elt.RunState) pill {
	switch state {
	case elt.RunRunning:
		return pill{"running", "▸", "Under way"}
	case elt.RunSucceeded:
		return pill{"ready", "✓", "Published"}
	case elt.RunPartial:
		return pill{"late", "!", "Published in part"}
	case elt.RunFailed:
		return pill{"failed", "✕", "Failed"}
	case elt.RunCancelled:
		return pill{"none", "–", "Cancelled"}
	}
	return pill{"unknown", "?", string(state)}
}

func stepPill(st api.Step) pill {
	switch st.State {
	case elt.StepPending:
		if st.Progress.Paused != "" {
			return pill{"waiting", "‖", "Waits"}
		}
		return pill{"none", "◌", "To come"}
	case elt.StepRunning:
		if st.LeaseLost {
			return pill{"unknown", "?", "Unknown"}
		}
		if paused(&st.Step) != "" {
			return pill{"waiting", "‖", "Paused"}
		}
		if p, ok := percent(&st.Step); ok {
			return pill{"running", "▸", fmt.Sprintf("%d%%", p)}
		}
		return pill{"running", "▸", "Running"}
	case elt.StepRetrying:
		return pill{"late", "↻", "Retrying"}
	case elt.StepSucceeded:
		if st.Result.Checks == elt.ChecksWarned {
			return pill{"late", "!", "Warned"}
		}
		return pill{"ready", "✓", "Done"}
	case elt.StepFailed:
		return pill{"failed", "✕", "Failed"}
	case elt.StepBlocked:
		return pill{"none", "✕", "Held up"}
	case elt.StepCancelled:
		return pill{"none", "–", "Cancelled"}
	}
	return pill{"unknown", "?", string(st.State)}
}

type stepRow struct {
	Kind     string
	By       string // the worker, where there are several and no attempt tells
	Pill     pill
	Started  stamp
	Took     string
	Rows     string
	Bytes    string
	Rate     string
	Says     string // of itself, beside the numbers
	Attempts []attemptRow
	Failure  *elt.Failure
	Next     stamp
}

type attemptRow struct {
	Number  int
	Started stamp
	Took    string
	Worker  string
	Failure *elt.Failure
	Same    bool // as the next attempt's: told once, there
}

// says is what a step tells of itself beside its numbers.
func says(st *elt.Step) string {
	var parts []string
	switch why := paused(st); {
	case why != "":
		parts = append(parts, "Paused: "+why+".")
	case st.Progress.Paused != "" && (st.State == elt.StepPending || st.State == elt.StepRetrying): // for others to make room
		parts = append(parts, sentence(st.Progress.Paused))
	}
	if st.Progress.Note != "" {
		parts = append(parts, sentence(st.Progress.Note))
	}
	for _, n := range st.Result.Notes {
		if st.Kind == elt.ExtractStep && n.Message != "" {
			parts = append(parts, sentence(n.Message))
		}
	}
	if !st.Usage.IsZero() {
		text, small := billed(st.Usage)
		parts = append(parts, "Billed "+text+"; "+small+".")
	}
	return joinSentences(parts)
}

// severalWorkers reports whether the steps are not all of one worker.
func severalWorkers(steps []api.Step) bool {
	var first elt.WorkerID
	return slices.ContainsFunc(steps, func(s api.Step) bool {
		first = cmp.Or(first, s.Worker)
		return s.Worker != "" && s.Worker != first
	})
}

// stepRows makes rows of steps; they name their workers where several share the work.
func stepRows(steps []api.Step, several bool, zone *time.Location, today elt.Date) []stepRow {
	var out []stepRow
	for _, st := range steps {
		r := stepRow{Kind: capital(string(st.Kind)), Pill: stepPill(st), Started: stampOf(st.StartedAt, zone, today), Failure: st.Error, Next: stampOf(st.NextAttemptAt, zone, today)}
		if st.State == elt.StepSucceeded {
			r.Failure = nil
		}
		if !st.StartedAt.IsZero() {
			r.Took = span(time.Duration(st.Seconds * float64(time.Second)))
		}
		rows, bytes := max(st.Result.Rows, st.Progress.Rows), max(st.Result.Bytes, st.Progress.Bytes)
		switch {
		case st.State == elt.StepRunning && st.Progress.RowsExpected > 0:
			r.Rows = grouped(st.Progress.Rows) + " of about " + grouped(st.Progress.RowsExpected)
		case rows > 0:
			r.Rows = grouped(rows)
		case st.Result.Versions > 0:
			r.Rows = counted(st.Result.Versions, "dataset")
		}
		if bytes > 0 {
			r.Bytes = sized(bytes)
		}
		r.Says = says(&st.Step)
		if several && len(st.Attempts) == 0 {
			r.By = string(st.Worker)
		}
		if st.RowsPerSecond >= 1 {
			r.Rate = grouped(int64(st.RowsPerSecond)) + "/s"
		}
		for i, a := range st.Attempts {
			ar := attemptRow{Number: a.Number, Started: stampOf(a.StartedAt, zone, today), Worker: string(a.Worker), Failure: a.Error}
			if !a.FinishedAt.IsZero() {
				ar.Took = span(a.FinishedAt.Sub(a.StartedAt))
			}
			if i+1 < len(st.Attempts) && a.Error != nil && st.Attempts[i+1].Error != nil && *a.Error == *st.Attempts[i+1].Error {
				ar.Failure, ar.Same = nil, true
			}
			r.Attempts = append(r.Attempts, ar)
		}
		out = append(out, r)
	}
	return out
}

type runsData struct {
	Sentence string
	Rows     []runRow
	More     string
}

type runRow struct {
	Date, Href string
	Schedule   string
	Kind       string
	Pill       pill
	Started    stamp
	Took       string
	Reason     string
}

func (s *Service) runsPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	body, err := s.runsBody(c)
	if err != nil {
		return err
	}
	today := v.today()
	data := runsData{Sentence: "No night has run yet."}
	for _, r := range body.Runs {
		row := runRow{
			Date: shortDate(r.Date, today), Href: "/runs/" + string(r.ID), Schedule: string(r.Schedule), Kind: string(r.Kind),
			Pill: runPill(r.State), Started: stampOf(r.CreatedAt, v.location, today), Reason: r.Reason,
		}
		if !r.Options.IsZero() {
			row.Reason = strings.TrimPrefix(row.Reason+": "+r.Options.String(), ": ")
		}
		if !r.FinishedAt.IsZero() {
			row.Took = span(r.FinishedAt.Sub(r.CreatedAt))
		}
		data.Rows = append(data.Rows, row)
	}
	if len(body.Runs) > 0 {
		data.Sentence = runsSentence(body.Runs, today)
	}
	if body.Next != "" {
		data.More = "/runs?cursor=" + url.QueryEscape(body.Next)
	}
	return s.page(c, http.StatusOK, "runs", "Runs", data)
}

func runsSentence(runs []elt.Run, today elt.Date) string {
	latest := runs[0]
	date := shortDate(latest.Date, today)
	switch latest.State {
	case elt.RunRunning:
		return "The night of " + date + " is under way."
	case elt.RunSucceeded:
		return "The last night, " + date + ", is published."
	case elt.RunPartial:
		return "The last night, " + date + ", is published in part."
	case elt.RunCancelled:
		return "The last night, " + date + ", was cancelled."
	}
	return "The last night, " + date + ", failed."
}

type runData struct {
	ID               string
	Sentence, Detail string
	Facts            []fact
	Gantt            *gantt
	Acts             []actForm
}

func (s *Service) runPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	run, steps, err := s.runParam(c)
	if err != nil {
		return err
	}
	var full []api.Step
	for _, st := range steps {
		f, err := s.stepBody(c.Request().Context(), st, v.asOf)
		if err != nil {
			return err
		}
		full = append(full, f)
	}
	today := elt.DateOf(run.CreatedAt.In(v.location))
	data := runData{ID: string(run.ID)}
	data.Sentence, data.Detail = v.describeRun(run, steps)
	p := runPill(run.State)
	doneSteps := 0
	var rows, bytes int64
	for _, st := range steps {
		if st.State == elt.StepSucceeded {
			doneSteps++
		}
		if st.Kind == elt.ExtractStep {
			rows += max(st.Result.Rows, st.Progress.Rows)
			bytes += max(st.Result.Bytes, st.Progress.Bytes)
		}
	}
	extracted, size := "nothing", ""
	if rows > 0 {
		extracted, size = grouped(rows)+" rows", sized(bytes)
	}
	data.Facts = []fact{
		{Term: "State", Pill: &p},
		{Term: "Steps done", Text: fmt.Sprintf("%d of %d", doneSteps, len(steps))},
		{Term: "Extracted", Text: extracted, Small: size},
		{Term: "Schedule", Text: strings.TrimSpace(string(run.Schedule)), Small: string(run.Kind), Href: "/schedules"},
	}
	if !run.Options.IsZero() {
		data.Facts = append(data.Facts, fact{Term: "Asked for", Text: capital(run.Options.String())})
	}
	data.Facts = append(data.Facts, billedFacts(usageOf(steps))...)
	before, err := s.usualBefore(c.Request().Context(), run)
	if err != nil {
		return err
	}
	data.Gantt = v.drawGantt(run, full, before, today)
	data.Acts = s.runForms(c, run)
	return s.page(c, http.StatusOK, "run", "Run of "+shortDate(run.Date, v.today()), data)
}

type incidentsData struct {
	Sentence string
	Open     []incidentRow
	Resolved []incidentRow
	Lineage  []toldRow
}

type incidentRow struct {
	Title    string
	Href     string
	Cause    link
	Date     string
	Failure  *elt.Failure
	Affected []link
	Opened   stamp
	Resolved stamp
	Lasted   string
	By       string
	Taken    string // how long after it opened somebody did
	Notes    []noteRow
	Told     []toldRow
	Acts     []actForm
}

func (s *Service) incidentsPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	incidents, err := s.opts.Ledger.Incidents(c.Request().Context(), false, 100)
	if err != nil {
		return ledgerAway(err)
	}
	data := incidentsData{}
	today := v.today()
	for _, in := range incidents {
		r := incidentRow{
			Title: sentence(in.Title), Href: "/incidents/" + string(in.ID), Cause: link{string(in.Cause), dayHref(in.Cause, in.Date)}, Date: shortDate(in.Date, today),
			Failure: in.Failure, Opened: stampOf(in.OpenedAt, v.location, today), By: in.AcknowledgedBy, Acts: s.incidentForms(c, in),
		}
		if r.Told, err = s.toldRows(c, v, in.ID); err != nil {
			return err
		}
		if r.Notes, err = s.noteRows(c, v, in.ID, "", func(elt.Remark) bool { return true }); err != nil {
			return err
		}
		if !in.AcknowledgedAt.IsZero() {
			r.Taken = span(in.AcknowledgedAt.Sub(in.OpenedAt))
		}
		for _, d := range in.Affected {
			if d != in.Cause {
				r.Affected = append(r.Affected, link{string(d), dayHref(d, in.Date)})
			}
		}
		if in.ResolvedAt.IsZero() {
			r.Lasted = span(v.asOf.Sub(in.OpenedAt))
			data.Open = append(data.Open, r)
			continue
		}
		r.Lasted, r.Resolved = span(in.ResolvedAt.Sub(in.OpenedAt)), stampOf(in.ResolvedAt, v.location, today)
		data.Resolved = append(data.Resolved, r)
	}
	if data.Lineage, err = s.lineageRows(c, v); err != nil {
		return err
	}
	switch n := len(data.Open); {
	case n > 0:
		data.Sentence = capital(counted(n, "incident")) + " " + be(n) + " open."
	case len(data.Resolved) > 0:
		data.Sentence = "No incident is open."
	default:
		data.Sentence = "There has been no incident."
	}
	return s.page(c, http.StatusOK, "incidents", "Incidents", data)
}
