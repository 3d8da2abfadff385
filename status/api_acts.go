package status

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

func (s *Service) retryRun(r request) (api.Done, error) {
	run, err := idParam(r, "run")
	if err != nil {
		return api.Done{}, err
	}
	return s.retry(r, elt.RunID(run))
}

func (s *Service) retry(r request, run elt.RunID) (api.Done, error) {
	n, err := s.opts.Acts.RetryRun(r.Request().Context(), run, r.who.actor())
	switch {
	case err != nil:
		return api.Done{}, err
	case n == 0:
		return s.done(false, "Run %s has nothing that failed.", run)
	}
	return s.done(true, "%s of run %s will run again.", capital(counted(n, "step")), run)
}

// retryDay retries the run that was to bring the day.
func (s *Service) retryDay(r request) (api.Done, error) {
	v, set, err := s.lookAt(r)
	if err != nil {
		return api.Done{}, err
	}
	date, err := dateText("date", r.Param("date"))
	if err != nil {
		return api.Done{}, err
	}
	d, ok := v.day(set.Name, date)
	switch {
	case !ok:
		return api.Done{}, refuse(http.StatusNotFound, codeDayUnknown, fmt.Sprintf("nothing is known of %s on %s", set.Name, date), "see its /days")
	case d.Run == "":
		return api.Done{}, refuse(http.StatusConflict, codeNothingToRetry, fmt.Sprintf("no run has tried to bring %s of %s yet", set.Name, date), "start one: daybreak run --date "+date.String())
	}
	return s.retry(r, d.Run)
}

func (s *Service) cancelRun(r request) (api.Done, error) {
	run, err := idParam(r, "run")
	if err != nil {
		return api.Done{}, err
	}
	if r.fields["reason"] == "" {
		return api.Done{}, badRequest("the reason is missing")
	}
	if err := s.opts.Acts.CancelRun(r.Request().Context(), elt.RunID(run), r.who.actor(), r.fields["reason"]); err != nil {
		return api.Done{}, err
	}
	return s.done(true, "Nothing more of run %s will start.", run)
}

func (s *Service) acknowledge(r request) (api.Done, error) {
	id, err := idParam(r, "incident")
	if err != nil {
		return api.Done{}, err
	}
	changed, err := s.opts.Acts.AcknowledgeIncident(r.Request().Context(), elt.IncidentID(id), r.who.Name)
	if err != nil {
		return api.Done{}, err
	}
	return s.done(changed, "%s looks after %s.", r.who.Name, id)
}

func (s *Service) updateIncident(r request) (api.Done, error) {
	id, err := idParam(r, "incident")
	if err != nil {
		return api.Done{}, err
	}
	return s.remark(r, elt.Remark{Incident: elt.IncidentID(id)})
}

func (s *Service) pinNote(r request) (api.Done, error) {
	_, set, err := s.lookAt(r)
	if err != nil {
		return api.Done{}, err
	}
	note := elt.Remark{Dataset: set.Name}
	if r.fields["date"] != "" {
		if note.Date, err = dateText("date", r.fields["date"]); err != nil {
			return api.Done{}, err
		}
	}
	return s.remark(r, note)
}

func (s *Service) remark(r request, note elt.Remark) (api.Done, error) {
	if note.Text = r.fields["text"]; note.Text == "" {
		return api.Done{}, badRequest("the text is missing")
	}
	note.Actor = r.who.Name
	kept, err := s.opts.Acts.Remark(r.Request().Context(), note)
	if err != nil {
		return api.Done{}, err
	}
	done, err := s.done(true, "It is kept.")
	done.Remark = &kept
	return done, err
}

func (s *Service) removeNote(r request) (api.Done, error) {
	id, err := idParam(r, "remark")
	if err != nil {
		return api.Done{}, err
	}
	if err := s.opts.Acts.RemoveRemark(r.Request().Context(), elt.RemarkID(id), r.who.actor()); err != nil {
		return api.Done{}, err
	}
	return s.done(true, "It is taken down.")
}

// tokenLife is for how long a token is valid when nobody says otherwise.
const tokenLife = 90 * 24 * time.Hour

