package ledger_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// Whatever a few workers do with a run's steps in whatever order, the ledger answers as a small model of
// leases does, and stays whole.
func TestLeasesFollowTheirModel(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		var runs atomic.Int64
		property.Check(t, func(rt *rapid.T) {
			n := runs.Add(1)
			run, steps, days := night(fmt.Sprintf("run-%d", n), day("2000-01-01").AddDays(int(n)))
			if _, _, err := l.CreateRun(t.Context(), run, steps[:3], days); err != nil {
				rt.Fatal(err)
			}
			m := &model{T: rt, t: t, l: l, run: run.ID, state: elt.RunRunning}
			for _, s := range steps[:3] {
				m.steps = append(m.steps, &modelStep{id: s.ID, state: elt.StepPending, holder: -1})
			}
			rt.Repeat(map[string]func(*rapid.T){
				"claim": m.claim, "heartbeat": m.heartbeat, "finish": m.finish, "release": m.release,
				"block": m.block, "end run": m.endRun, "cancel": m.cancel, "retry": m.retry, "": m.check,
			})
		})
		checkInvariants(t, l)
	})
}

type modelStep struct {
	id      elt.StepID
	state   elt.StepState
	attempt int
	holder  int  // index of the lease whose fence is the step's, or -1
	live    bool // running: its lease has not run out; retrying: its time has not come
}

type model struct {
	*rapid.T
	t      *testing.T
	l      *ledger.Ledger
	run    elt.RunID
	state  elt.RunState
	steps  []*modelStep
	leases []elt.Lease
}

func (m *model) answer(what string, err error, want elt.Code) {
	if got := elt.CodeOf(err); got != want || (err == nil) != (want == "") {
		m.Fatalf("%s: error %v, want code %q", what, err, want)
	}
}

// span draws a lease that lasts, or one that has run out as soon as it is given.
func span(rt *rapid.T) (ttl time.Duration, live bool) {
	if live = rapid.Bool().Draw(rt, "live"); live {
		return hour, true
	}
	return 0, false
}

func (m *model) step(rt *rapid.T) *modelStep { return rapid.SampledFrom(m.steps).Draw(rt, "step") }

// lease draws any lease that was ever given, with the step it was for.
func (m *model) lease(rt *rapid.T) (int, *modelStep) {
	if len(m.leases) == 0 {
		rt.Skip("no lease was given yet")
	}
	i := rapid.IntRange(0, len(m.leases)-1).Draw(rt, "lease")
	at := slices.IndexFunc(m.steps, func(s *modelStep) bool { return s.id == m.leases[i].Step })
	return i, m.steps[at]
}

func (m *model) claim(rt *rapid.T) {
	s := m.step(rt)
	ttl, live := span(rt)
	free := s.state == elt.StepPending || ((s.state == elt.StepRetrying || s.state == elt.StepRunning) && !s.live)
	lease, err := m.l.Claim(m.t.Context(), s.id, "w", ttl)
	if !free {
		m.answer("claim", err, "step_not_claimable")
		return
	}
	m.answer("claim", err, "")
	s.attempt++
	if lease.Attempt != s.attempt || slices.ContainsFunc(m.leases, func(old elt.Lease) bool { return old.Fence >= lease.Fence }) {
		rt.Fatalf("lease %+v after %+v", lease, m.leases)
	}
	m.leases = append(m.leases, lease)
	s.state, s.live, s.holder = elt.StepRunning, live, len(m.leases)-1
}

func (m *model) heartbeat(rt *rapid.T) {
	i, s := m.lease(rt)
	ttl, live := span(rt)
	_, err := m.l.Heartbeat(m.t.Context(), m.leases[i], ttl, elt.Progress{Rows: 1})
	if s.holder != i || s.state != elt.StepRunning {
		m.answer("heartbeat", err, "lease_lost")
		return
	}
	m.answer("heartbeat", err, "")
	s.live = live
}

func (m *model) finish(rt *rapid.T) {
	i, s := m.lease(rt)
	o := elt.Outcome{State: rapid.SampledFrom([]elt.StepState{elt.StepSucceeded, elt.StepFailed, elt.StepRetrying, elt.StepCancelled}).Draw(rt, "outcome")}
	later := o.State == elt.StepRetrying && rapid.Bool().Draw(rt, "later")
	if o.State == elt.StepRetrying {
		o.NextAttemptAt = day("2020-01-01").Start(time.UTC)
	}
	if later {
		o.NextAttemptAt = day("2999-01-01").Start(time.UTC)
	}
	err := m.l.Finish(m.t.Context(), m.leases[i], o)
	switch {
	case s.holder == i && s.state == elt.StepRunning:
		m.answer("finish", err, "")
		s.state, s.live = o.State, later
	case s.holder == i && s.state == o.State:
		m.answer("finish again", err, "")
	default:
		m.answer("finish", err, "lease_lost")
	}
}

// release ends the leases of every run: this run's are all that live.
func (m *model) release(rt *rapid.T) {
	if _, err := m.l.ReleaseLeases(m.t.Context()); err != nil {
		rt.Fatal(err)
	}
	for _, s := range m.steps {
		if s.state == elt.StepRunning && s.live {
			s.live, s.holder = false, -1
		}
	}
}

func (m *model) block(rt *rapid.T) {
	s := m.step(rt)
	m.answer("block", m.l.BlockSteps(m.t.Context(), []elt.StepID{s.id}), "")
	if s.state == elt.StepPending {
		s.state = elt.StepBlocked
	}
}

func (m *model) open() bool {
	return slices.ContainsFunc(m.steps, func(s *modelStep) bool { return !s.state.Terminal() })
}

func (m *model) endRun(*rapid.T) {
	err := m.l.FinishRun(m.t.Context(), m.run, elt.RunPartial)
	switch {
	case m.state == elt.RunCancelled:
		m.answer("finish run", err, "run_not_running")
	case m.state == elt.RunRunning && m.open():
		m.answer("finish run", err, "run_unfinished")
	default:
		m.answer("finish run", err, "")
		m.state = elt.RunPartial
	}
}

func (m *model) cancel(*rapid.T) {
	err := m.l.CancelRun(m.t.Context(), m.run, "growth@example.com", "")
	if m.state == elt.RunPartial {
		m.answer("cancel run", err, "run_not_running")
		return
	}
	m.answer("cancel run", err, "")
	m.state = elt.RunCancelled
	for _, s := range m.steps {
		if !s.state.Terminal() {
			s.state = elt.StepCancelled
		}
	}
}

func (m *model) retry(rt *rapid.T) {
	retried, err := m.l.RetryRun(m.t.Context(), m.run, "growth@example.com")
	if m.state == elt.RunRunning {
		m.answer("retry run", err, "run_running")
		return
	}
	m.answer("retry run", err, "")
	want := 0
	for _, s := range m.steps {
		if s.state != elt.StepSucceeded {
			s.state, want = elt.StepPending, want+1
		}
	}
	if retried != want {
		rt.Fatalf("retried %d steps, want %d", retried, want)
	}
	if want > 0 {
		m.state = elt.RunRunning
	}
}

func (m *model) check(rt *rapid.T) {
	run, err := m.l.Run(m.t.Context(), m.run)
	if err != nil || run.State != m.state {
		rt.Fatalf("run %+v, want %s (%v)", run, m.state, err)
	}
	steps, err := m.l.Steps(m.t.Context(), m.run)
	if err != nil {
		rt.Fatal(err)
	}
	for i, s := range steps {
		if want := m.steps[i]; s.State != want.state || s.Attempt != want.attempt {
			rt.Fatalf("step %+v, want %+v", s, want)
		}
	}
}
