package elt_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var (
	theDate  = elt.Date{Year: 2026, Month: 1, Day: 5}
	now      = time.Date(2026, 1, 6, 3, 0, 0, 0, time.UTC)
	deadline = time.Date(2026, 1, 6, 7, 0, 0, 0, time.UTC)
	broken   = &elt.Failure{Code: "source_unreachable", Class: elt.Transient, Message: "cannot connect"}
)

func step(kind elt.StepKind, state elt.StepState) elt.Step {
	s := elt.Step{Kind: kind, State: state}
	switch state {
	case elt.StepRunning:
		s.LeaseUntil = now.Add(time.Minute)
	case elt.StepRetrying:
		s.NextAttemptAt, s.Error = now.Add(time.Minute), broken
	case elt.StepFailed:
		s.Error = broken
	}
	return s
}

// steps is a table's extract, load, verify and its run's publish, in the given states.
func steps(states ...elt.StepState) []elt.Step {
	var out []elt.Step
	for i, kind := range []elt.StepKind{elt.ExtractStep, elt.LoadStep, elt.VerifyStep, elt.PublishStep} {
		out = append(out, step(kind, states[i]))
	}
	return out
}

func input(name elt.DatasetName, state elt.DayState, cause *elt.Cause) elt.InputFacts {
	return elt.InputFacts{Status: elt.DayStatus{Dataset: name, Date: theDate, State: state, Cause: cause}}
}

const (
	pending   = elt.StepPending
	running   = elt.StepRunning
	retrying  = elt.StepRetrying
	succeeded = elt.StepSucceeded
	failed    = elt.StepFailed
	blocked   = elt.StepBlocked
	cancelled = elt.StepCancelled
)

