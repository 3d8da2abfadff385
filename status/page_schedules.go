package status

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

type schedulesData struct {
	Sentence string
	Rows     []scheduleRow
	Windows  []windowRow
	Workers  []workerRow
	Add      *actForm // a new maintenance window
}

type scheduleRow struct {
	Name, Href, When, Zone, Deadline, CatchUp string
	Datasets, Holidays, Overlap, WaitsFor     string
	Paused                                    string // the sentence of whoever paused it
	Next                                      []nextRow
}

type nextRow struct {
	At   stamp
	Date string
}

// windowRow is a maintenance window as a page shows it.
type windowRow struct {
	Pill          pill
	Covers        string
	From, To      stamp
	Reason, Small string
	End           *actForm
}

func scheduleRowOf(sch api.Schedule, v view) scheduleRow {
	zone := zoneOf(sch.Zone, v.location)
	today := elt.DateOf(v.asOf.In(zone))
	r := scheduleRow{
		Name: string(sch.Name), Href: "/schedules/" + string(sch.Name), When: sch.When, Zone: sch.Zone, Deadline: sch.Deadline, CatchUp: sch.CatchUp,
		Datasets: counted(sch.Datasets, "dataset"), Overlap: sch.Overlap,
	}
	if sch.Calendar != "" {
		r.Holidays = map[string]string{"run": "are brought, without a deadline", "skip": "are left out"}[sch.OnHoliday] + " (" + string(sch.Calendar) + ")"
	}
	if len(sch.WaitFor) > 0 {
		r.WaitsFor = listed(sch.WaitFor, 4) + ", at most " + sch.WaitAtMost
	}
	if p := sch.Paused; p != nil {
		until := ""
		if !p.Until.IsZero() {
			until = " until " + moment(p.Until, zone, today)
		}
		r.Paused = fmt.Sprintf("Paused by %s%s: %s", p.By, until, sentence(p.Reason))
	}
	for _, t := range sch.Next {
		r.Next = append(r.Next, nextRow{stampOf(t.DueAt, zone, elt.Date{Year: today.Year}), shortDate(t.Date, today)})
	}
	return r
}

func (s *Service) schedulesPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	all, err := s.schedules(c.Request().Context())
	if err != nil {
		return err
	}
	data := schedulesData{Sentence: "There is no schedule yet."}
	var first *elt.Tick
	rests := 0
	for _, sch := range all {
		data.Rows = append(data.Rows, scheduleRowOf(sch, v))
		if sch.Paused != nil {
			rests++
			continue
		}
		for i, t := range sch.Next {
			if first == nil || t.DueAt.Before(first.DueAt) {
				first = &sch.Next[i]
			}
		}
	}
	switch {
	case first != nil:
		data.Sentence = "The next night starts " + moment(first.DueAt, v.location, v.today()) + ", in " + span(first.DueAt.Sub(v.asOf)) + "."
	case rests > 0:
		data.Sentence = "No night starts by itself: " + counted(rests, "schedule") + " " + be(rests) + " paused."
	}
	if data.Windows, err = s.windowRows(c, v); err != nil {
		return err
	}
	if data.Workers, err = s.workerRows(c, v); err != nil {
		return err
	}
	if s.acting(c) && s.opts.Controls != nil {
		data.Add = &actForm{Action: "/maintenance", Label: "Announce it", Next: "/schedules", Fields: []actField{
			{Name: "from", Asks: "From", Type: "datetime-local"}, {Name: "to", Asks: "To", Type: "datetime-local", Required: true},
			{Name: "timezone", Asks: "Time zone", Value: v.location.String(), Required: true},
			{Name: "sources", Asks: "Sources"}, {Name: "datasets", Asks: "Datasets"}, {Name: "reason", Asks: "Why", Required: true},
			{Name: "everything", Asks: "Everything rests", Type: "checkbox"},
		}}
	}
	return s.page(c, http.StatusOK, "schedules", "Schedules", data)
}

