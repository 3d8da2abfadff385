package status

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// CalendarLedger tells what became of ticks, what people have said of schedules and of what they bring, and who works.
type CalendarLedger interface {
	Ticks(ctx context.Context, s elt.ScheduleName, limit int) ([]elt.Tick, error)
	Pauses(ctx context.Context) ([]elt.Pause, error)
	Maintenance(ctx context.Context, since time.Time) ([]elt.Maintenance, error)
	Workers(ctx context.Context) ([]elt.Worker, error)
}

// ScheduleActs is what operators do with schedules, and what they say of times to come.
type ScheduleActs interface {
	PauseSchedule(ctx context.Context, p elt.Pause) (elt.Pause, error)
	ResumeSchedule(ctx context.Context, s elt.ScheduleName, actor, reason string) (changed bool, err error)
	AddMaintenance(ctx context.Context, m elt.Maintenance) (elt.Maintenance, error)
	EndMaintenance(ctx context.Context, id elt.MaintenanceID, actor, reason string) (m elt.Maintenance, changed bool, err error)
}

// Controls is all that the pages and routes about schedules ask of the ledger.
type Controls interface {
	CalendarLedger
	ScheduleActs
}

// Trigger starts a schedule's run of a data date now, or finds the one that is there; a zero date is the last one that is
// over.
type Trigger func(ctx context.Context, s elt.ScheduleName, date elt.Date, actor, reason string) (run elt.Run, created bool, err error)

// controlRoutes are those that read.
func (s *Service) controlRoutes() []route {
	if s.opts.Controls == nil {
		return nil
	}
	return []route{
		{method: http.MethodGet, path: "/schedules/:schedule", handler: s.schedulePage, caller: "whoever wonders why a night did not start", refuses: unknownSchedule},
		{method: http.MethodGet, path: "/v1/schedules/:schedule/ticks", handler: s.getTicks, caller: "whoever asks what became of each date", answers: api.Ticks{}, query: []parameter{{"limit", "how many at most"}}, refuses: unknownSchedule},
		{method: http.MethodGet, path: "/v1/maintenance", handler: s.getMaintenance, caller: "calendars, on-call tools", answers: api.MaintenanceWindows{}},
		{method: http.MethodGet, path: "/v1/workers", handler: s.getWorkers, caller: "whoever keeps the machines running", answers: api.Workers{}},
	}
}

// unknownSchedule is what a name is refused with that is none.
var unknownSchedule = refusals{http.StatusNotFound: {codeScheduleUnknown}}

// missingReason refuses an act without a reason: whoever asks later has nobody else to ask.
func missingReason(r request) error {
	if strings.TrimSpace(r.fields["reason"]) == "" {
		return badRequest("the reason is missing")
	}
	return nil
}

// controlActs are those that change something.
func (s *Service) controlActs() []act {
	if s.opts.Controls == nil {
		return nil
	}
	reason := parameter{"reason", "why, for the audit trail and for whoever asks"}
	out := []act{
		{"/schedules/:schedule/pause", "whoever wants nothing of the schedule to start", elt.Operator,
			[]parameter{{"until", "2026-12-01 06:00 in the schedule's zone, RFC 3339, or 12h from now; without it, until somebody resumes it"}, reason}, (*Service).pauseSchedule,
			refusals{http.StatusNotFound: {codeScheduleUnknown}, http.StatusBadRequest: {"bad_pause"}}},
		{"/schedules/:schedule/resume", "whoever lets it start again: catch_up decides about what was due meanwhile", elt.Operator, []parameter{reason}, (*Service).resumeSchedule, unknownSchedule},
		{"/maintenance", "whoever knows that data will not come", elt.Operator, []parameter{
			{"from", "when it begins: 2026-12-01 22:00 by a clock in timezone, or RFC 3339; now by default"}, {"to", "when it is over, or how long it lasts, such as 4h"},
			{"timezone", "the IANA zone of from and to; UTC by default"},
			{"datasets", "those that it covers, with what is made from them, parted by commas"}, {"sources", "the sources that it covers, parted by commas"},
			{"everything", "true when it covers all datasets"}, reason}, (*Service).addMaintenance, refusals{http.StatusNotFound: {codeDatasetUnknown}, http.StatusBadRequest: {"bad_maintenance"}}},
		{"/maintenance/:window/end", "whoever was quicker, or calls it off", elt.Operator, []parameter{reason}, (*Service).endMaintenance, refusals{http.StatusNotFound: {"maintenance_unknown"}}},
	}
	if s.opts.Trigger != nil {
		out = append(out, act{"/schedules/:schedule/trigger", "whoever wants its night now", elt.Operator,
			[]parameter{{"date", "the data date; by default the last one that is over"}, reason}, (*Service).triggerSchedule,
			refusals{http.StatusNotFound: {codeScheduleUnknown}, http.StatusBadRequest: {"date_not_over", "day_superseded", "input_unpublished"}}})
	}
	return out
}

