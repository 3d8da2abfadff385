package status

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// Backfills tells how far backfills are, and steers them.
type Backfills interface {
	Backfill(ctx context.Context, id elt.BackfillID) (elt.Backfill, error)
	Backfills(ctx context.Context, before, limit int) ([]elt.Backfill, error)
	BackfillDays(ctx context.Context, id elt.BackfillID, state elt.BackfillDayState, offset, limit int) ([]elt.BackfillDay, error)
	SteerBackfill(ctx context.Context, id elt.BackfillID, act elt.BackfillAct, actor, reason string) (changed bool, err error)
}

// BackfillDesk plans backfills and starts them; whoever works on the workspace brings the days.
type BackfillDesk interface {
	PlanBackfill(ctx context.Context, r elt.BackfillRequest) (elt.BackfillPlan, error)
	StartBackfill(ctx context.Context, r elt.BackfillRequest, token elt.PlanToken, actor, reason string) (elt.Backfill, error)
}

// startBackfills is the path of the act that starts a backfill: a form that is refused because its plan is stale shows
// the plan as it is now.
const startBackfills = "/backfills"

// backfillRoutes are there where the service knows of backfills.
func (s *Service) backfillRoutes() []route {
	if s.opts.Backfills == nil || s.opts.BackfillDesk == nil || s.opts.Acts == nil {
		return nil
	}
	get := http.MethodGet
	page := []parameter{{"cursor", "next of the page before"}, {"limit", "how many at most"}}
	asked := []parameter{
		{"datasets", "names or selectors, with spaces between"}, {"from", "the first data date"}, {"to", "the last data date; without it, the first"},
		{"mode", "which days of the range; missing by default"}, {"downstream", "false for nothing of what is made from them"},
	}
	unplanned := refusals{http.StatusBadRequest: {"bad_backfill", "nothing_selected", "unknown_selector"}}
	routes := []route{
		{method: get, path: "/backfills", handler: s.backfillsPage, caller: "whoever wonders what is brought again", query: page[:1]},
		{method: get, path: "/backfills/plan", handler: s.backfillPlanPage, caller: "an operator who looks before days are brought again", role: elt.Operator, query: asked, refuses: unplanned},
		{method: get, path: "/backfills/:backfill", handler: s.backfillPage, caller: "whoever waits for the days"},
		{method: get, path: "/v1/backfills", handler: s.getBackfills, caller: "operators' scripts", answers: api.Backfills{}, query: page},
		{method: get, path: "/v1/backfills/:backfill", handler: s.getBackfill, caller: "progress displays", answers: api.Backfill{}},
		{method: get, path: "/v1/backfills/:backfill/days", handler: s.getBackfillDays, caller: "operators' scripts", answers: api.BackfillDays{}, query: slices.Concat([]parameter{{"state", "of the day"}}, page)},
	}
	reason := parameter{"reason", "why, for the audit trail and for whoever asks"}
	stale := refusals{http.StatusBadRequest: append(unplanned[http.StatusBadRequest], "nothing_to_backfill"), http.StatusConflict: {codePlanStale, "backfill_overlaps"}}
	resting := refusals{http.StatusConflict: {"backfill_ended", "backfill_cancelled", "backfill_overlaps"}}
	acts := []act{
		{path: "/backfills/plan", caller: "an operator who looks: what would happen with each day, and why", role: elt.Operator, fields: asked, do: (*Service).planBackfill, refuses: unplanned},
		{
			path: startBackfills, caller: "an operator who has looked at the plan and starts it", role: elt.Operator,
			fields: slices.Concat(asked, []parameter{{"plan_token", "of the plan that was looked at: 409 when something else would happen now"}, reason}),
			do:     (*Service).startBackfill, refuses: stale,
		},
	}
	for _, how := range []struct {
		act          elt.BackfillAct
		path, caller string
		fields       []parameter
	}{
		{elt.PauseBackfill, "pause", "an operator who wants nothing more of it to begin until it is resumed", nil},
		{elt.ResumeBackfill, "resume", "an operator who lets it go on", nil},
		{elt.CancelBackfill, "cancel", "an operator who ends it for ever", []parameter{reason}},
		{elt.RetryBackfill, "retry-failed", "whoever mended the cause: its failed days run again, from their failed steps", nil},
	} {
		acts = append(acts, act{
			path: "/backfills/:backfill/" + how.path, caller: how.caller, role: elt.Operator, fields: how.fields, refuses: resting,
			do: func(s *Service, r request) (api.Done, error) { return s.steerBackfill(r, how.act) },
		})
	}
	for _, a := range acts {
		routes = append(routes, a.routes(s)...)
	}
	return routes
}

// backfillRequest reads what is asked for.
func backfillRequest(field func(string) string) (r elt.BackfillRequest, err error) {
	r = elt.BackfillRequest{Select: strings.Fields(field("datasets")), Mode: elt.BackfillMode(field("mode")), Downstream: true}
	if r.Mode == "" {
		r.Mode = elt.MissingDays
	}
	switch field("downstream") {
	case "", "true":
	case "false":
		r.Downstream = false
	default:
		return r, badRequest("downstream=%q is neither true nor false", shortened(field("downstream")))
	}
	if text := field("from"); text != "" {
		if r.From, err = dateText("from", text); err != nil {
			return r, err
		}
	}
	r.To = r.From
	if text := field("to"); text != "" {
		if r.To, err = dateText("to", text); err != nil {
			return r, err
		}
	}
	if err := r.Check(); err != nil {
		return r, asRefusal(err)
	}
	return r, nil
}

