package status

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// progressRow is a dataset of a backfill: a cell for each day, or for some days in a row where there are many.
type progressRow struct {
	Dataset link
	Cells   cells
	Brought string
	Left    string
	Failed  string
}

// mostCells is how many cells a row has at most.
const mostCells = 90

// backfillCells draws a dataset's days from the first date to the last.
func backfillCells(days map[elt.Date]elt.BackfillDay, name elt.DatasetName, from, to, today elt.Date) []cell {
	dates := to.DaysSince(from) + 1
	each := (dates + mostCells - 1) / mostCells
	var cells []cell
	for first := from; !first.After(to); first = first.AddDays(each) {
		counts := make(map[elt.BackfillDayState]int)
		last := first.AddDays(each - 1)
		if last.After(to) {
			last = to
		}
		for date := first; !date.After(last); date = date.AddDays(1) {
			if d, planned := days[date]; planned {
				counts[d.State]++
			}
		}
		cells = append(cells, backfillCell(counts, name, first, last, today))
	}
	return cells
}

// backfillCell shows the worst of some days.
func backfillCell(counts map[elt.BackfillDayState]int, name elt.DatasetName, first, last, today elt.Date) cell {
	var out cell
	var says []string
	for _, s := range []struct {
		state       elt.BackfillDayState
		class, word string
	}{
		{elt.BackfillDayFailed, "f", "failed"}, {elt.BackfillDayRunning, "a", "at work"}, {elt.BackfillDayPending, "w", "to come"}, {elt.BackfillDayCancelled, "u", "cancelled"},
		{elt.BackfillDaySucceeded, "r", "brought"}, {elt.BackfillDayRefused, "n", "cannot be brought"}, {elt.BackfillDaySkipped, "n", "left as it is"},
	} {
		n := counts[s.state]
		if n == 0 {
			continue
		}
		if out.Class == "" {
			out.Class, out.Href = s.class, dayHref(name, first)
		}
		if first != last {
			s.word = grouped(int64(n)) + " " + s.word
		}
		says = append(says, s.word)
	}
	if out.Class == "" {
		return out
	}
	out.Title = shortDate(first, today)
	if first != last {
		out.Title += " – " + shortDate(last, today)
	}
	out.Title += ": " + strings.Join(says, ", ")
	return out
}

// dayAtWork is a day at which somebody is at work.
type dayAtWork struct {
	Day  link
	Date string
	Run  link
	By   string
}

// failedDay is a day that a backfill could not bring, and why.
type failedDay struct {
	Day  link
	Date string
	Why  string
	Run  link
	Pill pill
}

// mostProgress is how many datasets and failed days are shown.
const mostProgress = 100

type backfillData struct {
	ID, Sentence, Detail string
	Facts                []fact
	Percent              int
	Left                 string // while days are left
	Rows                 []progressRow
	More                 int // datasets that are not shown
	Working              []dayAtWork
	Failed               []failedDay
	Acts                 []actForm
	Span                 string
}

func (s *Service) backfillPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	f, err := s.backfillParam(c)
	if err != nil {
		return err
	}
	days, err := s.opts.Backfills.BackfillDays(c.Request().Context(), f.ID, "", 0, 0)
	if err != nil {
		return ledgerAway(err)
	}
	today := v.today()
	p := backfillPill(f)
	data := backfillData{ID: string(f.ID), Acts: s.backfillForms(c, f)}
	data.Sentence = backfillSentence(f)
	data.Detail = capital(rangeText(f.Request, today)) + " of " + strings.Join(f.Request.Select, " ") + ". " + backfillDetail(f)
	data.Facts = []fact{
		{Term: "State", Pill: &p, Small: f.Says},
		{Term: "Brought", Text: daysText(f), Small: untouchedText(f)},
		{Term: "Started", Text: stampOf(f.CreatedAt, v.location, today).Text, Small: "by " + f.Actor},
		{Term: "Why", Text: orNothing(f.Reason)},
	}
	if f.Left() > 0 && f.Estimate.Duration > 0 {
		data.Facts = append(data.Facts, fact{Term: "Was to take about", Text: span(f.Estimate.Duration), Small: grouped(f.Estimate.Rows) + " rows"})
	}
	if total := f.Total(); f.Left() > 0 && total > 0 {
		data.Percent = (total - f.Left()) * 100 / total
		data.Left = counted(f.Left(), "day") + " left"
	}
	data.Rows, data.Failed, data.Span = progressRows(days, today)
	data.Working = daysAtWork(days, today)
	if n := len(data.Rows) - mostProgress; n > 0 {
		data.Rows, data.More = data.Rows[:mostProgress], n
	}
	return s.page(c, http.StatusOK, "backfill", capital(string(f.ID)), data)
}

// daysAtWork are the days at which somebody is at work, and who.
func daysAtWork(days []elt.BackfillDay, today elt.Date) (rows []dayAtWork) {
	for _, d := range days {
		if len(d.Workers) == 0 || len(rows) >= mostProgress {
			continue
		}
		names := make([]string, len(d.Workers))
		for i, w := range d.Workers {
			names[i] = string(w)
		}
		rows = append(rows, dayAtWork{
			Day: link{string(d.Dataset), dayHref(d.Dataset, d.Date)}, Date: shortDate(d.Date, today),
			Run: link{string(d.Run), "/runs/" + string(d.Run)}, By: strings.Join(names, ", "),
		})
	}
	return rows
}

