package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/eta"
)

// PastLedger is the ledger as it was at a moment.
type PastLedger interface {
	Ledger
	CalendarLedger
	remarkLedger
}

// remarkLedger tells what people said.
type remarkLedger interface {
	Remarks(ctx context.Context, incident elt.IncidentID, dataset elt.DatasetName, limit int) ([]elt.Remark, error)
}

// Of these routes ?as_of= can be asked. Gates, streams, feeds and metrics are about now alone: a job must not start
// because of what was ready once.
var pastRoutes = []string{
	"/", "/datasets/:dataset", "/datasets/:dataset/:date", "/lineage", "/runs", "/runs/:run", "/incidents", "/incidents/:incident", "/schedules", "/schedules/:schedule",
	"/v1/summary", "/v1/datasets", "/v1/datasets/:dataset", "/v1/datasets/:dataset/days", "/v1/datasets/:dataset/days/:date",
	"/v1/lineage", "/v1/datasets/:dataset/lineage", "/v1/runs", "/v1/runs/:run", "/v1/runs/:run/steps",
	"/v1/incidents", "/v1/incidents/:incident/updates", "/v1/datasets/:dataset/notes",
	"/v1/schedules", "/v1/schedules/:schedule/ticks", "/v1/maintenance",
}

const asOf = "as_of"

// codeAsOfNotHere is for a route that is about now alone.
const codeAsOfNotHere elt.Code = "as_of_not_here"

// pastsKept is how many moments are kept in memory: whoever looks at one follows its links.
const pastsKept = 2

// pasts are the services as of the moments that were asked for last, the latest last. One is made at a time.
type pasts struct {
	making chan struct{}
	mu     sync.Mutex
	kept   []*Service
}

func newPasts() *pasts { return &pasts{making: make(chan struct{}, 1)} }

func (p *pasts) of(moment time.Time) *Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.kept, func(s *Service) bool { return s.moment.Equal(moment) })
	if i < 0 {
		return nil
	}
	s := p.kept[i]
	p.kept = append(slices.Delete(p.kept, i, i+1), s)
	return s
}

func (p *pasts) keep(s *Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, s)
	if extra := len(p.kept) - pastsKept; extra > 0 {
		p.kept = slices.Delete(p.kept, 0, extra)
	}
}

// past has requests with ?as_of= answered by the service as it was then.
func (s *Service) past(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		text := ""
		if strings.Contains(c.Request().URL.RawQuery, asOf) { // most requests ask nothing, and pay nothing
			text = c.QueryParam(asOf)
		}
		if text == "" {
			return next(c)
		}
		if method := c.Request().Method; method != http.MethodGet && method != http.MethodHead {
			return next(c) // nothing is done in the past
		}
		if !slices.Contains(pastRoutes, c.Path()) {
			return refuse(http.StatusBadRequest, codeAsOfNotHere, "this address is about now alone", "leave as_of out; days, datasets, runs and incidents can be asked as they were")
		}
		moment, err := s.momentOf(text)
		if err != nil {
			return err
		}
		then, err := s.asItWas(c.Request().Context(), moment)
		if err != nil {
			return err
		}
		then.handler.ServeHTTP(c.Response(), c.Request())
		return nil
	}
}