// scheduleParam returns the schedule of the path.
func (s *Service) scheduleParam(c echo.Context) (api.Schedule, error) {
	name := elt.ScheduleName(c.Param("schedule"))
	all := s.opts.Schedules(s.now())
	if i := slices.IndexFunc(all, func(sch api.Schedule) bool { return sch.Name == name }); i >= 0 {
		return all[i], nil
	}
	return api.Schedule{}, refuse(http.StatusNotFound, codeScheduleUnknown, fmt.Sprintf("there is no schedule %q", shortened(string(name))), "see /v1/schedules for those that there are")
}

// schedules returns every schedule, with who has paused it.
func (s *Service) schedules(ctx context.Context) ([]api.Schedule, error) {
	all := append([]api.Schedule{}, s.opts.Schedules(s.now())...)
	if s.calendar == nil {
		return all, nil
	}
	pauses, err := s.calendar.Pauses(ctx)
	if err != nil {
		return nil, ledgerAway(err)
	}
	for i := range all {
		if k := slices.IndexFunc(pauses, func(p elt.Pause) bool { return p.Schedule == all[i].Name }); k >= 0 {
			all[i].Paused = &pauses[k]
		}
	}
	return all, nil
}

func (s *Service) getTicks(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	sch, err := s.scheduleParam(c)
	if err != nil {
		return err
	}
	limit, err := limitParam(c, 100, 500)
	if err != nil {
		return err
	}
	ticks, err := s.calendar.Ticks(c.Request().Context(), sch.Name, limit)
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.Ticks{Ticks: append([]elt.Tick{}, ticks...)}
	return s.answer(c, v, false, body, &body.Meta)
}

func (s *Service) getMaintenance(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	windows, err := s.calendar.Maintenance(c.Request().Context(), s.now().AddDate(0, 0, -historyDays))
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.MaintenanceWindows{Windows: append([]elt.Maintenance{}, windows...)}
	return s.answer(c, v, false, body, &body.Meta)
}

// momentOf reads when something is: an instant, a wall-clock time in the zone, or a span from the given moment.
func momentOf(name, text string, zone *time.Location, from time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return from.Add(d), nil
	}
	t, err := elt.ParseMoment(strings.Replace(text, "T", " ", 1), zone) // forms send 2026-12-01T22:00
	if err != nil {
		t, err = elt.ParseMoment(text, zone)
	}
	if err != nil || t.Year() < 2000 || t.Year() > 9000 {
		return time.Time{}, badRequest("%s=%q is no moment: write it as 2026-12-01 22:00, or 12h", name, shortened(text))
	}
	return t, nil
}

func (s *Service) pauseSchedule(r request) (api.Done, error) {
	if err := missingReason(r); err != nil {
		return api.Done{}, err
	}
	sch, err := s.scheduleParam(r)
	if err != nil {
		return api.Done{}, err
	}
	p := elt.Pause{Schedule: sch.Name, By: r.who.actor(), Reason: r.fields["reason"]}
	zone := zoneOf(sch.Zone, s.opts.Location)
	until := "until somebody resumes it"
	if text := r.fields["until"]; text != "" {
		if p.Until, err = momentOf("until", text, zone, s.now()); err != nil {
			return api.Done{}, err
		}
		until = "until " + p.Until.In(zone).Format("Mon 2 Jan 2006, 15:04 MST")
	}
	if _, err := s.opts.Controls.PauseSchedule(r.Request().Context(), p); err != nil {
		return api.Done{}, err
	}
	return s.done(true, "%s rests %s.", sch.Name, until)
}

func (s *Service) resumeSchedule(r request) (api.Done, error) {
	if err := missingReason(r); err != nil {
		return api.Done{}, err
	}
	sch, err := s.scheduleParam(r)
	if err != nil {
		return api.Done{}, err
	}
	changed, err := s.opts.Controls.ResumeSchedule(r.Request().Context(), sch.Name, r.who.actor(), r.fields["reason"])
	switch {
	case err != nil:
		return api.Done{}, err
	case !changed:
		return s.done(false, "%s does not rest.", sch.Name)
	}
	return s.done(true, "%s starts again.", sch.Name)
}

