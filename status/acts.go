package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// RunActs is what operators do with runs. Like every act, each is in the audit trail with who asked.
type RunActs interface {
	RetryRun(ctx context.Context, id elt.RunID, actor string) (retried int, err error)
	CancelRun(ctx context.Context, id elt.RunID, actor, reason string) error
}

// IncidentActs is what people say and do about incidents and datasets.
type IncidentActs interface {
	AcknowledgeIncident(ctx context.Context, id elt.IncidentID, actor string) (changed bool, err error)
	Remark(ctx context.Context, r elt.Remark) (elt.Remark, error)
	RemoveRemark(ctx context.Context, id elt.RemarkID, actor string) error
	Remarks(ctx context.Context, incident elt.IncidentID, dataset elt.DatasetName, limit int) ([]elt.Remark, error)
}

// DayActs is what admins say of a day that has come.
type DayActs interface {
	Withdraw(ctx context.Context, d elt.DatasetName, date elt.Date, actor, reason string) (changed bool, err error)
	Reinstate(ctx context.Context, d elt.DatasetName, date elt.Date, actor, reason string) (changed bool, err error)
}

// TokenActs is what admins do.
type TokenActs interface {
	DayActs
	CreateToken(ctx context.Context, t elt.Token, digest elt.Digest) (elt.Token, error)
	RevokeToken(ctx context.Context, id elt.TokenID, actor string) (elt.Token, error)
	Tokens(ctx context.Context) ([]elt.Token, error)
}

// RequestLedger recognises requests that are repeated, and keeps the audit trail.
type RequestLedger interface {
	BeginRequest(ctx context.Context, actor, key string, digest elt.Digest) (status int, answer string, err error)
	EndRequest(ctx context.Context, actor, key string, status int, answer string) error
	AuditTrail(ctx context.Context, before int64, limit int) (entries []elt.AuditEntry, next int64, err error)
}

// MessageLedger tells who was told what.
type MessageLedger interface {
	Messages(ctx context.Context, incident elt.IncidentID, limit int) ([]elt.Message, error)
	LineageStates(ctx context.Context) ([]elt.LineageState, error)
}

// TrailLedger tells what was asked and who was told.
type TrailLedger interface {
	RequestLedger
	MessageLedger
}

// ActLedger is all that acts ask of the ledger.
type ActLedger interface {
	RunActs
	IncidentActs
	TokenActs
	TrailLedger
}

// request is what an act is given: who asks, and the fields of the body.
type request struct {
	echo.Context
	who    caller
	fields map[string]string
}

// act is something that people and programs can make Daybreak do: POST to /v1 and its path with JSON, or a form of a
// page to the path alone.
type act struct {
	path   string
	caller string
	role   elt.Role
	fields []parameter // of the body; all are text
	do     func(s *Service, r request) (api.Done, error)
	// refuses is what the ledger refuses it with, beyond a name that it does not know.
	refuses refusals
}

// fieldLimit is how long a reason, a remark or a name may be.
const fieldLimit = 2000

// acts is the table of everything that changes something.
func acts() []act {
	reason := parameter{"reason", "why, for the audit trail and for whoever asks"}
	text := parameter{"text", "what others should know, at most 2,000 characters"}
	running, resolved := refusals{http.StatusConflict: {"run_running"}}, refusals{http.StatusConflict: {"incident_resolved"}}
	return []act{
		{"/runs/:run/retry", "whoever mended the cause: the failed steps and what they held up run again", elt.Operator, nil, (*Service).retryRun, running},
		{"/runs/:run/cancel", "whoever wants nothing more of the run to start", elt.Operator, []parameter{reason}, (*Service).cancelRun, refusals{http.StatusConflict: {"run_not_running"}}},
		{"/datasets/:dataset/days/:date/retry", "whoever wants that day, not knowing its run", elt.Operator, nil, (*Service).retryDay, refusals{http.StatusConflict: {"run_running", codeNothingToRetry}}},
		{"/datasets/:dataset/notes", "whoever pins a note on a dataset, or on the day of date", elt.Operator, []parameter{text, {"date", "the data date; without it, the whole dataset"}}, (*Service).pinNote, nil},
		{"/notes/:remark/remove", "whoever takes a note down", elt.Operator, nil, (*Service).removeNote, nil},
		{"/incidents/:incident/acknowledge", "whoever looks after it from now on", elt.Operator, nil, (*Service).acknowledge, resolved},
		{"/incidents/:incident/updates", "whoever has news for those who wait", elt.Operator, []parameter{text}, (*Service).updateIncident, nil},
		{"/tokens", "an admin who lets somebody in; the text is in the answer, once", elt.Admin,
			[]parameter{{"name", "whose it is"}, {"role", "viewer, operator or admin"}, {"expires_in", "such as 2160h; 0 is never; 2160h by default"}}, (*Service).createToken, refusals{http.StatusBadRequest: {"token_expired"}}},
		{"/tokens/:token/revoke", "an admin who shuts somebody out", elt.Admin, nil, (*Service).revokeToken, nil},
	}
}

// routes are those of an act.
func (a act) routes(s *Service) []route {
	return []route{
		{method: http.MethodPost, path: "/v1" + a.path, handler: s.actByProgram(a), caller: a.caller, role: a.role, answers: api.Done{}, body: a.fields, refuses: a.refuses},
		{method: http.MethodPost, path: a.path, handler: s.actByForm(a), caller: "a page's form: " + a.caller, role: a.role, body: a.fields, refuses: a.refuses},
	}
}

var idempotencyKey = regexp.MustCompile(`^[\x21-\x7e]{1,200}$`)

