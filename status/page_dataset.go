package status

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

type fact struct {
	Term, Text, Small string
	Pill              *pill
	Time              *stamp
	Href              string
}

type datasetData struct {
	Name             string
	Sentence, Detail string
	About            string
	Trouble          *troubleItem // what holds it up, here or where it began
	Facts            []fact
	Cells            cells
	Caption          string
	Days             []dayRow
	Snippets         []snippet
	Arrival          *arrival // when it is expected, and how often that held
	Lineage          *lineageSVG
	Columns          []columnRow
	Tests            *testsData
	SQL              *api.ModelSQL
	Progress         *progressBar
	Held             *heldData
	Changes          []changeRow
	Notes            []noteRow
	Note             *actForm // pins another
	Back             *actForm // goes back to an earlier version
	Waiters          []waiterRow
}

// waiterRow is who waits for a day of the dataset now.
type waiterRow struct {
	Name, Date string
	Since      stamp
}

type dayRow struct {
	Date, Href string
	Pill       pill
	Ready      stamp
	Late       string
	Rows       string
	Run        link
}

// progressBar is the step at work.
type progressBar struct {
	Word    string
	Percent int
	Known   bool
	Text    string
}

func (s *Service) datasetPage(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	today := elt.DateOf(v.at.In(set.zone))
	data := datasetData{Name: string(set.Name), About: about(set), SQL: s.sqlOf(c, set.Name)}
	data.Sentence, data.Detail = v.describeDataset(set)
	var checks []elt.Check
	if data.Tests, checks, err = s.lastTests(c.Request().Context(), v, set, today); err != nil {
		return err
	}
	data.Columns = columnRows(set.Columns, checks)
	data.Trouble = v.troubleWith(set.Name)
	data.Facts = v.datasetFacts(set, today)
	used, err := s.costOf(c.Request().Context(), set.headline.Latest.Run, set.Name)
	if err != nil {
		return err
	}
	data.Facts = append(data.Facts, billedFacts(used)...)
	to := v.night.date
	if last := set.headline.Latest.Date; last.After(to) || to.IsZero() {
		to = last
	}
	if to.IsZero() {
		to = today.AddDays(-1)
	}
	data.Cells = v.cells(set, to, cellsShown)
	data.Caption = captionOf(v.history(set, to.AddDays(1-cellsShown), to))
	for _, d := range slices.Backward(v.days(set)) {
		data.Days = append(data.Days, v.dayRow(set, d, today))
	}
	data.Progress = v.progressOf(set)
	data.Arrival = v.drawArrival(set)
	held := s.heldOf(c.Request().Context(), v, set)
	data.Held = sayHeld(set.Name, held.date, shortDate(held.date, today), held.uses, held.quarantined)
	data.Changes = changeRows(set.Name, held.changes, today)
	waitFor := to
	if d := set.headline.Latest; d.Good() && len(set.ahead) > 0 {
		waitFor = set.ahead[0].Date
	}
	if s.moment.IsZero() { // nothing waits for what was
		if data.Snippets, err = s.snippets(c, fmt.Sprintf("%s@%s", set.Name, waitFor)); err != nil {
			return err
		}
	}
	if len(set.Inputs)+len(set.feeds) > 0 {
		data.Lineage = v.drawLineage(set)
	}
	for _, w := range s.waitersOf(v, set) {
		data.Waiters = append(data.Waiters, waiterRow{w.Name, shortDate(w.Date, today), stampOf(w.Since, set.zone, today)})
	}
	data.Note = s.noteForm(c, set.Name, elt.Date{})
	if s.judging(c) && !set.headline.LatestReady.IsZero() {
		data.Back = &actForm{Action: datasetHref(set.Name) + "/rollback", Label: "Roll back to an earlier version…", Look: true}
	}
	if data.Notes, err = s.notesOf(c, v, set.Name, elt.Date{}); err != nil {
		return err
	}
	return s.page(c, http.StatusOK, "dataset", string(set.Name), data)
}

func (s *Service) baseURL(c echo.Context) string {
	if s.opts.BaseURL != "" {
		return s.opts.BaseURL
	}
	return c.Scheme() + "://" + c.Request().Host
}