// momentOf reads a moment as programs write it, or as a form's field does, which is meant in the service's own zone.
func (s *Service) momentOf(text string) (time.Time, error) {
	for _, written := range []string{text, strings.Replace(text, " ", "+", 1)} { // a + that nobody escaped
		if t, err := time.Parse(time.RFC3339Nano, written); err == nil && t.Year() > 1970 && t.Year() < 9998 {
			return t.UTC().Truncate(time.Microsecond), nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, text, s.opts.Location); err == nil && t.Year() > 1970 && t.Year() < 9998 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, badRequest("as_of=%q is not a moment: write it as 2026-01-05T06:10:00Z", shortened(text))
}

// asItWas returns the service as of a moment: the same one, over the ledger as it was then.
func (s *Service) asItWas(ctx context.Context, moment time.Time) (*Service, error) {
	if s.opts.Past == nil {
		return nil, refuse(http.StatusBadRequest, codeAsOfNotHere, "this service knows nothing but now", "leave as_of out")
	}
	if then := s.pasts.of(moment); then != nil {
		return then, nil
	}
	select {
	case s.pasts.making <- struct{}{}:
		defer func() { <-s.pasts.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if then := s.pasts.of(moment); then != nil {
		return then, nil
	}
	ledger, err := s.opts.Past(ctx, moment)
	if err != nil {
		return nil, pastRefusal(err)
	}
	then := *s
	then.moment, then.opts.Ledger, then.said = moment, ledger, ledger
	if s.calendar != nil {
		then.calendar = ledger
	}
	then.now = func() time.Time { return moment }
	then.waiters = newWaiters(then.now) // who waited then nobody knows
	then.feed = &feed{
		ledger: ledger, schedule: s.nextTicks, location: s.opts.Location, now: then.now, log: s.log,
		stale: s.opts.StaleAfter, observe: func([]elt.Event) {}, changed: make(chan struct{}),
	}
	if err := then.feed.check(ctx); err != nil {
		return nil, ledgerAway(err)
	}
	then.estimateThen(ctx)
	then.handler = then.newPastHandler()
	s.pasts.keep(&then)
	return &then, nil
}

// glanceLimit is how long it may take to learn what could be expected then. Without it the page tells of deadlines and
// usual times.
const glanceLimit = 5 * time.Second

// estimateThen makes the estimates again that could be made then.
func (s *Service) estimateThen(ctx context.Context) {
	s.estimator = &estimator{Estimator: eta.NewGlance(s.opts.Ledger)}
	within, cancel := context.WithTimeout(ctx, glanceLimit)
	defer cancel()
	if v, ok := s.current(); ok {
		if _, pending := v.asks(); !pending {
			return
		}
	}
	err := s.Estimate(within)
	if err == nil {
		err = s.feed.check(within)
	}
	if err != nil {
		s.log.Warn("what could be expected then is not known", "moment", s.moment, "error", err)
	}
}

func pastRefusal(err error) error {
	e, ok := errors.AsType[*elt.Error](err)
	switch {
	case ok && e.Code == "as_of_forgotten":
		return &problem{status: http.StatusGone, err: e}
	case ok && e.Class == elt.Config:
		return &problem{status: http.StatusBadRequest, err: e}
	}
	return ledgerAway(err)
}

// pastFrame is what a page says of the moment as of which it is.
type pastFrame struct {
	On    string // "Tuesday 5 January 2026, 06:10:00 CET"
	Local string // as the field of a form has it
	Leave string // the address of the same page as it is now
}

// asked is what a page's picker of a moment leaves as it is.
type asked struct{ Name, Value string }

// frameAsOf fills in what a page says of moments: as of which it is, and the picker of another.
func (s *Service) frameAsOf(c echo.Context, f *frame) {
	if s.opts.Past == nil || !slices.Contains(pastRoutes, c.Path()) {
		return
	}
	u := *c.Request().URL
	query := u.Query()
	query.Del(asOf)
	query.Del("cursor")
	u.RawQuery = query.Encode()
	f.Picker = u.Path
	for _, name := range slices.Sorted(maps.Keys(query)) {
		f.PickerKeeps = append(f.PickerKeeps, asked{name, query.Get(name)})
	}
	if s.moment.IsZero() {
		return
	}
	local := s.moment.In(s.opts.Location)
	f.Past = &pastFrame{On: local.Format("Monday 2 January 2006, 15:04:05 MST"), Local: local.Format("2006-01-02T15:04:05"), Leave: u.RequestURI()}
	f.Known = false // its age says nothing
}

// leaving is how the link begins that leads back to now.
var leaving = []byte(`<a class="leave"`)

var (
	ownLink = regexp.MustCompile(`(<a [^>]*?href=")(/[^"]*)"`)
	getForm = regexp.MustCompile(`<form class="find"[^>]*>`)
)

// keepMoment has a page's links and its search lead to pages as of the same moment.
func (s *Service) keepMoment(page []byte) []byte {
	value := s.moment.Format(time.RFC3339Nano)
	page = ownLink.ReplaceAllFunc(page, func(link []byte) []byte {
		part := ownLink.FindSubmatch(link)
		if bytes.HasPrefix(link, leaving) {
			return link
		}
		address := html.UnescapeString(string(part[2]))
		u, err := url.Parse(address)
		if err != nil || slices.ContainsFunc([]string{"/static/", "/openapi.json", "/metrics", "/feed.", "/badge/", "/login", "/v1/", "/audit", "/tokens", "/backfills"}, func(p string) bool { return strings.HasPrefix(u.Path, p) }) {
			return link
		}
		query := u.Query()
		if query.Has(asOf) {
			return link
		}
		query.Set(asOf, value)
		u.RawQuery = query.Encode()
		return []byte(string(part[1]) + html.EscapeString(u.String()) + `"`)
	})
	return getForm.ReplaceAllFunc(page, func(form []byte) []byte {
		return fmt.Appendf(slices.Clip(form), `<input type="hidden" name="%s" value="%s">`, asOf, value) // what follows it in the page is not its to write on
	})
}
