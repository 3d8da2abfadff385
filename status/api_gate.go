package status

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

const (
	mostNeeds      = 200
	standardWait   = 55 * time.Second
	longestWait    = 5 * time.Minute
	writeGrace     = 10 * time.Second
	heartbeatEvery = 15 * time.Second
)

type need struct {
	dataset elt.DatasetName
	date    elt.Date
}

// needsOf reads need=orders@2026-01-05,users@2026-01-05, given once or several times.
func needsOf(c echo.Context) ([]need, error) {
	bad := func(format string, args ...any) error {
		return refuse(http.StatusBadRequest, codeBadNeed, fmt.Sprintf(format, args...), "write need=orders@2026-01-05,users@2026-01-05")
	}
	var needs []need
	for text := range strings.SplitSeq(strings.Join(c.QueryParams()["need"], ","), ",") {
		if text == "" {
			continue
		}
		name, day, ok := strings.Cut(text, "@")
		if !ok {
			return nil, bad("need=%q names no date", shortened(text))
		}
		dataset, err := elt.ParseDatasetName(name)
		if err != nil {
			return nil, bad("need=%q does not begin with a dataset's name", shortened(text))
		}
		date, err := dateText("need", day)
		if err != nil {
			return nil, bad("need=%q does not end with a date", shortened(text))
		}
		needs = append(needs, need{dataset, date})
	}
	if len(needs) == 0 {
		return nil, bad("there is no need to check")
	}
	if len(needs) > mostNeeds {
		return nil, bad("%d needs are more than %d", len(needs), mostNeeds)
	}
	return needs, nil
}

func (s *Service) getReady(c echo.Context) error {
	needs, err := needsOf(c)
	if err != nil {
		return err
	}
	if _, err := s.look(c); err != nil {
		return err
	}
	v, _ := s.current()
	gate, err := s.gate(c.Request().Context(), v, needs)
	if err != nil {
		return err
	}
	return s.writeGate(c, v, gate)
}