func (v view) datasetFacts(set *dataset, today elt.Date) []fact {
	d := set.headline.Latest
	var facts []fact
	if d.State != "" {
		p, by := shortPill(v.pillOf(set, d), d)
		facts = append(facts, fact{Term: shortDate(d.Date, today), Pill: &p, Small: by, Href: dayHref(set.Name, d.Date)})
	}
	ready := fact{Term: "Ready at"}
	switch r := v.readiness(set, d); {
	case r.At.ISO != "":
		ready.Time, ready.Small = &r.At, r.Sub
	case strings.HasPrefix(r.Due, "due "):
		ready.Term, ready.Text, ready.Small = "Due", strings.TrimPrefix(r.Due, "due "), r.Sub
	default:
		ready.Term, ready.Text, ready.Small = "Due", "no deadline", r.Sub
	}
	if d.State == elt.DayReady && set.usual != "" && ready.Small == "" {
		ready.Small = "usually " + set.usual
	}
	if expected, ok := v.expectedFact(set, d); ok {
		ready.Small = ""
		if set.usual != "" {
			ready.Small = "usually " + set.usual
		}
		facts = append(facts, expected)
	}
	facts = append(facts, ready)
	if r := v.record(set.Name); r != nil {
		facts = append(facts, fact{Term: "Estimates kept", Text: fmt.Sprintf("%d of %d", r.Kept, r.Nights), Small: "arrived by the likely-by time"})
	}
	if last, ok := v.day(set.Name, set.headline.LatestReady); ok {
		facts = append(facts, fact{Term: "Rows", Text: grouped(last.Rows), Small: shortDate(last.Date, today)})
	}
	return append(facts, fact{Term: "In the warehouse", Text: set.Relation, Small: set.Materialized})
}

// about says what a dataset is and whom to ask.
func about(set *dataset) string {
	owners := "Nobody owns it yet."
	if len(set.Owners) > 0 {
		owners = "Owned by " + joinWords(set.Owners, len(set.Owners)) + "."
	}
	return strings.TrimSpace(sentence(set.Description) + " " + owners)
}

// captionOf counts the days of a strip in words.
func captionOf(days []elt.DayStatus) string {
	counts := make(map[string]int)
	for _, d := range days {
		class := cellClass(d)
		if class == "r" && d.Deadline == elt.DeadlineMet {
			class = "met"
		}
		counts[class]++
	}
	var parts []string
	for _, k := range []struct{ class, word string }{
		{"met", "ready on time"}, {"r", "ready"}, {"o", "ready with a warning"}, {"l", "late"}, {"f", "failed or held up"}, {"u", "unknown"}, {"a", "at work"}, {"w", "waiting"}, {"n", "not expected"},
	} {
		if n := counts[k.class]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k.word))
		}
	}
	if len(parts) == 0 {
		return "Nothing has been expected yet."
	}
	return strings.Join(parts, ", ") + "."
}

func (v view) dayRow(set *dataset, d elt.DayStatus, today elt.Date) dayRow {
	r := dayRow{Date: shortDate(d.Date, today), Href: dayHref(set.Name, d.Date), Pill: v.pillOf(set, d)}
	if d.State == elt.DayReady {
		r.Ready = stampOf(d.ReadyAt, set.zone, d.Date.AddDays(1))
		r.Rows = grouped(d.Rows)
	}
	if d.Deadline == elt.DeadlineMissed {
		r.Late = span(d.ReadyAt.Sub(d.DeadlineAt)) + " late"
	}
	if d.Run != "" {
		r.Run = link{string(d.Run), "/runs/" + string(d.Run)}
	}
	return r
}

func (v view) progressOf(set *dataset) *progressBar {
	st := set.step
	if st == nil || st.State != elt.StepRunning || v.stale {
		return nil
	}
	p := &progressBar{Word: capital(doing(st.Kind))}
	p.Percent, p.Known = percent(st)
	var parts []string
	switch {
	case st.Progress.RowsExpected > 0:
		parts = append(parts, grouped(st.Progress.Rows)+" of about "+grouped(st.Progress.RowsExpected)+" rows")
	case st.Progress.Rows > 0:
		parts = append(parts, grouped(st.Progress.Rows)+" rows")
	}
	if st.Progress.Bytes > 0 {
		parts = append(parts, sized(st.Progress.Bytes))
	}
	if rows, _ := rates(st.Progress, v.at.Sub(st.StartedAt)); rows > 0 && st.Attempt == 1 {
		parts = append(parts, grouped(int64(rows))+" rows/s")
	}
	if st.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", st.Attempt))
	}
	if paused(st) != "" { // why, the sentence says
		p.Word = "Paused"
	}
	p.Text = strings.Join(parts, " · ")
	return p
}