// The truth table of a day's state.
func TestDerive(t *testing.T) {
	lost := steps(succeeded, running, pending, pending)
	lost[1].LeaseUntil = now.Add(-time.Nanosecond)
	justHeld := steps(succeeded, running, pending, pending)
	justHeld[1].LeaseUntil = now
	publishLost := steps(succeeded, succeeded, succeeded, running)
	publishLost[3].LeaseUntil = now.Add(-time.Minute)
	rootA := &elt.Cause{Dataset: "a", Step: elt.ExtractStep, Failure: broken}
	version := &elt.Version{ID: "x@r0", Dataset: "x", Date: theDate, Run: "r0", Rows: 5, PublishedAt: now.Add(-time.Hour), Checks: elt.ChecksWarned,
		Inputs: map[elt.DatasetName]elt.VersionID{"a": "a@r0"}}
	newer := elt.InputFacts{Status: elt.DayStatus{Dataset: "a", State: elt.DayReady}, Current: "a@r1"}

	for name, tc := range map[string]struct {
		facts elt.DayFacts
		want  elt.DayStatus
	}{
		"no run yet":              {elt.DayFacts{}, elt.DayStatus{State: elt.DayScheduled}},
		"all pending":             {elt.DayFacts{Steps: steps(pending, pending, pending, pending)}, elt.DayStatus{State: elt.DayScheduled}},
		"not expected":            {elt.DayFacts{Day: elt.Day{NotExpected: "a Sunday"}}, elt.DayStatus{State: elt.DayNotExpected, NotExpected: &elt.NotExpected{Kind: elt.BySchedule, Reason: "a Sunday"}}},
		"first step at work":      {elt.DayFacts{Steps: steps(running, pending, pending, pending)}, elt.DayStatus{State: elt.DayRunning, Step: elt.ExtractStep}},
		"between two steps":       {elt.DayFacts{Steps: steps(succeeded, pending, pending, pending)}, elt.DayStatus{State: elt.DayRunning, Step: elt.ExtractStep}},
		"second step at work":     {elt.DayFacts{Steps: steps(succeeded, running, pending, pending)}, elt.DayStatus{State: elt.DayRunning, Step: elt.LoadStep}},
		"waits to be published":   {elt.DayFacts{Steps: steps(succeeded, succeeded, succeeded, pending)}, elt.DayStatus{State: elt.DayRunning, Step: elt.VerifyStep}},
		"being published":         {elt.DayFacts{Steps: steps(succeeded, succeeded, succeeded, running)}, elt.DayStatus{State: elt.DayRunning, Step: elt.PublishStep}},
		"retrying":                {elt.DayFacts{Steps: steps(succeeded, retrying, pending, pending)}, elt.DayStatus{State: elt.DayRetrying, Step: elt.LoadStep, NextAttemptAt: now.Add(time.Minute), Cause: &elt.Cause{Dataset: "x", Step: elt.LoadStep, Failure: broken}}},
		"failed":                  {elt.DayFacts{Steps: steps(succeeded, failed, blocked, pending)}, elt.DayStatus{State: elt.DayFailed, Step: elt.LoadStep, Cause: &elt.Cause{Dataset: "x", Step: elt.LoadStep, Failure: broken}}},
		"cancelled":               {elt.DayFacts{Steps: steps(succeeded, cancelled, cancelled, cancelled)}, elt.DayStatus{State: elt.DayFailed, Step: elt.VerifyStep, Cause: &elt.Cause{Dataset: "x", Step: elt.VerifyStep}}},
		"lease lost":              {elt.DayFacts{Steps: lost}, elt.DayStatus{State: elt.DayUnknown, Step: elt.LoadStep}},
		"lease ends now":          {elt.DayFacts{Steps: justHeld}, elt.DayStatus{State: elt.DayRunning, Step: elt.LoadStep}},
		"publish failed":          {elt.DayFacts{Steps: steps(succeeded, succeeded, succeeded, failed)}, elt.DayStatus{State: elt.DayFailed, Step: elt.PublishStep, Cause: &elt.Cause{Dataset: "x", Step: elt.PublishStep, Failure: broken}}},
		"publish lost its lease":  {elt.DayFacts{Steps: publishLost}, elt.DayStatus{State: elt.DayUnknown, Step: elt.PublishStep}},
		"published, no version":   {elt.DayFacts{Steps: steps(succeeded, succeeded, succeeded, succeeded)}, elt.DayStatus{State: elt.DayUnknown, Step: elt.PublishStep}},
		"failed, others go on":    {elt.DayFacts{Steps: steps(failed, blocked, blocked, running)}, elt.DayStatus{State: elt.DayFailed, Step: elt.ExtractStep, Cause: &elt.Cause{Dataset: "x", Step: elt.ExtractStep, Failure: broken}}},
		"failed, others are out":  {elt.DayFacts{Steps: steps(failed, blocked, blocked, succeeded)}, elt.DayStatus{State: elt.DayFailed, Step: elt.ExtractStep, Cause: &elt.Cause{Dataset: "x", Step: elt.ExtractStep, Failure: broken}}},
		"an input waits":          {elt.DayFacts{Inputs: []elt.InputFacts{input("a", elt.DayScheduled, nil), input("b", elt.DayReady, nil)}}, elt.DayStatus{State: elt.DayWaiting, BlockedBy: []elt.DatasetName{"a"}}},
		"an input retries":        {elt.DayFacts{Inputs: []elt.InputFacts{input("a", elt.DayRetrying, rootA)}}, elt.DayStatus{State: elt.DayWaiting, BlockedBy: []elt.DatasetName{"a"}}},
		"inputs ready":            {elt.DayFacts{Inputs: []elt.InputFacts{input("a", elt.DayReady, nil), input("b", elt.DayNotExpected, nil)}}, elt.DayStatus{State: elt.DayScheduled}},
		"staged inputs":           {elt.DayFacts{Steps: steps(running, pending, pending, pending), Inputs: []elt.InputFacts{input("a", elt.DayRunning, nil)}}, elt.DayStatus{State: elt.DayRunning, Step: elt.ExtractStep}},
		"an input failed":         {elt.DayFacts{Inputs: []elt.InputFacts{input("a", elt.DayFailed, rootA), input("b", elt.DayUnknown, nil)}}, elt.DayStatus{State: elt.DayBlocked, BlockedBy: []elt.DatasetName{"a"}, Cause: rootA}},
		"an input is blocked":     {elt.DayFacts{Inputs: []elt.InputFacts{input("c", elt.DayScheduled, nil), input("b", elt.DayBlocked, rootA)}}, elt.DayStatus{State: elt.DayBlocked, BlockedBy: []elt.DatasetName{"b"}, Cause: rootA}},
		"blocked, publish failed": {elt.DayFacts{Steps: steps(blocked, blocked, blocked, failed), Inputs: []elt.InputFacts{input("a", elt.DayFailed, rootA)}}, elt.DayStatus{State: elt.DayBlocked, BlockedBy: []elt.DatasetName{"a"}, Cause: rootA}},
		"blocked, publish runs":   {elt.DayFacts{Steps: steps(blocked, blocked, blocked, running), Inputs: []elt.InputFacts{input("a", elt.DayFailed, rootA)}}, elt.DayStatus{State: elt.DayBlocked, BlockedBy: []elt.DatasetName{"a"}, Cause: rootA}},
		"blocked in this run":     {elt.DayFacts{Steps: steps(blocked, blocked, blocked, succeeded), Inputs: []elt.InputFacts{input("a", elt.DayReady, nil)}, Blocker: rootA}, elt.DayStatus{State: elt.DayBlocked, BlockedBy: []elt.DatasetName{"a"}, Cause: rootA}},
		"blocked by who knows":    {elt.DayFacts{Steps: steps(blocked, blocked, blocked, pending)}, elt.DayStatus{State: elt.DayBlocked, BlockedBy: []elt.DatasetName{"x"}, Cause: &elt.Cause{Dataset: "x", Step: elt.VerifyStep}}},
		"an input is unknown":     {elt.DayFacts{Inputs: []elt.InputFacts{input("a", elt.DayUnknown, nil), input("b", elt.DayScheduled, nil)}}, elt.DayStatus{State: elt.DayUnknown, BlockedBy: []elt.DatasetName{"a"}}},
		"own failure comes first": {elt.DayFacts{Steps: steps(failed, blocked, blocked, pending), Inputs: []elt.InputFacts{input("a", elt.DayFailed, rootA)}}, elt.DayStatus{State: elt.DayFailed, Step: elt.ExtractStep, Cause: &elt.Cause{Dataset: "x", Step: elt.ExtractStep, Failure: broken}}},
		"ready":                   {elt.DayFacts{Version: version}, elt.DayStatus{State: elt.DayReady, Version: "x@r0", ReadyAt: now.Add(-time.Hour), Rows: 5, Checks: elt.ChecksWarned}},
		"ready, not expected":     {elt.DayFacts{Day: elt.Day{NotExpected: "a Sunday"}, Version: version}, elt.DayStatus{State: elt.DayReady, Version: "x@r0", ReadyAt: now.Add(-time.Hour), Rows: 5, Checks: elt.ChecksWarned}},
		"ready, upstream fails":   {elt.DayFacts{Version: version, Inputs: []elt.InputFacts{input("a", elt.DayFailed, rootA)}}, elt.DayStatus{State: elt.DayReady, Version: "x@r0", ReadyAt: now.Add(-time.Hour), Rows: 5, Checks: elt.ChecksWarned}},
		"ready, fails again":      {elt.DayFacts{Version: version, Day: elt.Day{Run: "r1"}, Steps: steps(failed, blocked, blocked, pending)}, elt.DayStatus{Run: "r1", State: elt.DayReady, Version: "x@r0", ReadyAt: now.Add(-time.Hour), Rows: 5, Checks: elt.ChecksWarned}},
		"restating":               {elt.DayFacts{Version: version, Day: elt.Day{Run: "r1"}, Steps: steps(running, pending, pending, pending)}, elt.DayStatus{Run: "r1", State: elt.DayReady, Version: "x@r0", ReadyAt: now.Add(-time.Hour), Rows: 5, Checks: elt.ChecksWarned, Restating: true}},
		"outdated":                {elt.DayFacts{Version: version, Inputs: []elt.InputFacts{newer}}, elt.DayStatus{State: elt.DayReady, Version: "x@r0", ReadyAt: now.Add(-time.Hour), Rows: 5, Checks: elt.ChecksWarned, Outdated: []elt.DatasetName{"a"}, OutdatedBy: []elt.OutdatedInput{{Dataset: "a", Date: elt.Date{Year: 2026, Month: 1, Day: 5}, Read: "a@r0", Current: "a@r1"}}}},
		"withdrawn":               {elt.DayFacts{Version: version, Day: elt.Day{Withdrawn: "wrong currency"}}, elt.DayStatus{State: elt.DayReady, Version: "x@r0", ReadyAt: now.Add(-time.Hour), Rows: 5, Checks: elt.ChecksWarned, Withdrawn: "wrong currency"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.facts.Now, tc.facts.Day.Dataset, tc.facts.Day.Date = now, "x", theDate
			tc.want.Dataset, tc.want.Date, tc.want.Deadline = "x", theDate, elt.DeadlineNone
			got := elt.Derive(tc.facts)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Good() != (got.State == elt.DayReady && got.Withdrawn == "") {
				t.Error("Good is wrong")
			}
			if want := got.State == elt.DayFailed || got.State == elt.DayBlocked || got.Withdrawn != ""; got.Impossible() != want {
				t.Error("Impossible is wrong")
			}
		})
	}
}

