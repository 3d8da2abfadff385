package status

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// mostIncidents is how many incidents back one can be opened by its address.
const mostIncidents = 500

// incidentData is an incident with all that was said and done about it.
type incidentData struct {
	ID               string
	Sentence, Detail string
	Open             bool
	Facts            []fact
	Failure          *elt.Failure
	Acts             []actForm
	Timeline         []happening
	Affected         []affectedRow
}

// happening is something that happened.
type happening struct {
	at          time.Time
	At          stamp
	Class, Icon string
	Text, By    string
	Failure     *elt.Failure
	Remove      *actForm
}

type affectedRow struct {
	Dataset link
	Cause   bool
	Pill    pill
	Due     stamp
}

func (s *Service) incidentPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	id, err := idParam(c, "incident")
	if err != nil {
		return err
	}
	incidents, err := s.opts.Ledger.Incidents(c.Request().Context(), false, mostIncidents)
	if err != nil {
		return ledgerAway(err)
	}
	i := slices.IndexFunc(incidents, func(in elt.Incident) bool { return string(in.ID) == id })
	if i < 0 {
		return refuse(http.StatusNotFound, "incident_unknown", fmt.Sprintf("there is no incident %q among the last %d", shortened(id), mostIncidents), "see /incidents for those that there are")
	}
	in := incidents[i]
	data := incidentData{ID: id, Sentence: sentence(in.Title), Open: in.ResolvedAt.IsZero(), Failure: in.Failure, Acts: s.incidentForms(c, in)}
	data.Detail = v.incidentDetail(in)
	today := v.today()
	p := pill{"ready", "✓", "Resolved"}
	if data.Open {
		p = pill{"failed", "✕", "P1, open"}
	}
	opened := stampOf(in.OpenedAt, v.location, today)
	data.Facts = []fact{{Term: "State", Pill: &p}, {Term: "Opened", Time: &opened}, {Term: "Data of", Text: shortDate(in.Date, today), Href: dayHref(in.Cause, in.Date)}, {Term: "Looked after by", Text: orNobody(in.AcknowledgedBy)}}
	if !in.AcknowledgedAt.IsZero() {
		data.Facts[3].Small = "since " + moment(in.AcknowledgedAt, v.location, today) + ", after " + span(in.AcknowledgedAt.Sub(in.OpenedAt))
	}
	for _, d := range in.Affected {
		row := affectedRow{Dataset: link{string(d), dayHref(d, in.Date)}, Cause: d == in.Cause}
		if day, ok := v.day(d, in.Date); ok && v.byName[d] != nil {
			row.Pill, row.Due = v.pillOf(v.byName[d], day), stampOf(day.DeadlineAt, v.location, today)
		}
		data.Affected = append(data.Affected, row)
	}
	if data.Timeline, err = s.timeline(c, v, in); err != nil {
		return err
	}
	return s.page(c, http.StatusOK, "incident", in.Title, data)
}

func (v view) incidentDetail(in elt.Incident) string {
	held := ""
	if n := len(in.Affected) - 1; n > 0 {
		held = fmt.Sprintf(" It %s %s up.", map[bool]string{true: "holds", false: "held"}[in.ResolvedAt.IsZero()], counted(n, "other dataset"))
	}
	switch {
	case !in.ResolvedAt.IsZero():
		return "The data resolved it after " + span(in.ResolvedAt.Sub(in.OpenedAt)) + "." + held
	case in.AcknowledgedBy == "":
		return "Open for " + span(v.asOf.Sub(in.OpenedAt)) + ", and nobody looks after it yet." + held
	}
	return "Open for " + span(v.asOf.Sub(in.OpenedAt)) + ". " + in.AcknowledgedBy + " looks after it." + held
}

func orNobody(name string) string {
	if name == "" {
		return "nobody yet"
	}
	return name
}

// timeline tells what happened, the latest first.
func (s *Service) timeline(c echo.Context, v view, in elt.Incident) ([]happening, error) {
	out := []happening{{at: in.OpenedAt, Class: "failed", Icon: "✕", Text: "Opened: " + sentence(in.Title)}}
	if !in.ResolvedAt.IsZero() {
		out = append(out, happening{at: in.ResolvedAt, Class: "ready", Icon: "✓", Text: "Resolved: every day that it held up is ready."})
	}
	if !in.AcknowledgedAt.IsZero() {
		out = append(out, happening{at: in.AcknowledgedAt, Class: "word", Icon: "✋", Text: in.AcknowledgedBy + " looks after it."})
	}
	if s.said != nil {
		remarks, err := s.said.Remarks(c.Request().Context(), in.ID, "", 500)
		if err != nil {
			return nil, ledgerAway(err)
		}
		for _, r := range remarks {
			m := happening{at: r.At, Class: "word", Icon: "“", Text: r.Text, By: r.Actor}
			if s.acting(c) {
				m.Remove = &actForm{Action: "/notes/" + string(r.ID) + "/remove", Label: "Remove", Next: c.Request().URL.Path}
			}
			out = append(out, m)
		}
	}
	if s.acting(c) {
		messages, err := s.opts.Acts.Messages(c.Request().Context(), in.ID, 100)
		if err != nil {
			return nil, ledgerAway(err)
		}
		for _, msg := range messages {
			p, at := messagePill(msg), msg.CreatedAt
			if !msg.EndedAt.IsZero() {
				at = msg.EndedAt
			}
			m := happening{at: at, Class: p.Class, Icon: p.Icon, Text: fmt.Sprintf("Told %s: %s. %s.", msg.Destination, msg.Notice.Kind, p.Text)}
			if msg.State != elt.MessageDelivered {
				m.Failure = msg.Error
			}
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b happening) int { return b.at.Compare(a.at) })
	for i := range out {
		out[i].At = stampOf(out[i].at, v.location, v.today())
	}
	return out, nil
}
