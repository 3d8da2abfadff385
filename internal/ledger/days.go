package ledger

import (
	"context"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const dayColumns = `dataset, date, run, not_expected, deadline, withdrawn, not_expected_kind, due_at, hold`

func scanDay(row scanner) (d elt.Day, err error) {
	err = row.Scan(&d.Dataset, intoDate{&d.Date}, intoText[elt.RunID]{&d.Run}, &d.NotExpected, intoInstant{&d.Deadline}, &d.Withdrawn,
		&d.NotExpectedKind, intoInstant{&d.DueAt}, intoDocument{&d.Hold})
	return d, err
}

// ExpectDays writes what the calendar says of days: that they are expected, by when, or why not. A day's
// run and its withdrawal are not the calendar's, and stay. Saying the same again changes nothing.
func (l *Ledger) ExpectDays(ctx context.Context, days []elt.Day) error {
	return l.change(ctx, "write the expected days", func(ctx context.Context, c *change) error {
		days := latestDays(days)
		known, err := c.known(ctx, days)
		if err != nil {
			return err
		}
		if err := c.keepDays(ctx, slices.DeleteFunc(slices.Clone(days), func(d elt.Day) bool {
			old := known[elt.DayKey{Dataset: d.Dataset, Date: d.Date}]
			return old.NotExpected == d.NotExpected && old.NotExpectedKind == d.NotExpectedKind && old.Hold.Equal(d.Hold) &&
				instant(old.Deadline) == instant(d.Deadline) && (d.DueAt.IsZero() || instant(old.DueAt) == instant(d.DueAt))
		})); err != nil {
			return err
		}
		var rows [][]any
		for _, d := range days {
			hold, err := document{d.Hold}.text()
			if err != nil {
				return err
			}
			rows = append(rows, []any{string(d.Dataset), d.Date.String(), d.NotExpected, instant(d.Deadline), string(d.NotExpectedKind), instant(d.DueAt), hold, instant(c.now)})
		}
		const head = `INSERT INTO days (dataset, date, not_expected, deadline, not_expected_kind, due_at, hold, since) VALUES `
		const tail = ` ON CONFLICT (dataset, date) DO UPDATE SET not_expected = excluded.not_expected, deadline = excluded.deadline,
				not_expected_kind = excluded.not_expected_kind, due_at = COALESCE(excluded.due_at, days.due_at), hold = excluded.hold
			WHERE days.not_expected <> excluded.not_expected OR days.deadline IS DISTINCT FROM excluded.deadline
				OR days.not_expected_kind <> excluded.not_expected_kind OR days.hold IS DISTINCT FROM excluded.hold
				OR days.due_at IS DISTINCT FROM COALESCE(excluded.due_at, days.due_at)
			RETURNING ` + dayColumns
		for text, args := range statements(head, tail, rows) {
			changed, err := collect(ctx, c, scanDay, text, args...)
			if err != nil {
				return err
			}
			for _, d := range changed {
				kind := "day.expected"
				switch {
				case d.NotExpected != "":
					kind = "day.not_expected"
				case d.Hold != nil:
					kind = "day.held"
				}
				if _, err := c.record(elt.Event{Kind: kind, Dataset: d.Dataset, Date: d.Date, Run: d.Run}, nil); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// bringDays gives days to a run. A deadline that the run does not name stays as the calendar set it.
func (c *change) bringDays(ctx context.Context, run elt.RunID, days []elt.Day) error {
	days = latestDays(days)
	if err := c.keepDays(ctx, days); err != nil {
		return err
	}
	var rows [][]any
	for _, d := range days {
		rows = append(rows, []any{string(d.Dataset), d.Date.String(), string(run), d.NotExpected, instant(d.Deadline), string(d.NotExpectedKind), instant(d.DueAt), instant(c.now)})
	}
	const head = `INSERT INTO days (dataset, date, run, not_expected, deadline, not_expected_kind, due_at, since) VALUES `
	const tail = ` ON CONFLICT (dataset, date) DO UPDATE
		SET run = excluded.run, not_expected = excluded.not_expected, deadline = COALESCE(excluded.deadline, days.deadline),
			not_expected_kind = excluded.not_expected_kind, due_at = COALESCE(excluded.due_at, days.due_at), hold = NULL`
	for text, args := range statements(head, tail, rows) {
		if _, err := c.ExecContext(ctx, text, args...); err != nil {
			return err
		}
	}
	return nil
}

// latestDays returns the last of the days for each key: one statement may not change a row twice.
func latestDays(days []elt.Day) []elt.Day {
	at := make(map[elt.DayKey]int, len(days))
	out := make([]elt.Day, 0, len(days))
	for _, d := range days {
		key := elt.DayKey{Dataset: d.Dataset, Date: d.Date}
		if i, seen := at[key]; seen {
			out[i] = d
			continue
		}
		at[key] = len(out)
		out = append(out, d)
	}
	return out
}