type dayData struct {
	Failing              []failingTest
	AgainBy              string // the command that builds outdated days again
	Dataset, DatasetHref string
	Sentence, Detail     string
	Facts                []fact
	Failure              *elt.Failure
	CauseOf              link // where the root cause is shown, when it is another dataset's
	Steps                []stepRow
	Checks               []testRow
	Inputs               []inputRow
	Source               []fact
	Held                 *heldData
	Changes              []string
	Previous, Next       link
	Notes                []noteRow
	Acts                 []actForm
}

type inputRow struct {
	Dataset  link
	Read     string
	Outdated string
	Late     string // an older date that came after the model read it
}

func (s *Service) dayPage(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	date, err := dateText("date", c.Param("date"))
	if err != nil {
		return err
	}
	body, err := s.dayBody(c.Request().Context(), v, set, date)
	if err != nil {
		return err
	}
	_, snap, err := s.dayView(c.Request().Context(), v, set, date)
	if err != nil {
		return err
	}
	v.snapshot = snap
	today := elt.DateOf(v.at.In(set.zone))
	data := dayData{Dataset: string(set.Name), DatasetHref: datasetHref(set.Name), Sentence: body.Sentence, Detail: body.Detail}
	if data.Failing, err = s.failingTests(c, body.Run, set.Name); err != nil {
		return err
	}
	data.Facts = v.dayFacts(set, body)
	var used elt.Usage
	for _, st := range body.Steps {
		used = used.Plus(st.Usage)
	}
	data.Facts = append(data.Facts, billedFacts(used)...)
	if body.Cause != nil {
		data.Failure = body.Cause.Failure
		if body.Cause.Dataset != set.Name {
			data.CauseOf = link{string(body.Cause.Dataset), dayHref(body.Cause.Dataset, date)}
		}
	}
	if len(body.OutdatedBy) > 0 {
		data.AgainBy = "daybreak run --outdated"
	}
	data.Checks = testRows(body.Checks)
	data.Steps = stepRows(body.Steps, severalWorkers(body.Steps), set.zone, date.AddDays(1))
	for _, in := range body.Inputs {
		r := inputRow{Dataset: link{string(in.Dataset), dayHref(in.Dataset, date)}, Read: string(in.Read)}
		if in.Current != "" && in.Current != in.Read {
			r.Outdated = string(in.Current)
		}
		for _, o := range body.OutdatedBy {
			if o.Dataset == in.Dataset && o.Date != date {
				r.Late = fmt.Sprintf("its %s came later, as %s", shortDate(o.Date, today), o.Current)
			}
		}
		data.Inputs = append(data.Inputs, r)
	}
	data.Source = sourceRows(body.Source, set.zone, date.AddDays(1))
	if body.Source != nil {
		data.Held = sayHeld(set.Name, date, shortDate(date, today), body.Source.Fidelity, body.Source.Quarantined)
		data.Changes = sayChanges(body.Source)
	}
	data.Previous = link{shortDate(date.AddDays(-1), today), dayHref(set.Name, date.AddDays(-1))}
	data.Next = link{shortDate(date.AddDays(1), today), dayHref(set.Name, date.AddDays(1))}
	if _, ok := v.day(set.Name, date.AddDays(1)); !ok {
		data.Next = link{}
	}
	if _, ok := v.day(set.Name, date.AddDays(-1)); !ok {
		data.Previous = link{}
	}
	if data.Notes, err = s.notesOf(c, v, set.Name, date); err != nil {
		return err
	}
	data.Acts = s.dayForms(c, body)
	return s.page(c, http.StatusOK, "day", string(set.Name)+", "+shortDate(date, today), data)
}