// getWait answers as soon as the needs are met or have become impossible, else when the time is up.
// It looks before it waits: a need that is met already is answered at once.
func (s *Service) getWait(c echo.Context) error {
	needs, err := needsOf(c)
	if err != nil {
		return err
	}
	timeout, err := timeoutOf(c)
	if err != nil {
		return err
	}
	name, err := waiterName(c)
	if err != nil {
		return err
	}
	if _, err := s.look(c); err != nil {
		return err
	}
	defer s.waiters.join(name, needs)()
	// A server without deadlines (a test's) cannot set one either, and needs none.
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(timeout + writeGrace))
	s.metrics.waiters.Inc()
	defer s.metrics.waiters.Dec()
	ctx := c.Request().Context()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		v, _, changed := s.feed.next()
		gate, err := s.gate(ctx, v, needs)
		if err != nil {
			return err
		}
		if gate.Verdict == api.Ready || gate.Verdict == api.Impossible {
			return s.writeGate(c, v, gate)
		}
		select {
		case <-changed:
		case <-timer.C:
			gate.TimedOut = true
			return s.writeGate(c, v, gate)
		case <-s.closing:
			return unavailable(codeStatusStale, "the status service is stopping", "ask again: another one, or the same after its restart, will answer", nil)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func timeoutOf(c echo.Context) (time.Duration, error) {
	text := c.QueryParam("timeout")
	if !c.QueryParams().Has("timeout") {
		return standardWait, nil
	}
	if _, err := strconv.Atoi(text); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d > longestWait || !timeoutText.MatchString(c.QueryParam("timeout")) {
		return 0, badRequest("timeout=%q is not a duration from 0s to %s", shortened(c.QueryParam("timeout")), "5m")
	}
	return d, nil
}

// gate judges needs. Facts that are too old to vouch for anything judge nothing: 503.
func (s *Service) gate(ctx context.Context, v view, needs []need) (*api.Gate, error) {
	if v.stale {
		p := unavailable(codeStatusStale, fmt.Sprintf("the ledger was last read %s ago, so nobody can vouch for anything", span(v.lag)), "ask again as Retry-After says; if it stays, the ledger or its server is down", nil)
		return nil, p
	}
	g := &api.Gate{Verdict: api.Ready, Needs: make([]api.Need, 0, len(needs))}
	rank := map[api.Verdict]int{api.Ready: 0, api.Waiting: 1, api.Unknown: 2, api.Impossible: 3}
	for _, n := range needs {
		judged, err := s.judge(ctx, v, n)
		if err != nil {
			return nil, err
		}
		if rank[judged.Verdict] > rank[g.Verdict] {
			g.Verdict = judged.Verdict
		}
		g.Needs = append(g.Needs, judged)
	}
	g.Ready = g.Verdict == api.Ready
	if !g.Ready {
		// Jitter keeps a thousand pollers that started together from staying together.
		g.PollAfter = float64(int(100*v.pollBase(g.Needs)*(1+rand.Float64()))) / 100
	}
	return g, nil
}

// pollBase is how many seconds a poller should leave at least: a quarter of the time that is left until the last need is
// expected, between five seconds and a minute, and five where that is unknown.
func (v view) pollBase(needs []api.Need) float64 {
	const least, most = 5, 60
	left := 0.0
	for _, n := range needs {
		if n.Verdict == api.Ready || n.Day == nil {
			continue
		}
		e, ok := v.estimateOf(*n.Day)
		if !ok || !e.Known() {
			return least
		}
		left = max(left, e.Expected.Sub(v.asOf).Seconds())
	}
	return min(max(left/4, least), most)
}

func (s *Service) judge(ctx context.Context, v view, n need) (api.Need, error) {
	out := api.Need{Dataset: n.dataset, Date: n.date, Verdict: api.Waiting}
	set := v.byName[n.dataset]
	if set == nil {
		return out, v.noDataset(string(n.dataset))
	}
	snap := v.snapshot
	if !v.covers(n.date) && n.date.Before(elt.DateOf(v.fetched)) {
		var err error
		if snap, err = s.older(ctx, v, n.date, n.date); err != nil {
			return out, err
		}
	}
	today := elt.DateOf(v.at.In(set.zone))
	label := string(set.Name) + " for " + shortDate(n.date, today) + " "
	d, known := snap.day(set.Name, n.date)
	if !known {
		switch {
		case set.Retired:
			out.Verdict, out.Reason = api.Impossible, label+"will not come: the dataset is retired."
		case !set.first.IsZero() && n.date.Before(set.first):
			out.Verdict, out.Reason = api.Impossible, label+"will not come by itself: its history begins "+shortDate(set.first, today)+"."
		default:
			out.Reason = label + "is not expected yet."
		}
		return out, nil
	}
	out.Day = &d
	out.Reason = joinSentences([]string{label + snap.clause(set, d) + ".", snap.expectation(set, d)})
	switch {
	case d.Good():
		out.Verdict = api.Ready
	case d.State == elt.DayNotExpected && !set.Retired:
		if last, ok := snap.lastExpected(set, n.date); ok {
			out.Last = &last.Date
			out.Reason += " The last day that was expected is " + shortDate(last.Date, today) + ", which " + snap.clause(set, last) + "."
		}
		if !d.Comes() { // nothing comes for it, now or later
			out.Verdict = api.Impossible
		}
	case d.Impossible() || d.State == elt.DayNotExpected || set.Retired:
		out.Verdict = api.Impossible
	case d.State == elt.DayUnknown:
		out.Verdict = api.Unknown
	}
	return out, nil
}

// lastExpected returns the last day before the date that was expected, and stays so.
func (s *snapshot) lastExpected(set *dataset, before elt.Date) (elt.DayStatus, bool) {
	for _, d := range slices.Backward(s.days(set)) {
		if d.Date.Before(before) && d.State != elt.DayNotExpected {
			return d, true
		}
	}
	return elt.DayStatus{}, false
}

func (s *Service) writeGate(c echo.Context, v view, gate *api.Gate) error {
	gate.Meta = v.meta()
	c.Response().Header().Set("Cache-Control", "no-cache")
	return s.write(c, gate)
}