// The truth table of the deadline.
func TestDeriveDeadline(t *testing.T) {
	published := func(at time.Time) *elt.Version { return &elt.Version{ID: "v", PublishedAt: at} }
	for name, tc := range map[string]struct {
		facts elt.DayFacts
		now   time.Time
		want  elt.DeadlineState
	}{
		"ahead":                    {elt.DayFacts{}, now, elt.DeadlineOnTrack},
		"ahead, running":           {elt.DayFacts{Steps: steps(running, pending, pending, pending)}, now, elt.DeadlineOnTrack},
		"exactly now":              {elt.DayFacts{}, deadline, elt.DeadlineOnTrack},
		"past":                     {elt.DayFacts{}, deadline.Add(1), elt.DeadlineBreached},
		"past, running":            {elt.DayFacts{Steps: steps(running, pending, pending, pending)}, deadline.Add(1), elt.DeadlineBreached},
		"past, no run ever":        {elt.DayFacts{}, deadline.Add(240 * time.Hour), elt.DeadlineBreached},
		"failed, ahead":            {elt.DayFacts{Steps: steps(failed, blocked, blocked, pending)}, now, elt.DeadlineAtRisk},
		"failed, past":             {elt.DayFacts{Steps: steps(failed, blocked, blocked, pending)}, deadline.Add(1), elt.DeadlineBreached},
		"blocked, ahead":           {elt.DayFacts{Inputs: []elt.InputFacts{input("a", elt.DayFailed, nil)}}, now, elt.DeadlineAtRisk},
		"unknown, ahead":           {elt.DayFacts{Steps: steps(succeeded, succeeded, succeeded, succeeded)}, now, elt.DeadlineAtRisk},
		"ready in time":            {elt.DayFacts{Version: published(deadline.Add(-1))}, now, elt.DeadlineMet},
		"ready in time, seen late": {elt.DayFacts{Version: published(deadline.Add(-1))}, deadline.Add(time.Hour), elt.DeadlineMet},
		"ready on the dot":         {elt.DayFacts{Version: published(deadline)}, deadline, elt.DeadlineMet},
		"ready late":               {elt.DayFacts{Version: published(deadline.Add(1))}, deadline.Add(time.Hour), elt.DeadlineMissed},
		"not expected":             {elt.DayFacts{Day: elt.Day{NotExpected: "a Sunday"}}, deadline.Add(1), elt.DeadlineNone},
	} {
		t.Run(name, func(t *testing.T) {
			tc.facts.Now, tc.facts.Day.Dataset, tc.facts.Day.Deadline = tc.now, "x", deadline
			if got := elt.Derive(tc.facts); got.Deadline != tc.want || !got.DeadlineAt.Equal(deadline) {
				t.Errorf("%s is %s, want %s", got.State, got.Deadline, tc.want)
			}
		})
	}
}

