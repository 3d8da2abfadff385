package status

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// actForm is a form of a page that carries out an act.
type actForm struct {
	Action string // its path
	Label  string // of the button
	Field  string // the text that it asks for; empty when it asks for none
	Asks   string // what the field is, in words
	Date   string // of the note that it pins; empty for the whole dataset
	Next   string // where it leads back to
	Look   bool   // Action is a page that says what would happen
	Fields []actField
}

// actField is one more field of a form.
type actField struct {
	Name, Asks, Value string
	Type              string // of the input; empty for text
	Required          bool
}

// acting reports whether the reader of a page is shown what operators can do.
func (s *Service) acting(c echo.Context) bool {
	return s.opts.Acts != nil && s.moment.IsZero() && callerOf(c).Role.Includes(elt.Operator)
}

// judging reports whether the reader is shown what admins can do with what has come.
func (s *Service) judging(c echo.Context) bool {
	return s.opts.Acts != nil && s.opts.Rollbacks != nil && s.moment.IsZero() && callerOf(c).Role.Includes(elt.Admin)
}

// runForms are what an operator can do with a run.
func (s *Service) runForms(c echo.Context, run elt.Run) []actForm {
	if !s.acting(c) {
		return nil
	}
	path, next := "/runs/"+string(run.ID), c.Request().URL.Path
	if !run.State.Terminal() {
		return []actForm{{Action: path + "/cancel", Label: "Cancel this run", Field: "reason", Asks: "Why", Next: next}}
	}
	if run.State == elt.RunSucceeded {
		return nil
	}
	return []actForm{{Action: path + "/retry", Label: "Retry what failed", Next: next}}
}

// dayForms are what an operator can do about a day.
func (s *Service) dayForms(c echo.Context, d *api.Day) []actForm {
	var forms []actForm
	// While its run is still at work on others, nothing of it can be retried: its publish step is still to come.
	going := slices.ContainsFunc(d.Steps, func(st api.Step) bool { return st.Kind == elt.PublishStep && !st.State.Terminal() })
	if s.acting(c) && d.Run != "" && !going && (d.State == elt.DayFailed || d.State == elt.DayBlocked) {
		path := c.Request().URL.Path
		forms = append(forms, actForm{Action: "/datasets/" + string(d.Dataset) + "/days/" + d.Date.String() + "/retry", Label: "Retry what failed", Next: path})
	}
	if s.judging(c) && (d.State == elt.DayReady || d.Withdrawn != "") {
		label := "Withdraw this day…"
		if d.Withdrawn != "" {
			label = "Take the withdrawal back…"
		}
		forms = append(forms, actForm{Action: dayHref(d.Dataset, d.Date) + "/withdraw", Label: label, Look: true})
	}
	if note := s.noteForm(c, d.Dataset, d.Date); note != nil {
		forms = append(forms, *note)
	}
	return forms
}

// noteForm pins a note on the dataset, or on one day of it.
func (s *Service) noteForm(c echo.Context, dataset elt.DatasetName, date elt.Date) *actForm {
	if !s.acting(c) {
		return nil
	}
	return &actForm{
		Action: "/datasets/" + string(dataset) + "/notes", Label: "Pin it", Field: "text", Asks: "A note for everybody who looks here",
		Date: date.String(), Next: c.Request().URL.Path,
	}
}

// noteRow is a remark as a page shows it.
type noteRow struct {
	Text, By string
	On       string // the day that it is about; empty for the dataset
	At       stamp
	Remove   *actForm
}

// notesOf reads what is pinned on a dataset: with a date, on the dataset and on that day.
func (s *Service) notesOf(c echo.Context, v view, dataset elt.DatasetName, date elt.Date) ([]noteRow, error) {
	return s.noteRows(c, v, "", dataset, func(r elt.Remark) bool { return date.IsZero() || r.Date.IsZero() || r.Date == date })
}

