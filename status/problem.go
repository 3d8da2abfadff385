package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// The codes of everything that the service refuses. docs/runbook.md explains each.
const (
	codeBadRequest      elt.Code = "bad_request"       // a parameter cannot be read
	codeBadNeed         elt.Code = "bad_need"          // need= is not dataset@date
	codeUnauthorized    elt.Code = "unauthorized"      // no token, or a wrong one
	codeForbidden       elt.Code = "forbidden"         // a token whose role is not enough
	codeTooManyRequests elt.Code = "too_many_requests" // one caller's requests beyond the limit
	codeNothingToRetry  elt.Code = "nothing_to_retry"  // no run has tried to bring the day
	codePlanStale       elt.Code = "plan_stale"        // something else would happen than what was looked at
	codeDatasetUnknown  elt.Code = "dataset_unknown"   // no dataset of that name
	codeDayUnknown      elt.Code = "day_unknown"       // the ledger knows nothing of that day
	codeScheduleUnknown elt.Code = "schedule_unknown"  // no schedule of that name
	codeRunUnknown      elt.Code = "run_unknown"       // no run of that ID
	codeRouteUnknown    elt.Code = "route_unknown"     // no such path
	codeMethodRefused   elt.Code = "method_refused"    // the path does not take that method
	codeCrossOrigin     elt.Code = "cross_origin"      // another site sent the form
	codeTooLarge        elt.Code = "too_large"         // the request's body is over 64 KiB
	codeStatusStale     elt.Code = "status_stale"      // the last look at the ledger is too long ago to vouch for anything
	codeNothingKnownYet elt.Code = "nothing_known_yet" // the ledger has not been read once
	codeLedgerAway      elt.Code = "ledger_away"       // the ledger did not answer this request
	codeInternal        elt.Code = "internal_error"    // a fault of Daybreak
)

// problem is a refusal: the HTTP status, and the sentence, code and hint that go with it.
type problem struct {
	status     int
	retryAfter int // seconds; 0 for none
	err        *elt.Error
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

func refuse(status int, code elt.Code, what, do string) *problem {
	class := elt.Config
	if status >= http.StatusInternalServerError {
		class = elt.Transient
	}
	return &problem{status: status, err: &elt.Error{Code: code, Class: class, What: what, Do: do}}
}

// unavailable is a refusal that passes by itself.
func unavailable(code elt.Code, what, do string, cause error) *problem {
	p := refuse(http.StatusServiceUnavailable, code, what, do)
	p.retryAfter, p.err.Err = 5, cause
	return p
}

func ledgerAway(err error) *problem {
	return unavailable(codeLedgerAway, "the ledger did not answer", "nothing: ask again in a few seconds; if it stays, see the service's log and the ledger's server", err)
}

// asProblem turns whatever a handler or echo returned into a refusal.
func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if h, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch h.Code {
		case http.StatusNotFound:
			return refuse(h.Code, codeRouteUnknown, "there is nothing at this address", "see /openapi.json for what there is")
		case http.StatusMethodNotAllowed:
			return refuse(h.Code, codeMethodRefused, "this address does not take that method", "use GET")
		case http.StatusRequestEntityTooLarge:
			return refuse(h.Code, codeTooLarge, "the request's body is over 64 KiB", "send less")
		}
		if h.Code < http.StatusInternalServerError {
			return refuse(h.Code, codeBadRequest, strings.ToLower(http.StatusText(h.Code)), "see /openapi.json for what is expected")
		}
	}
	p = refuse(http.StatusInternalServerError, codeInternal, "something went wrong inside the status service", "report it with the service's log")
	p.err.Class, p.err.Err = elt.Internal, err
	return p
}

// handleError answers every error of every route: a page for people, problem+json for everybody else.
func (s *Service) handleError(err error, c echo.Context) {
	if c.Response().Committed || c.Request().Context().Err() != nil {
		return // the client left, or the stream has begun: nobody would read an answer
	}
	p := asProblem(err)
	if p.status >= http.StatusInternalServerError {
		s.log.Error("request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "code", p.err.Code, "error", errorText(p))
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="daybreak"`)
	}
	if wantsPage(c.Request()) {
		if err := s.errorPage(c, p); err != nil {
			s.log.Error("error page failed", "error", err)
		}
		return
	}
	meta := s.meta()
	if p.status == http.StatusUnauthorized {
		meta = nil // not even how fresh the data is
	}
	if err := writeProblem(c.Response(), c.Request(), p, meta); err != nil {
		s.log.Debug("answer not delivered", "error", err)
	}
}

// errorText is the sentence with its cause; the cause is for the log, never for the answer.
func errorText(p *problem) string {
	if p.err.Err != nil {
		return p.err.What + ": " + p.err.Err.Error()
	}
	return p.err.What
}

func writeProblem(w http.ResponseWriter, r *http.Request, p *problem, meta *api.Meta) error {
	body := api.ProblemDetails{
		Type:  "https://github.com/daybreak-data/daybreak/blob/main/docs/runbook.md#" + string(p.err.Code),
		Title: http.StatusText(p.status), Status: p.status, Detail: sentence(p.err.What),
		Code: p.err.Code, Do: p.err.Do, Instance: r.URL.Path,
	}
	if meta != nil {
		body.AsOf, body.EvaluatorLag = &meta.AsOf, &meta.EvaluatorLag
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.status)
	_, err := w.Write(buf.Bytes())
	return err
}

// wantsPage reports whether a person with a browser asks for something that is not part of the API.
func wantsPage(r *http.Request) bool {
	path := r.URL.Path
	for _, machine := range []string{"/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/feed.atom", "/feed.json", "/badge/", "/static/"} {
		if strings.HasPrefix(path, machine) || path+"/" == machine {
			return false
		}
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