func (s *Service) triggerSchedule(r request) (api.Done, error) {
	if err := missingReason(r); err != nil {
		return api.Done{}, err
	}
	sch, err := s.scheduleParam(r)
	if err != nil {
		return api.Done{}, err
	}
	var date elt.Date
	if text := r.fields["date"]; text != "" {
		if date, err = dateText("date", text); err != nil {
			return api.Done{}, err
		}
	}
	run, created, err := s.opts.Trigger(r.Request().Context(), sch.Name, date, r.who.actor(), r.fields["reason"])
	switch {
	case err != nil:
		return api.Done{}, err
	case !created:
		return s.done(false, "Run %s of %s is there already: it is %s.", run.ID, run.Date, run.State)
	}
	return s.done(true, "Run %s brings %s.", run.ID, run.Date)
}

func (s *Service) addMaintenance(r request) (api.Done, error) {
	if err := missingReason(r); err != nil {
		return api.Done{}, err
	}
	m := elt.Maintenance{By: r.who.actor(), Reason: r.fields["reason"], Zone: r.fields["timezone"], From: s.now()}
	if m.Zone == "" {
		m.Zone = "UTC"
	}
	zone, err := time.LoadLocation(m.Zone)
	if err != nil || m.Zone == "Local" {
		return api.Done{}, badRequest("timezone=%q is none: write an IANA name such as Europe/Dublin", shortened(m.Zone))
	}
	if text := r.fields["from"]; text != "" {
		if m.From, err = momentOf("from", text, zone, s.now()); err != nil {
			return api.Done{}, err
		}
	}
	if r.fields["to"] == "" {
		return api.Done{}, badRequest("to is missing: when it is over, or how long it lasts")
	}
	if m.To, err = momentOf("to", r.fields["to"], zone, m.From); err != nil {
		return api.Done{}, err
	}
	if err := s.coverage(r, &m); err != nil {
		return api.Done{}, err
	}
	kept, err := s.opts.Controls.AddMaintenance(r.Request().Context(), m)
	if err != nil {
		return api.Done{}, err
	}
	done, err := s.done(true, "%s rests from %s to %s.", capital(kept.Covers()), kept.From.In(zone).Format("Mon 2 Jan 15:04"), kept.To.In(zone).Format("Mon 2 Jan 15:04 MST"))
	done.Window = &kept
	return done, err
}

// coverage reads what a window covers. A name that nobody knows is refused: a window that covers nothing misleads.
func (s *Service) coverage(r request, m *elt.Maintenance) error {
	v, err := s.look(r)
	if err != nil {
		return err
	}
	switch text := r.fields["everything"]; text {
	case "", "false":
	case "true", "on":
		m.Everything = true
	default:
		return badRequest("everything=%q is neither true nor false", shortened(text))
	}
	sources := make(map[elt.SourceName]bool)
	for _, set := range v.sets {
		if source, _ := set.Name.Split(); set.Kind == elt.TableDataset {
			sources[elt.SourceName(source)] = true
		}
	}
	for name := range fieldList(r.fields["datasets"]) {
		if v.byName[elt.DatasetName(name)] == nil {
			return v.noDataset(name)
		}
		m.Datasets = append(m.Datasets, elt.DatasetName(name))
	}
	for name := range fieldList(r.fields["sources"]) {
		if !sources[elt.SourceName(name)] {
			return badRequest("no table comes from a source %q", shortened(name))
		}
		m.Sources = append(m.Sources, elt.SourceName(name))
	}
	return nil
}

// fieldList yields the words of a list that is parted by commas or spaces.
func fieldList(text string) func(func(string) bool) {
	return strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func (s *Service) endMaintenance(r request) (api.Done, error) {
	if err := missingReason(r); err != nil {
		return api.Done{}, err
	}
	m, changed, err := s.opts.Controls.EndMaintenance(r.Request().Context(), elt.MaintenanceID(r.Param("window")), r.who.actor(), r.fields["reason"])
	if err != nil {
		return api.Done{}, err
	}
	if !changed {
		return s.done(false, "It was over at %s.", m.Until().UTC().Format(time.RFC3339))
	}
	return s.done(true, "It is over: %s is expected again.", m.Covers())
}
