package status

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// Rollbacks plans going back to earlier versions of a dataset and asks for it; whoever works on the workspace carries it
// out.
type Rollbacks interface {
	PlanRollback(ctx context.Context, d elt.DatasetName, to string) (elt.Rollback, error)
	Rollback(ctx context.Context, plan elt.Rollback, actor, reason string) (elt.RunID, error)
}

// The refusals of a plan, by what there is to go back to.
func rollbackRefusals() refusals {
	return refusals{
		http.StatusBadRequest: {"rolled_back_already", "nothing_before", "nothing_published", "bad_date"},
		http.StatusNotFound:   {"version_unknown"},
	}
}

// rollbackRoutes are there where the service can ask for rollbacks.
func (s *Service) rollbackRoutes() []route {
	if s.opts.Rollbacks == nil || s.opts.Acts == nil {
		return nil
	}
	version := parameter{"version", "the version to go back to, or its data date; without it, the one before what people read"}
	routes := []route{
		{method: http.MethodGet, path: "/datasets/:dataset/rollback", handler: s.rollbackPage, caller: "an admin who looks before going back", role: elt.Admin, query: []parameter{version}, refuses: rollbackRefusals()},
		{method: http.MethodGet, path: "/datasets/:dataset/:date/withdraw", handler: s.withdrawPage, caller: "an admin who looks before marking a day as bad", role: elt.Admin},
		{method: http.MethodGet, path: "/v1/datasets/:dataset/rollback", handler: s.getRollback, caller: "admins' scripts: what would going back do?", role: elt.Admin, answers: api.Rollback{}, query: []parameter{version}, refuses: rollbackRefusals()},
	}
	refuses := rollbackRefusals()
	refuses[http.StatusConflict] = []elt.Code{codePlanStale}
	reason := parameter{"reason", "why, for the audit trail and for whoever asks"}
	for _, a := range []act{
		{
			path: "/datasets/:dataset/rollback", caller: "an admin who has looked at the plan and confirms it", role: elt.Admin,
			fields: []parameter{reason, version, {"plan_token", "of the plan that was looked at: 409 when something else would happen now"}},
			do:     (*Service).rollBack, refuses: refuses,
		},
		{path: "/datasets/:dataset/days/:date/withdraw", caller: "an admin who marks a day as bad: its gates answer impossible", role: elt.Admin, fields: []parameter{reason}, do: (*Service).withdraw},
		{path: "/datasets/:dataset/days/:date/reinstate", caller: "an admin who takes a withdrawal back", role: elt.Admin, fields: []parameter{reason}, do: (*Service).reinstate},
	} {
		routes = append(routes, a.routes(s)...)
	}
	return routes
}

// plan says what going back would do, and with which token that is confirmed.
func (s *Service) plan(c echo.Context, to string) (*api.Rollback, error) {
	_, set, err := s.lookAt(c)
	if err != nil {
		return nil, err
	}
	if to != "" && !versionText.MatchString(to) {
		return nil, badRequest("version=%q is neither a version nor a date", shortened(to))
	}
	plan, err := s.opts.Rollbacks.PlanRollback(c.Request().Context(), set.Name, to)
	if err != nil {
		return nil, asRefusal(err)
	}
	digest, err := plan.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest of a plan: %w", err)
	}
	return &api.Rollback{Rollback: plan, Needed: !plan.Nothing(), PlanToken: hex.EncodeToString(digest[:12])}, nil
}

func (s *Service) getRollback(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	body, err := s.plan(c, c.QueryParam("version"))
	if err != nil {
		return err
	}
	return s.answer(c, v, false, body, &body.Meta)
}

func (s *Service) rollBack(r request) (api.Done, error) {
	if r.fields["reason"] == "" {
		return api.Done{}, badRequest("the reason is missing")
	}
	plan, err := s.plan(r, r.fields["version"])
	if err != nil {
		return api.Done{}, err
	}
	name := plan.Dataset
	switch {
	case plan.PlanToken != r.fields["plan_token"]:
		return api.Done{}, refuse(http.StatusConflict, codePlanStale,
			fmt.Sprintf("the plan that was looked at is not what would happen now: %s would go from %s back to %s", name, plan.Current.ID, plan.Target.ID),
			"look at it again, /v1/datasets/"+string(name)+"/rollback, and confirm that")
	case !plan.Needed:
		return s.done(false, "%s is what people read already.", plan.Target.ID)
	}
	run, err := s.opts.Rollbacks.Rollback(r.Request().Context(), plan.Rollback, r.who.actor(), r.fields["reason"])
	if err != nil {
		return api.Done{}, err
	}
	return s.done(true, "Run %s brings %s back to %s.", run, name, plan.Target.ID)
}

func (s *Service) withdraw(r request) (api.Done, error) {
	return s.judgeDay(r, s.opts.Acts.Withdraw, "is withdrawn.")
}

func (s *Service) reinstate(r request) (api.Done, error) {
	return s.judgeDay(r, s.opts.Acts.Reinstate, "is not withdrawn any more.")
}

func (s *Service) judgeDay(r request, say func(context.Context, elt.DatasetName, elt.Date, string, string) (bool, error), now string) (api.Done, error) {
	_, set, err := s.lookAt(r)
	if err != nil {
		return api.Done{}, err
	}
	date, err := dateText("date", r.Param("date"))
	if err != nil {
		return api.Done{}, err
	}
	if r.fields["reason"] == "" {
		return api.Done{}, badRequest("the reason is missing")
	}
	changed, err := say(r.Request().Context(), set.Name, date, r.who.actor(), r.fields["reason"])
	if err != nil {
		return api.Done{}, err
	}
	return s.done(changed, "%s of %s %s", set.Name, date, now)
}