func (s *Service) createToken(r request) (api.Done, error) {
	text, id := elt.NewTokenText()
	t := elt.Token{ID: id, Name: r.fields["name"], Role: elt.Role(r.fields["role"]), CreatedBy: r.who.actor()}
	if t.Name == "" || utf8.RuneCountInString(t.Name) > 80 {
		return api.Done{}, badRequest("a token needs a name of at most 80 characters: the team or program that will use it")
	}
	if !t.Role.Includes(elt.Viewer) {
		return api.Done{}, badRequest("role=%q is none of viewer, operator and admin", shortened(string(t.Role)))
	}
	life := tokenLife
	if given := r.fields["expires_in"]; given != "" {
		if !lifeText.MatchString(given) {
			return api.Done{}, badRequest("expires_in=%q is not a time such as 720h", shortened(given))
		}
		var err error
		if life, err = time.ParseDuration(given); err != nil {
			return api.Done{}, badRequest("expires_in=%q is not a time such as 720h", shortened(given))
		}
	}
	if life > 0 {
		t.ExpiresAt = s.now().Add(life)
	}
	t, err := s.opts.Acts.CreateToken(r.Request().Context(), t, elt.DigestOf(text))
	if err != nil {
		return api.Done{}, err
	}
	done, err := s.done(true, "%s may do what a %s may.", t.Name, t.Role)
	done.Token = text
	return done, err
}

func (s *Service) revokeToken(r request) (api.Done, error) {
	id, err := idParam(r, "token")
	if err != nil {
		return api.Done{}, err
	}
	t, err := s.opts.Acts.RevokeToken(r.Request().Context(), elt.TokenID(id), r.who.actor())
	if err != nil {
		return api.Done{}, err
	}
	s.access.forget()
	return s.done(true, "Token %s of %s has ended.", t.ID, t.Name)
}

// getAudit is the trail of every act, the latest first.
func (s *Service) getAudit(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	entries, next, err := s.audit(c)
	if err != nil {
		return err
	}
	body := &api.Audit{Entries: append([]elt.AuditEntry{}, entries...)}
	if next > 0 {
		body.Next = strconv.FormatInt(next, 10)
	}
	return s.answer(c, v, false, body, &body.Meta)
}

// audit reads the page of the trail that the request names.
func (s *Service) audit(c echo.Context) (entries []elt.AuditEntry, next int64, err error) {
	limit, err := limitParam(c, 100, 500)
	if err != nil {
		return nil, 0, err
	}
	var before int64
	if text := c.QueryParam("cursor"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || !numberText.MatchString(text) {
			return nil, 0, badRequest("cursor=%q is none of an answer's next", shortened(text))
		}
	}
	entries, next, err = s.opts.Acts.AuditTrail(c.Request().Context(), before, limit)
	if err != nil {
		return nil, 0, ledgerAway(err)
	}
	return entries, next, nil
}

func (s *Service) getTokens(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	tokens, err := s.opts.Acts.Tokens(c.Request().Context())
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.Tokens{Tokens: append([]elt.Token{}, tokens...)}
	return s.answer(c, v, false, body, &body.Meta)
}

// getMessages tells who was told what of an incident, and whether it arrived.
func (s *Service) getMessages(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	limit, err := limitParam(c, 100, 500)
	if err != nil {
		return err
	}
	id, err := idParam(c, "incident")
	if err != nil {
		return err
	}
	messages, err := s.opts.Acts.Messages(c.Request().Context(), elt.IncidentID(id), limit)
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.Messages{Messages: append([]elt.Message{}, messages...)}
	return s.answer(c, v, false, body, &body.Meta)
}

// getOpenLineage tells how far events of runs were told.
func (s *Service) getOpenLineage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	states, err := s.opts.Acts.LineageStates(c.Request().Context())
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.OpenLineage{Destinations: append([]elt.LineageState{}, states...)}
	return s.answer(c, v, false, body, &body.Meta)
}

func (s *Service) getUpdates(c echo.Context) error {
	id, err := idParam(c, "incident")
	if err != nil {
		return err
	}
	return s.remarks(c, elt.IncidentID(id), "")
}

func (s *Service) getNotes(c echo.Context) error {
	_, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	return s.remarks(c, "", set.Name)
}

func (s *Service) remarks(c echo.Context, incident elt.IncidentID, dataset elt.DatasetName) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	limit, err := limitParam(c, 100, 500)
	if err != nil {
		return err
	}
	remarks, err := s.said.Remarks(c.Request().Context(), incident, dataset, limit)
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.Remarks{Remarks: append([]elt.Remark{}, remarks...)}
	return s.answer(c, v, false, body, &body.Meta)
}