func (s *Service) noteRows(c echo.Context, v view, incident elt.IncidentID, dataset elt.DatasetName, shown func(elt.Remark) bool) ([]noteRow, error) {
	if s.said == nil {
		return nil, nil
	}
	remarks, err := s.said.Remarks(c.Request().Context(), incident, dataset, 50)
	if err != nil {
		return nil, ledgerAway(err)
	}
	var rows []noteRow
	for _, r := range remarks {
		if !shown(r) {
			continue
		}
		row := noteRow{Text: r.Text, By: r.Actor, At: stampOf(r.At, v.location, v.today())}
		if !r.Date.IsZero() {
			row.On = shortDate(r.Date, v.today())
		}
		if s.acting(c) {
			row.Remove = &actForm{Action: "/notes/" + string(r.ID) + "/remove", Label: "Remove", Next: c.Request().URL.Path}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// toldRow is what a destination was told, and whether it arrived.
type toldRow struct {
	To, What string
	Pill     pill
	At       stamp
	Failure  *elt.Failure
}

// toldRows are for operators: they name the destinations.
func (s *Service) toldRows(c echo.Context, v view, incident elt.IncidentID) ([]toldRow, error) {
	if !s.acting(c) {
		return nil, nil
	}
	messages, err := s.opts.Acts.Messages(c.Request().Context(), incident, 20)
	if err != nil {
		return nil, ledgerAway(err)
	}
	rows := make([]toldRow, len(messages))
	for i, m := range messages {
		rows[i] = toldRow{To: string(m.Destination), What: string(m.Notice.Kind), Pill: messagePill(m), At: stampOf(cmp.Or(m.EndedAt, m.CreatedAt), v.location, v.today())}
		if m.State != elt.MessageDelivered {
			rows[i].Failure = m.Error
		}
	}
	return rows, nil
}

// lineageRows are for operators: how far who listens by OpenLineage is.
func (s *Service) lineageRows(c echo.Context, v view) ([]toldRow, error) {
	if !s.acting(c) {
		return nil, nil
	}
	states, err := s.opts.Acts.LineageStates(c.Request().Context())
	if err != nil {
		return nil, ledgerAway(err)
	}
	rows := make([]toldRow, len(states))
	for i, l := range states {
		r := toldRow{To: string(l.Destination), Pill: pill{"ready", "✓", "Up to date"}, Failure: l.Error}
		r.What = counted(int(l.Delivered), "event") + " told"
		if l.GivenUp > 0 {
			r.What += fmt.Sprintf(", %d given up", l.GivenUp)
		}
		if l.Behind > 0 {
			r.What += fmt.Sprintf(", %d still to be told", l.Behind)
		}
		switch {
		case l.Behind > 0 && l.Error != nil:
			r.Pill = pill{"late", "↻", "Tried again"}
		case l.Behind > 0:
			r.Pill = pill{"running", "▸", "Telling"}
		}
		if !l.DeliveredAt.IsZero() {
			r.At = stampOf(l.DeliveredAt, v.location, v.today())
		}
		rows[i] = r
	}
	return rows, nil
}

func messagePill(m elt.Message) pill {
	tries := ""
	if m.Attempt > 1 {
		tries = fmt.Sprintf(", attempt %d", m.Attempt)
	}
	switch m.State {
	case elt.MessageDelivered:
		return pill{"ready", "✓", "Delivered" + tries}
	case elt.MessageFailed:
		return pill{"failed", "✕", "Given up" + tries}
	case elt.MessagePending:
		if m.Attempt > 0 {
			return pill{"late", "↻", "To be tried again" + tries}
		}
		return pill{"waiting", "◌", "To be sent"}
	}
	return pill{"running", "▸", "Being sent" + tries}
}

// incidentForms are what an operator can do about an open incident.
func (s *Service) incidentForms(c echo.Context, in elt.Incident) []actForm {
	if !s.acting(c) || !in.ResolvedAt.IsZero() {
		return nil
	}
	path := "/incidents/" + string(in.ID)
	update := actForm{Action: path + "/updates", Label: "Tell", Field: "text", Asks: "News for those who wait", Next: c.Request().URL.Path}
	if in.AcknowledgedBy == callerOf(c).Name {
		return []actForm{update}
	}
	return []actForm{{Action: path + "/acknowledge", Label: "I look after it", Next: c.Request().URL.Path}, update}
}

type auditRow struct {
	At                            stamp
	Actor, Action, Target, Reason string
}

// auditPage shows every act, the latest first.
func (s *Service) auditPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	entries, next, err := s.audit(c)
	if err != nil {
		return err
	}
	data := struct {
		Rows []auditRow
		More string
	}{}
	for _, e := range entries {
		data.Rows = append(data.Rows, auditRow{stampOf(e.At, v.location, v.today()), e.Actor, e.Action, e.Target, e.Reason})
	}
	if next > 0 {
		data.More = "/audit?cursor=" + strconv.FormatInt(next, 10)
	}
	return s.page(c, http.StatusOK, "audit", "Audit trail", data)
}

type tokenRow struct {
	ID, Name, By string
	Role         elt.Role
	Made, Ends   stamp
	Pill         pill
	Revoke       *actForm
}

func (s *Service) tokensPage(c echo.Context) error { return s.tokensPageWith(c, api.Done{}) }

// tokensPageWith shows the tokens, and the text of the one that was just made.
func (s *Service) tokensPageWith(c echo.Context, made api.Done) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	tokens, err := s.opts.Acts.Tokens(c.Request().Context())
	if err != nil {
		return ledgerAway(err)
	}
	data := struct {
		Made  api.Done
		Rows  []tokenRow
		Roles []elt.Role
	}{Made: made, Roles: elt.Roles()}
	now := s.now()
	for _, t := range tokens {
		row := tokenRow{
			ID: string(t.ID), Name: t.Name, By: t.CreatedBy, Role: t.Role, Pill: pill{"ready", "✓", "Valid"},
			Made: stampOf(t.CreatedAt, v.location, v.today()), Ends: stampOf(t.ExpiresAt, v.location, v.today()),
		}
		switch {
		case !t.RevokedAt.IsZero():
			row.Pill = pill{"none", "–", "Revoked by " + t.RevokedBy}
		case !t.ValidAt(now):
			row.Pill = pill{"none", "–", "Ended"}
		default:
			row.Revoke = &actForm{Action: "/tokens/" + row.ID + "/revoke", Label: "Revoke", Next: "/tokens"}
		}
		data.Rows = append(data.Rows, row)
	}
	if made.Token != "" {
		c.Response().Header().Set("Cache-Control", "no-store")
	}
	return s.page(c, http.StatusOK, "tokens", "Tokens", data)
}