func (v view) dayFacts(set *dataset, d *api.Day) []fact {
	p, by := shortPill(v.pillOf(set, d.DayStatus), d.DayStatus)
	facts := []fact{{Term: "State", Pill: &p, Small: by}}
	if !d.ReadyAt.IsZero() {
		at := stampOf(d.ReadyAt, set.zone, d.Date.AddDays(1))
		facts = append(facts, fact{Term: "Ready at", Time: &at})
	}
	if !d.DeadlineAt.IsZero() {
		at := stampOf(d.DeadlineAt, set.zone, d.Date.AddDays(1))
		word := map[elt.DeadlineState]string{
			elt.DeadlineMet: "met", elt.DeadlineMissed: "missed", elt.DeadlineBreached: "passed", elt.DeadlineAtRisk: "at risk", elt.DeadlineOnTrack: "ahead",
		}[d.Deadline]
		facts = append(facts, fact{Term: "Due", Time: &at, Small: word})
	}
	if d.State == elt.DayReady {
		facts = append(facts, fact{Term: "Rows", Text: grouped(d.Rows)})
		if d.Level != "" {
			facts = append(facts, fact{Term: "Verified", Text: string(d.Level), Small: levelText[d.Level]})
		}
		if d.Deletes > 0 {
			facts = append(facts, fact{Term: "Deleted", Text: counted(int(d.Deletes), "row"), Small: "the source no longer has them"})
		}
	}
	if d.Run != "" {
		facts = append(facts, fact{Term: "Run", Text: string(d.Run), Href: "/runs/" + string(d.Run)})
	}
	return facts
}

// levelText says what each level compared.
var levelText = map[elt.Level]string{
	elt.LevelCounts:  "as many rows in the source, the lake and the warehouse",
	elt.LevelColumns: "facts of each column, in the lake and the warehouse",
	elt.LevelRows:    "every row, in the source, the lake and the warehouse",
}

// sourceRows say what was read, where and when.
func sourceRows(f *api.SourceFacts, zone *time.Location, today elt.Date) []fact {
	if f == nil {
		return nil
	}
	at := stampOf(f.TakenAt, zone, today)
	rows := []fact{
		{Term: "Read from", Text: string(f.Source), Small: f.Server},
		{Term: "As it was at", Time: &at},
		{Term: "Mode", Text: string(f.Mode), Small: windowText(f.Window, zone)},
		{Term: "In the lake", Text: sized(f.Bytes), Small: fmt.Sprintf("%s rows in %s, %s", grouped(f.Rows), counted(f.Parts, "part"), counted(f.Columns, "column"))},
	}
	if f.CrossTableConsistent {
		rows[1].Small = "in the snapshot that was opened for every table of the run"
	}
	if f.Numbers != nil {
		rows[2].Small = numbersText(f.Numbers)
	}
	if f.Keys > 0 {
		rows = append(rows, fact{Term: "Keys compared", Text: grouped(f.Keys), Small: "to find rows that were deleted"})
	}
	if f.NullCursors > 0 {
		rows = append(rows, fact{Term: "Without a cursor", Text: counted(int(f.NullCursors), "row"), Small: map[elt.NullCursors]string{
			elt.NullsInclude: "brought every night", elt.NullsSkip: "left out",
		}[f.NullPolicy]})
	}
	if len(f.Uncompared) > 0 {
		rows = append(rows, fact{Term: "Not compared with the source", Text: strings.Join(f.Uncompared, ", "), Small: "the source knows no hashes"})
	}
	if len(f.Masked) > 0 {
		masked := fact{Term: "Masked", Text: strings.Join(f.Masked, ", ")}
		if f.MaskKey != "" {
			masked.Small = "with the key " + f.MaskKey
		}
		rows = append(rows, masked)
	}
	return rows
}

func numbersText(n *elt.Numbers) string {
	switch {
	case n.High == nil:
		return "there was nothing"
	case n.From == nil:
		return fmt.Sprintf("every row up to number %d", *n.High)
	}
	return fmt.Sprintf("numbers from %d to %d", *n.From, *n.High)
}

func windowText(w *elt.Window, zone *time.Location) string {
	switch {
	case w == nil:
		return "every row"
	case w.From.IsZero():
		return "everything up to " + w.To.In(zone).Format("Mon 2 Jan 15:04")
	}
	return "changed from " + w.From.In(zone).Format("Mon 2 Jan 15:04") + " to " + w.To.In(zone).Format("Mon 2 Jan 15:04")
}