// actByProgram carries out an act that was sent as JSON. With an Idempotency-Key, a repeated request is answered as the
// first one was, and nothing is done again.
func (s *Service) actByProgram(a act) echo.HandlerFunc {
	return func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		fields, err := jsonFields(c, body, a.fields)
		if err != nil {
			return err
		}
		r := request{Context: c, who: callerOf(c), fields: fields}
		key := c.Request().Header.Get("Idempotency-Key")
		if len(c.Request().Header.Values("Idempotency-Key")) == 0 {
			done, err := a.do(s, r)
			if err != nil {
				return asRefusal(err)
			}
			return s.write(c, done)
		}
		if !idempotencyKey.MatchString(key) {
			return badRequest("the Idempotency-Key is not one of 1 to 200 printable characters without spaces")
		}
		return s.once(a, r, key, body)
	}
}

// once carries out the act unless this request was carried out before.
func (s *Service) once(a act, r request, key string, body []byte) error {
	// The client may leave in the middle of it: the act and its answer are kept all the same.
	ctx := context.WithoutCancel(r.Request().Context())
	actor := r.who.actor()
	digest := elt.DigestOf(r.Request().Method + " " + r.Request().URL.Path + "\n" + string(body))
	status, answer, err := s.opts.Acts.BeginRequest(ctx, actor, key, digest)
	if err != nil {
		return asRefusal(err)
	}
	if status != 0 {
		r.Response().Header().Set("Idempotency-Replayed", "true")
		return r.Blob(status, "application/json; charset=utf-8", []byte(answer))
	}
	done, err := a.do(s, r)
	if err != nil {
		return asRefusal(errors.Join(err, s.opts.Acts.EndRequest(ctx, actor, key, 0, "")))
	}
	kept := done
	kept.Token = "" // shown once: a repeated request cannot see it again
	b, err := encode(kept)
	if err != nil {
		return err
	}
	if err := s.opts.Acts.EndRequest(ctx, actor, key, http.StatusOK, string(b)); err != nil {
		return ledgerAway(err)
	}
	return s.write(r, done)
}

// actByForm carries out an act that a page's form sent, and leads back to the page.
func (s *Service) actByForm(a act) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := wantsForm(c.Request()); err != nil {
			return err
		}
		fields := make(map[string]string)
		for _, p := range a.fields {
			fields[p.name] = strings.TrimSpace(c.FormValue(p.name))
		}
		if err := checkFields(fields, a.fields); err != nil {
			return err
		}
		r := request{Context: c, who: callerOf(c), fields: fields}
		done, err := a.do(s, r)
		if err != nil && a.path == startBackfills {
			return s.planAgain(r, err)
		}
		if err != nil {
			return asRefusal(err)
		}
		if done.Backfill != nil {
			return c.Redirect(http.StatusSeeOther, backfillHref(done.Backfill.ID))
		}
		if done.Token != "" {
			return s.tokensPageWith(c, done)
		}
		return c.Redirect(http.StatusSeeOther, localPath(c.FormValue("next")))
	}
}

// wantsForm refuses what no form of a page sends.
func wantsForm(r *http.Request) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != echo.MIMEApplicationForm {
		return refuse(http.StatusUnsupportedMediaType, codeBadRequest, "this takes what a page's form sends", "programs post JSON to the paths under /v1")
	}
	return nil
}

// jsonFields reads the body of an act: an object of texts, with no other fields than the act's; nothing is an empty one.
func jsonFields(c echo.Context, body []byte, known []parameter) (map[string]string, error) {
	fields := make(map[string]string)
	if len(bytes.TrimSpace(body)) == 0 {
		return fields, nil
	}
	if kind, _, err := mime.ParseMediaType(c.Request().Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, refuse(http.StatusUnsupportedMediaType, codeBadRequest, "the body is not announced as JSON", "send Content-Type: application/json")
	}
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, badRequest("the body is not a JSON object of texts")
	}
	return fields, checkFields(fields, known)
}

func checkFields(fields map[string]string, known []parameter) error {
	for name, value := range fields {
		// What a database cannot keep is refused here, not there.
		fields[name] = strings.ToValidUTF8(value, "\uFFFD")
		ok := false
		for _, p := range known {
			ok = ok || p.name == name
		}
		switch {
		case !ok:
			return badRequest("the body has a field %q, which this does not take", shortened(name))
		case utf8.RuneCountInString(value) > fieldLimit:
			return badRequest("the field %s has %d characters, of at most %d", name, utf8.RuneCountInString(value), fieldLimit)
		case !plainText.MatchString(value):
			return badRequest("the field %s holds a NUL character", name)
		}
	}
	return nil
}

// actor is what the audit trail calls the caller.
func (c caller) actor() string {
	if c.Token != "" {
		return c.Name + " (" + string(c.Token) + ")"
	}
	return c.Name
}

// asRefusal gives an error of the ledger the status that its class deserves.
func asRefusal(err error) error {
	if _, ok := errors.AsType[*problem](err); ok {
		return err
	}
	e, ok := errors.AsType[*elt.Error](err)
	if !ok {
		return err
	}
	status := http.StatusBadRequest
	switch {
	case strings.HasSuffix(string(e.Code), "_unknown"):
		status = http.StatusNotFound
	case e.Class == elt.Conflict:
		status = http.StatusConflict
	case e.Class == elt.Transient, e.Class == elt.Quota:
		return ledgerAway(err)
	case e.Class == elt.Internal:
		return err
	}
	return &problem{status: status, err: e}
}

// done is the answer to an act.
func (s *Service) done(changed bool, format string, args ...any) (api.Done, error) {
	d := api.Done{Done: fmt.Sprintf(format, args...), Changed: changed}
	if v, ok := s.current(); ok {
		d.Meta = v.meta()
	}
	return d, nil
}
