package status

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// mostRounds is how often dates are read again because others that were read changed what is said of them, before
// everything is read.
const mostRounds = 3

// read brings what the last snapshot knew up to the ledger: the dates that the news name, those on which a step runs or
// something turned by itself, and nothing else. It reads everything when there is no snapshot yet, when the catalogue
// changed or something was dropped, and when the range of dates has moved on.
func (f *feed) read(ctx context.Context, last *snapshot, revision int64, began time.Time) (r reading, err error) {
	r = reading{revision: revision, fetched: began}
	if last != nil && !f.readsAll(last, began) {
		dates := named(f.news, f.reach(began))
		dates = append(dates, last.board.Moving()...)
		dates = append(dates, last.board.Turned(last.at, last.clockAt(began).Add(turnMargin))...)
		r.board, r.at, err = f.merge(ctx, last.board, dates)
	}
	if err == nil && r.board == nil {
		reach := f.reach(began)
		var facts elt.Facts
		facts, err = f.ledger.Facts(ctx, reach.from, reach.to)
		r.board, r.at = elt.NewAlmanac(facts), facts.Now
	}
	if err != nil {
		return r, fmt.Errorf("read the ledger's facts: %w", err)
	}
	if r.incidents, err = f.ledger.Incidents(ctx, true, 100); err != nil {
		return r, fmt.Errorf("read the ledger's incidents: %w", err)
	}
	return r, nil
}

// turnMargin is how far the ledger's clock may be ahead of what the service takes it for: what turns within it is read
// again, whether or not it has turned.
const turnMargin = time.Second

// span of dates that the board holds.
type reach struct{ from, to elt.Date }

func (f *feed) reach(now time.Time) reach {
	today := elt.DateOf(now.In(f.location))
	return reach{today.AddDays(-historyDays), today.AddDays(2)}
}

// readsAll reports whether nothing less than all facts will do.
func (f *feed) readsAll(last *snapshot, began time.Time) bool {
	return f.reach(began) != f.reach(last.fetched) || slices.ContainsFunc(f.news, func(e elt.Event) bool {
		return strings.HasPrefix(e.Kind, "dataset.") || strings.HasPrefix(e.Kind, "maintenance.") || e.Kind == "ledger.forgot"
	})
}

// named returns the dates of which events say that something about their days changed.
func named(events []elt.Event, within reach) (dates []elt.Date) {
	for _, e := range events {
		topic, _, _ := strings.Cut(e.Kind, ".")
		switch topic {
		case "incident", "remark", "schema", "manifest", "tick":
			continue // they are not what a day's status follows from
		}
		if !e.Date.Before(within.from) && !e.Date.After(within.to) {
			dates = append(dates, e.Date)
		}
	}
	return dates
}

// merge reads the dates and brings the board up to them, and so on with the dates that this concerns. The board is nil
// when everything has to be read.
func (f *feed) merge(ctx context.Context, board *elt.Almanac, dates []elt.Date) (*elt.Almanac, time.Time, error) {
	for round := 0; ; round++ {
		slices.SortFunc(dates, elt.Date.Compare)
		dates = slices.Compact(dates)
		if round == mostRounds {
			return nil, time.Time{}, nil
		}
		facts, err := f.ledger.FactsOn(ctx, dates)
		if err != nil {
			return nil, time.Time{}, err
		}
		next, again, whole := board.Merge(facts, dates)
		if whole {
			return nil, time.Time{}, nil
		}
		if len(again) == 0 {
			return next, facts.Now, nil
		}
		board, dates = next, again
	}
}