// windowRows are the windows that last or are to come, and the latest that are over.
func (s *Service) windowRows(c echo.Context, v view) ([]windowRow, error) {
	if s.calendar == nil {
		return nil, nil
	}
	windows, err := s.calendar.Maintenance(c.Request().Context(), v.asOf.AddDate(0, 0, -14))
	if err != nil {
		return nil, ledgerAway(err)
	}
	var rows []windowRow
	for _, m := range windows {
		zone := zoneOf(m.Zone, v.location)
		row := windowRow{
			Covers: capital(m.Covers()), From: stampOf(m.From, zone, v.today()), To: stampOf(m.Until(), zone, v.today()),
			Reason: sentence(m.Reason), Small: "by " + m.By,
		}
		switch {
		case m.Holds(v.asOf):
			row.Pill = pill{"waiting", "‖", "Now"}
		case !v.asOf.Before(m.Until()):
			row.Pill = pill{"none", "–", "Over"}
			if m.EndedBy != "" {
				row.Small += ", ended by " + m.EndedBy
			}
		default:
			row.Pill = pill{"none", "◌", "To come"}
		}
		if s.acting(c) && v.asOf.Before(m.Until()) {
			row.End = &actForm{Action: "/maintenance/" + string(m.ID) + "/end", Label: "End it", Field: "reason", Asks: "Why", Next: "/schedules"}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

type scheduleData struct {
	Sentence, Detail string
	Schedule         scheduleRow
	Ticks            []tickRow
	Acts             []actForm
}

type tickRow struct {
	Date, Href string
	Due        stamp
	Pill       pill
	Says       string
	Run        string
}

// schedulePage tells what became of each date of a schedule.
func (s *Service) schedulePage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	if _, err := s.scheduleParam(c); err != nil {
		return err
	}
	all, err := s.schedules(c.Request().Context())
	if err != nil {
		return err
	}
	var sch api.Schedule
	for _, each := range all {
		if string(each.Name) == c.Param("schedule") {
			sch = each
		}
	}
	zone := zoneOf(sch.Zone, v.location)
	today := elt.DateOf(v.asOf.In(zone))
	ticks, err := s.calendar.Ticks(c.Request().Context(), sch.Name, 60)
	if err != nil {
		return ledgerAway(err)
	}
	data := scheduleData{Schedule: scheduleRowOf(sch, v), Acts: s.scheduleForms(c, sch)}
	for _, t := range ticks {
		data.Ticks = append(data.Ticks, tickRowOf(t, zone, today))
	}
	data.Sentence, data.Detail = describeSchedule(sch, ticks, zone, v.asOf)
	return s.page(c, http.StatusOK, "schedule", "Schedule "+string(sch.Name), data)
}

func tickRowOf(t elt.Tick, zone *time.Location, today elt.Date) tickRow {
	r := tickRow{Date: shortDate(t.Date, today), Due: stampOf(t.DueAt, zone, today)}
	switch {
	case t.Hold != nil:
		r.Pill, r.Says = pill{"waiting", "‖", "Held"}, sentence(t.Hold.Reason)
	case t.Run != "":
		r.Pill, r.Run, r.Href = pill{"ready", "✓", "Ran"}, string(t.Run), "/runs/"+string(t.Run)
	default:
		r.Pill, r.Says = pill{"none", "–", "Skipped"}, sentence(t.Skipped)
	}
	return r
}

func describeSchedule(sch api.Schedule, ticks []elt.Tick, zone *time.Location, now time.Time) (head, detail string) {
	today := elt.DateOf(now.In(zone))
	switch {
	case sch.Paused != nil:
		head = string(sch.Name) + " is paused."
		if !sch.Paused.Until.IsZero() {
			head = string(sch.Name) + " is paused until " + moment(sch.Paused.Until, zone, today) + "."
		}
		detail = "By " + sch.Paused.By + ": " + sentence(sch.Paused.Reason)
	case len(ticks) > 0 && ticks[0].Hold != nil:
		head = string(sch.Name) + " " + strings.TrimPrefix(ticks[0].Hold.Reason, "schedule "+string(sch.Name)+" ") + "."
		if ticks[0].Hold.Kind == elt.HoldMaintenance {
			head = string(sch.Name) + " rests: " + ticks[0].Hold.Reason + "."
		}
	case len(sch.Next) > 0:
		head = string(sch.Name) + " starts next " + moment(sch.Next[0].DueAt, zone, today) + ", for " + shortDate(sch.Next[0].Date, today) + "."
	default:
		head = string(sch.Name) + " never starts again."
	}
	return head, detail
}

// scheduleForms are what an operator can do with a schedule.
func (s *Service) scheduleForms(c echo.Context, sch api.Schedule) []actForm {
	if !s.acting(c) {
		return nil
	}
	path := "/schedules/" + string(sch.Name)
	why := actField{Name: "reason", Asks: "Why", Required: true}
	pause := actForm{Action: path + "/pause", Label: "Pause it", Next: path, Fields: []actField{{Name: "until", Asks: "Until (" + sch.Zone + ")", Type: "datetime-local"}, why}}
	if sch.Paused != nil {
		pause = actForm{Action: path + "/resume", Label: "Resume it", Next: path, Fields: []actField{why}}
	}
	forms := []actForm{pause}
	if s.opts.Trigger != nil {
		forms = append(forms, actForm{Action: path + "/trigger", Label: "Run it now", Next: path, Fields: []actField{{Name: "date", Asks: "Data date", Type: "date"}, why}})
	}
	return forms
}
