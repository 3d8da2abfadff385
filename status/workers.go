package status

import (
	"fmt"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

func (s *Service) getWorkers(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	workers, err := s.calendar.Workers(c.Request().Context())
	if err != nil {
		return ledgerAway(err)
	}
	body := &api.Workers{Workers: append([]elt.Worker{}, workers...)}
	return s.answer(c, v, false, body, &body.Meta)
}

// workerRow is a process that works, as the page of schedules lists it.
type workerRow struct {
	Name, Small string
	Pill        pill
	Kinds       string
	Since, Seen stamp
	Does        []workerStep
}

type workerStep struct{ Text, Href string }

// workerRows are the processes that work. Nobody is told of the one that does everything by itself.
func (s *Service) workerRows(c echo.Context, v view) ([]workerRow, error) {
	if s.calendar == nil {
		return nil, nil
	}
	workers, err := s.calendar.Workers(c.Request().Context())
	if err != nil {
		return nil, ledgerAway(err)
	}
	if len(workers) < 2 {
		return nil, nil
	}
	rows := make([]workerRow, len(workers))
	for i, w := range workers {
		rows[i] = workerRow{
			Name: w.Host, Small: fmt.Sprintf("daybreak %s %s, process %d", w.Command, w.Version, w.Process), Kinds: kindsOf(w),
			Since: stampOf(w.StartedAt, v.location, v.today()), Seen: stampOf(w.SeenAt, v.location, v.today()),
		}
		switch {
		case !w.Alive:
			rows[i].Pill = pill{"unknown", "?", "Silent"}
		case w.Leads:
			rows[i].Pill = pill{"ready", "★", "Leads"}
		default:
			rows[i].Pill = pill{"ready", "✓", "Alive"}
		}
		for _, id := range w.Steps {
			run, step, _ := strings.Cut(string(id), "/")
			kind, dataset, _ := strings.Cut(step, "/")
			rows[i].Does = append(rows[i].Does, workerStep{capital(strings.TrimSpace(doing(elt.StepKind(kind)) + " " + dataset)), "/runs/" + run})
		}
	}
	return rows, nil
}

// kindsOf says at what a worker works, and at how much at the same time.
func kindsOf(w elt.Worker) string {
	switch {
	case len(w.Kinds) == 0:
		return "leaves the work to others"
	case len(w.Kinds) == len(elt.StepKinds()):
		return fmt.Sprintf("everything, %d at once", w.Threads)
	}
	names := make([]string, len(w.Kinds))
	for i, k := range w.Kinds {
		names[i] = string(k)
	}
	return fmt.Sprintf("%s; %d at once", strings.Join(names, ", "), w.Threads)
}