// backfillPlan plans what is asked for.
func (s *Service) backfillPlan(c echo.Context, field func(string) string) (*api.BackfillPlan, error) {
	request, err := backfillRequest(field)
	if err != nil {
		return nil, err
	}
	plan, err := s.opts.BackfillDesk.PlanBackfill(c.Request().Context(), request)
	if err != nil {
		return nil, asRefusal(err)
	}
	body := &api.BackfillPlan{Request: request, Counts: plan.Counts(), Estimate: plan.Estimate, Spans: plan.Spans(), PlanToken: plan.Token()}
	body.Days, body.Dates = plan.Acts()
	return body, nil
}

func (r request) field(name string) string { return r.fields[name] }

func (s *Service) planBackfill(r request) (api.Done, error) {
	plan, err := s.backfillPlan(r, r.field)
	if err != nil {
		return api.Done{}, err
	}
	done, err := s.done(false, "It would bring %s on %s.", counted(plan.Days, "day"), counted(plan.Dates, "date"))
	done.Plan = plan
	return done, err
}

func (s *Service) startBackfill(r request) (api.Done, error) {
	request, err := backfillRequest(r.field)
	if err != nil {
		return api.Done{}, err
	}
	if r.fields["reason"] == "" {
		return api.Done{}, badRequest("the reason is missing")
	}
	token := r.fields["plan_token"]
	if !planText.MatchString(token) {
		return api.Done{}, badRequest("the plan_token is none that a plan was given: POST /v1/backfills/plan gives one")
	}
	f, err := s.opts.BackfillDesk.StartBackfill(r.Request().Context(), request, elt.PlanToken(token), r.who.actor(), r.fields["reason"])
	if err != nil {
		return api.Done{}, err
	}
	done, err := s.done(true, "%s is started.", f.ID)
	done.Backfill = &f
	return done, err
}

func (s *Service) steerBackfill(r request, act elt.BackfillAct) (api.Done, error) {
	id := elt.BackfillID(r.Param("backfill"))
	if r.fields["reason"] == "" && act == elt.CancelBackfill {
		return api.Done{}, badRequest("the reason is missing")
	}
	changed, err := s.opts.Backfills.SteerBackfill(r.Request().Context(), id, act, r.who.actor(), r.fields["reason"])
	if err != nil {
		return api.Done{}, err
	}
	f, err := s.opts.Backfills.Backfill(r.Request().Context(), id)
	if err != nil {
		return api.Done{}, err
	}
	done, err := s.done(changed, "%s is %s.", id, f.State)
	done.Backfill = &f
	return done, err
}

// backfillNumber reads the cursor of a list of backfills, or of their days.
func backfillNumber(c echo.Context) (int, error) {
	text := c.QueryParam("cursor")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || !numberText.MatchString(text) || n > 1<<30 {
		return 0, badRequest("cursor=%q is none of an answer's next", shortened(text))
	}
	return n, nil
}

func (s *Service) backfills(c echo.Context) (*api.Backfills, error) {
	before, err := backfillNumber(c)
	if err != nil {
		return nil, err
	}
	limit, err := limitParam(c, 50, 500)
	if err != nil {
		return nil, err
	}
	all, err := s.opts.Backfills.Backfills(c.Request().Context(), before, limit)
	if err != nil {
		return nil, ledgerAway(err)
	}
	body := &api.Backfills{Backfills: append([]elt.Backfill{}, all...)}
	if n := len(all); n == limit && all[n-1].Number > 1 {
		body.Next = strconv.Itoa(all[n-1].Number)
	}
	return body, nil
}

func (s *Service) getBackfills(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	body, err := s.backfills(c)
	if err != nil {
		return err
	}
	return s.answer(c, v, false, body, &body.Meta)
}

// backfillParam reads the backfill that the path names.
func (s *Service) backfillParam(c echo.Context) (elt.Backfill, error) {
	f, err := s.opts.Backfills.Backfill(c.Request().Context(), elt.BackfillID(c.Param("backfill")))
	if err != nil {
		return f, asRefusal(err)
	}
	return f, nil
}

func (s *Service) getBackfill(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	f, err := s.backfillParam(c)
	if err != nil {
		return err
	}
	body := &api.Backfill{Backfill: f}
	return s.answer(c, v, false, body, &body.Meta)
}

func (s *Service) getBackfillDays(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	f, err := s.backfillParam(c)
	if err != nil {
		return err
	}
	state := elt.BackfillDayState(c.QueryParam("state"))
	if state != "" && !slices.Contains(elt.BackfillDayStates(), state) {
		return badRequest("state=%q is no state of a backfill's day", shortened(string(state)))
	}
	offset, err := backfillNumber(c)
	if err != nil {
		return err
	}
	limit, err := limitParam(c, 100, 500)
	if err != nil {
		return err
	}
	days, err := s.opts.Backfills.BackfillDays(c.Request().Context(), f.ID, state, offset, limit)
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.BackfillDays{Days: append([]elt.BackfillDay{}, days...)}
	if len(days) == limit {
		body.Next = strconv.Itoa(offset + limit)
	}
	return s.answer(c, v, false, body, &body.Meta)
}

// backfillHref is the page of a backfill.
func backfillHref(id elt.BackfillID) string { return fmt.Sprintf("/backfills/%s", id) }