func TestHeadline(t *testing.T) {
	day := func(n int, state elt.DayState) elt.DayStatus {
		return elt.DayStatus{Date: theDate.AddDays(n), State: state}
	}
	withdrawn := day(1, elt.DayReady)
	withdrawn.Withdrawn = "wrong"
	for name, tc := range map[string]struct {
		days                   []elt.DayStatus
		latest, ready, through int // days after the first; -1 for none
	}{
		"nothing":             {nil, -1, -1, -1},
		"all ready":           {[]elt.DayStatus{day(0, elt.DayReady), day(1, elt.DayReady)}, 1, 1, 1},
		"the last one runs":   {[]elt.DayStatus{day(0, elt.DayReady), day(1, elt.DayRunning)}, 1, 0, 0},
		"a failure between":   {[]elt.DayStatus{day(0, elt.DayReady), day(1, elt.DayFailed), day(2, elt.DayReady)}, 2, 2, 0},
		"unknown between":     {[]elt.DayStatus{day(0, elt.DayReady), day(1, elt.DayUnknown), day(2, elt.DayReady)}, 2, 2, 0},
		"a gap between":       {[]elt.DayStatus{day(0, elt.DayReady), day(2, elt.DayReady)}, 2, 2, 0},
		"withdrawn between":   {[]elt.DayStatus{day(0, elt.DayReady), withdrawn, day(2, elt.DayReady)}, 2, 2, 0},
		"none due between":    {[]elt.DayStatus{day(0, elt.DayReady), day(1, elt.DayNotExpected), day(2, elt.DayReady)}, 2, 2, 2},
		"none due at last":    {[]elt.DayStatus{day(0, elt.DayReady), day(1, elt.DayNotExpected)}, 0, 0, 0},
		"never ready":         {[]elt.DayStatus{day(0, elt.DayFailed), day(1, elt.DayBlocked)}, 1, -1, -1},
		"the first one fails": {[]elt.DayStatus{day(0, elt.DayFailed), day(1, elt.DayReady)}, 1, 1, -1},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(n int) elt.Date {
				if n < 0 {
					return elt.Date{}
				}
				return theDate.AddDays(n)
			}
			got := elt.NewHeadline(tc.days)
			if got.Latest.Date != at(tc.latest) || got.LatestReady != at(tc.ready) || got.CompleteThrough != at(tc.through) {
				t.Errorf("latest %s, ready %s, through %s", got.Latest.Date, got.LatestReady, got.CompleteThrough)
			}
		})
	}
}

func TestSeverity(t *testing.T) {
	worstFirst := []elt.DayStatus{
		{State: elt.DayRunning, Deadline: elt.DeadlineBreached},
		{State: elt.DayUnknown, Deadline: elt.DeadlineAtRisk},
		{State: elt.DayRunning, Deadline: elt.DeadlineAtRisk},
		{State: elt.DayReady, Outdated: []elt.DatasetName{"a"}},
		{State: elt.DayWaiting},
		{State: elt.DayReady},
	}
	for i := 1; i < len(worstFirst); i++ {
		if a, b := worstFirst[i-1].Severity(), worstFirst[i].Severity(); a <= b {
			t.Errorf("%v is %d, %v is %d", worstFirst[i-1], a, worstFirst[i], b)
		}
	}
	for _, same := range []elt.DayStatus{{State: elt.DayFailed}, {State: elt.DayBlocked}, {State: elt.DayReady, Withdrawn: "x"}} {
		if same.Severity() != worstFirst[0].Severity() {
			t.Errorf("%v is %d", same, same.Severity())
		}
	}
}
