package status

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

func (s *Service) getSchedules(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	all, err := s.schedules(c.Request().Context())
	if err != nil {
		return err
	}
	body := &api.Schedules{Schedules: all}
	return s.answer(c, v, false, body, &body.Meta)
}

func (s *Service) getIncidents(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	limit, err := limitParam(c, 50, 500)
	if err != nil {
		return err
	}
	open, err := yesParam(c, "open")
	if err != nil {
		return err
	}
	incidents, err := s.opts.Ledger.Incidents(c.Request().Context(), open, limit)
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.Incidents{Incidents: append([]elt.Incident{}, incidents...)}
	return s.answer(c, v, false, body, &body.Meta)
}

// getHealth says that the process answers, and nothing more.
func (s *Service) getHealth(c echo.Context) error {
	return s.write(c, api.Health{Status: "alive", Version: s.opts.Version})
}

// getReadiness says whether the service knows what it speaks of.
func (s *Service) getReadiness(c echo.Context) error {
	v, ok := s.current()
	switch {
	case !ok:
		return unavailable(codeNothingKnownYet, "the ledger has not been read yet", "wait; if it stays, see the service's log", nil)
	case v.stale:
		return unavailable(codeStatusStale, fmt.Sprintf("the ledger was last read %s ago", span(v.lag)), "see the service's log and the ledger's server", nil)
	}
	return s.write(c, api.Readiness{Meta: v.meta(), Status: "ready"})
}

func (s *Service) getMetrics(c echo.Context) error {
	// The service compresses what it answers: compressed twice, no scraper could read it.
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{Timeout: 10 * time.Second, DisableCompression: true}).ServeHTTP(c.Response(), c.Request())
	return nil
}

func (s *Service) getOpenAPI(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, "application/json; charset=utf-8", s.openAPI)
}
