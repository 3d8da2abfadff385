package elt_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// What is settled decides from where on the next night reads: a row that an open transaction has not committed yet
// must not be below it.
func TestNumbersSettle(t *testing.T) {
	night := func(taken time.Time, high, settled *int64) *elt.Manifest {
		return &elt.Manifest{Source: elt.SourcePosition{TakenAt: taken}, Numbers: &elt.Numbers{High: high, Settled: settled}}
	}
	for name, c := range map[string]struct {
		before    *elt.Manifest
		high      *int64
		openSince time.Time
		want      elt.Numbers
	}{
		"a first load with nobody at work":          {nil, new(int64(9)), time.Time{}, elt.Numbers{High: new(int64(9)), Settled: new(int64(9))}},
		"a first load beside an open transaction":   {nil, new(int64(9)), now, elt.Numbers{High: new(int64(9))}},
		"an empty table":                            {nil, nil, time.Time{}, elt.Numbers{}},
		"nothing new":                               {night(now, new(int64(9)), new(int64(9))), nil, time.Time{}, elt.Numbers{High: new(int64(9)), Settled: new(int64(9))}},
		"the table begins again with lower numbers": {night(now, new(int64(9)), new(int64(9))), new(int64(3)), time.Time{}, elt.Numbers{High: new(int64(9)), Settled: new(int64(9))}},
		"a transaction that began after the night before": {night(now, new(int64(9)), new(int64(7))), new(int64(12)), now.Add(time.Second),
			elt.Numbers{High: new(int64(12)), Settled: new(int64(9))}},
		"one that began before it": {night(now, new(int64(9)), new(int64(7))), new(int64(12)), now.Add(-time.Second), elt.Numbers{High: new(int64(12)), Settled: new(int64(7))}},
	} {
		var got elt.Numbers
		got.Settle(c.high, c.before, c.openSince)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if from := night(now, new(int64(9)), new(int64(7))).Next(5).From; *from != 2 {
		t.Errorf("the next night reads from %d on", *from)
	}
	if next := night(now, new(int64(9)), new(int64(math.MinInt64+3))).Next(5); next.From != nil {
		t.Errorf("below the least number there is none, and it reads from %d on", *next.From)
	}
	var none *elt.Manifest
	if none.Next(5).From != nil || night(now, new(int64(9)), nil).Next(5).From != nil {
		t.Error("with nothing settled, everything must be read")
	}
}

// A day whose source may still change it waits, and says for what; it has not failed.
func TestADayWaitsForItsSource(t *testing.T) {
	open := &elt.Failure{Code: elt.WindowOpen, Class: elt.Budget, Message: "process 7 is open since 22:00"}
	s := step(elt.ExtractStep, retrying)
	s.Error, s.NextAttemptAt = open, now.Add(time.Minute)
	got := elt.Derive(elt.DayFacts{Day: elt.Day{Dataset: "shop.users", Date: theDate, Run: "r1"}, Now: now, Steps: []elt.Step{s}})
	if got.State != elt.DayWaiting || got.Cause == nil || got.Cause.Failure != open || got.NextAttemptAt.IsZero() || got.Impossible() {
		t.Errorf("the day is %+v", got)
	}
}

func TestRowDigests(t *testing.T) {
	a, b := elt.RowDigest{Rows: 1, A: "1152921504606846975", B: "1"}, elt.RowDigest{Rows: 2, A: "1152921504606846975", B: ""}
	sum, err := a.Add(b)
	if err != nil || !sum.Equal(elt.RowDigest{Rows: 3, A: "2305843009213693950", B: "1"}) {
		t.Errorf("%+v, %v", sum, err)
	}
	if a.Equal(b) || !(elt.RowDigest{}).Equal(elt.RowDigest{A: "0", B: "0"}) {
		t.Error("digests are compared wrongly")
	}
	if _, err := a.Add(elt.RowDigest{A: "x"}); err == nil {
		t.Error("x is no sum")
	}
	stats := elt.TableStats{Rows: 1, Digest: &a}
	other := elt.TableStats{Rows: 1, Digest: &b}
	if m := stats.Compare(other); len(m) != 1 || m[0].Fact != "digest" {
		t.Errorf("found %v", m)
	}
}