// progressRows are the datasets with their cells, and the days that failed.
func progressRows(days []elt.BackfillDay, today elt.Date) (rows []progressRow, failed []failedDay, between string) {
	var from, to elt.Date
	var order []elt.DatasetName
	of := make(map[elt.DatasetName]map[elt.Date]elt.BackfillDay)
	for _, d := range days {
		if of[d.Dataset] == nil {
			of[d.Dataset] = make(map[elt.Date]elt.BackfillDay)
			order = append(order, d.Dataset)
		}
		of[d.Dataset][d.Date] = d
		if from.IsZero() || d.Date.Before(from) {
			from = d.Date
		}
		if d.Date.After(to) {
			to = d.Date
		}
		if d.State == elt.BackfillDayFailed && len(failed) < mostProgress {
			row := failedDay{Day: link{string(d.Dataset), dayHref(d.Dataset, d.Date)}, Date: shortDate(d.Date, today), Why: sentence(d.Says), Pill: pill{"failed", "✕", "Failed"}}
			if d.Run != "" {
				row.Run = link{string(d.Run), "/runs/" + string(d.Run)}
			}
			failed = append(failed, row)
		}
	}
	for _, name := range order {
		counts := make(map[elt.BackfillDayState]int)
		for _, d := range of[name] {
			counts[d.State]++
		}
		row := progressRow{Dataset: link{string(name), datasetHref(name)}, Cells: backfillCells(of[name], name, from, to, today)}
		row.Brought = grouped(int64(counts[elt.BackfillDaySucceeded]))
		if n := counts[elt.BackfillDayPending] + counts[elt.BackfillDayRunning]; n > 0 {
			row.Left = grouped(int64(n))
		}
		if n := counts[elt.BackfillDayFailed]; n > 0 {
			row.Failed = grouped(int64(n))
		}
		rows = append(rows, row)
	}
	between = shortDate(from, today)
	if to != from {
		between += " to " + shortDate(to, today)
	}
	return rows, failed, between
}

func backfillSentence(f elt.Backfill) string {
	total := f.Total()
	switch brought := f.Progress[elt.BackfillDaySucceeded]; f.State {
	case elt.BackfillRunning:
		return fmt.Sprintf("%s of %s are brought.", grouped(int64(brought)), counted(total, "day"))
	case elt.BackfillPaused:
		return fmt.Sprintf("It is paused after %s of %s.", grouped(int64(brought)), counted(total, "day"))
	case elt.BackfillSucceeded:
		return capital(counted(brought, "day")) + " " + be(brought) + " brought."
	case elt.BackfillCancelled:
		return fmt.Sprintf("It was cancelled after %s of %s.", grouped(int64(brought)), counted(total, "day"))
	}
	failed := f.Progress[elt.BackfillDayFailed] + f.Progress[elt.BackfillDayCancelled]
	return fmt.Sprintf("%s of %s failed.", grouped(int64(failed)), counted(total, "day"))
}

func backfillDetail(f elt.Backfill) string {
	switch f.State {
	case elt.BackfillRunning:
		return "It works between nights, oldest date first; the old version of each day serves until the new one is published."
	case elt.BackfillPaused:
		return "Nothing more begins until somebody resumes it."
	case elt.BackfillCancelled:
		return "Nothing more of it ever starts; what it has published stays."
	case elt.BackfillFailed:
		return "Once the cause is mended, what failed can be tried again from its failed steps."
	}
	return ""
}

// untouchedText says how many days were never to be brought.
func untouchedText(f elt.Backfill) string {
	var parts []string
	if n := f.Progress[elt.BackfillDaySkipped]; n > 0 {
		parts = append(parts, grouped(int64(n))+" left as they are")
	}
	if n := f.Progress[elt.BackfillDayRefused]; n > 0 {
		parts = append(parts, grouped(int64(n))+" cannot be brought")
	}
	return strings.Join(parts, ", ")
}

// backfillForms are what an operator can do with a backfill.
func (s *Service) backfillForms(c echo.Context, f elt.Backfill) []actForm {
	if !s.acting(c) {
		return nil
	}
	path := backfillHref(f.ID)
	form := func(what, label, field string) actForm {
		a := actForm{Action: path + "/" + what, Label: label, Next: path}
		if field != "" {
			a.Field, a.Asks = "reason", field
		}
		return a
	}
	var forms []actForm
	switch f.State {
	case elt.BackfillRunning:
		forms = append(forms, form("pause", "Pause", ""))
	case elt.BackfillPaused:
		forms = append(forms, form("resume", "Resume", ""))
	}
	if f.State != elt.BackfillCancelled && f.Progress[elt.BackfillDayFailed]+f.Progress[elt.BackfillDayCancelled] > 0 {
		forms = append(forms, form("retry-failed", "Retry what failed", ""))
	}
	if slices.Contains([]elt.BackfillState{elt.BackfillRunning, elt.BackfillPaused, elt.BackfillFailed}, f.State) {
		forms = append(forms, form("cancel", "Cancel for ever", "Why"))
	}
	return forms
}
