package status

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

const (
	// waiterGrace is for how long a waiter is still listed after its request ended: most ask again at once.
	waiterGrace = 10 * time.Second
	// mostWaiters bounds the memory that waiters take; more of them wait without being listed.
	mostWaiters = 10_000
)

// waiters are who waits for what at this service now. They name themselves with ?as=, else they are called what their
// token is.
type waiters struct {
	now func() time.Time

	mu  sync.Mutex
	all map[waiting]*presence
}

type waiting struct {
	name string
	need need
}

type presence struct {
	since, last time.Time
	requests    int // under way
}

func newWaiters(now func() time.Time) *waiters {
	return &waiters{now: now, all: make(map[waiting]*presence)}
}

// join lists somebody until leave is called.
func (w *waiters) join(name string, needs []need) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.purge(now)
	var mine []*presence
	for _, n := range needs {
		key := waiting{name, n}
		p := w.all[key]
		if p == nil {
			if len(w.all) >= mostWaiters {
				break
			}
			p = &presence{since: now}
			w.all[key] = p
		}
		p.requests++
		mine = append(mine, p)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range mine {
			p.requests--
			p.last = w.now()
		}
	}
}

func (w *waiters) purge(now time.Time) {
	for key, p := range w.all {
		if p.gone(now) {
			delete(w.all, key)
		}
	}
}

func (p *presence) gone(now time.Time) bool {
	return p.requests == 0 && now.Sub(p.last) > waiterGrace
}

// of returns who waits for days of the dataset that are not there, whoever came first at the head.
func (w *waiters) of(d elt.DatasetName, ready func(elt.Date) bool) []api.Waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	out := []api.Waiter{}
	for key, p := range w.all {
		if key.need.dataset == d && !p.gone(now) && !ready(key.need.date) {
			out = append(out, api.Waiter{Name: key.name, Date: key.need.date, Since: p.since})
		}
	}
	slices.SortFunc(out, func(a, b api.Waiter) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Name, b.Name), strings.Compare(a.Date.String(), b.Date.String()))
	})
	return out
}

// waiterName is what a request that waits calls itself.
func waiterName(c echo.Context) (string, error) {
	name := strings.TrimSpace(c.QueryParam("as"))
	if !waiterText.MatchString(name) {
		return "", badRequest("as=%q is not a name of at most 80 printable characters", shortened(name))
	}
	return cmp.Or(name, callerOf(c).Name, "somebody"), nil
}

// waitersOf lists who waits for the dataset.
func (s *Service) waitersOf(v view, set *dataset) []api.Waiter {
	return s.waiters.of(set.Name, func(date elt.Date) bool {
		d, ok := v.day(set.Name, date)
		return ok && d.Good()
	})
}

func (s *Service) getWaiters(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	body := &api.Waiters{Waiters: s.waitersOf(v, set)}
	return s.answer(c, v, false, body, &body.Meta)
}
