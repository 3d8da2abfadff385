package status

import (
	"fmt"
	"html"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/eta"
)

const (
	cellsShown = 90
	rowsShown  = 100
	// troublesShown and affectedShown bound what a page tells of a night in which nothing came: the worst is above the rows,
	// and the rows are still within reach.
	troublesShown = 10
	affectedShown = 12
)

type overviewData struct {
	Sentence, Detail    string
	Trouble             []troubleItem
	MoreTrouble         link // to what is not among them
	Query, Owner, State string
	Mine                string // the datasets that the reader calls theirs, or their owners
	Keep                string // the address that keeps what is shown as the reader's own
	Chips               []chip
	Owners              []string
	Date                string // the night's, for the table's head
	Rows                []row
	Filtered            bool
	More                string // the address of the next rows
	Any                 bool   // there is a dataset at all
}

type troubleItem struct {
	Pill     pill
	Title    string
	Href     string
	Since    stamp
	Detail   string
	Do       string
	Code     elt.Code
	Affected []link
	More     string // how many more it holds up
	Owners   string
	Incident string
}

type link struct{ Text, Href string }

type chip struct {
	Text    string
	Count   int
	Href    string
	Current bool
}

type row struct {
	Name, Href, Description string
	Pill                    pill
	Day                     link   // the day that the pill is about
	State                   string // the pill's words in full
	By                      string // what the row's pill leaves out of them: what holds the day up
	OtherDate               string
	Through                 string
	Ready                   readiness
	Owners, OwnersFull      string
	Gaps                    string
	Cells                   cells
	Loud                    bool
}

// readiness is the "ready at" column: a fact where there is one, else the deadline and when it is expected or usually
// comes.
type readiness struct {
	At  stamp
	Due string
	Sub string
}

// cell is one day of a strip. Class says it in colour and shape, Title in words.
type cell struct{ Class, Href, Title string }

// cells are a row of days. A page has nine thousand of them, which a template takes thirty milliseconds to write.
type cells []cell

// HTML writes them.
func (c cells) HTML() template.HTML {
	var b strings.Builder
	for _, d := range c {
		if d.Href == "" {
			b.WriteString("<i></i>")
			continue
		}
		b.WriteString(`<a class="` + html.EscapeString(d.Class) + `" href="` + html.EscapeString(d.Href) + `" title="`)
		b.WriteString(html.EscapeString(d.Title) + `" tabindex="-1"></a>`)
	}
	return template.HTML(b.String()) // every part of it is escaped here
}

func (s *Service) overviewPage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	sel, err := selectionOf(c)
	if err != nil {
		return err
	}
	all := v.live()
	n := v.night
	data := overviewData{
		Sentence: n.sentence, Detail: n.detail, Query: sel.query, Owner: sel.owner, State: sel.state, Mine: sel.mine,
		Date: shortDate(n.date, v.today()), Any: len(all) > 0, Filtered: sel != selection{},
	}
	if v.stale {
		data.Sentence = "Unknown: the ledger was last read " + span(v.lag) + " ago."
		data.Detail = "What follows was true then. Nobody can vouch for it now, so gates answer 503 until the ledger is read again."
	}
	for _, t := range n.trouble[:min(troublesShown, len(n.trouble))] {
		data.Trouble = append(data.Trouble, v.troubleItem(t))
	}
	if left := len(n.trouble) - len(data.Trouble); left > 0 {
		data.MoreTrouble = link{counted(left, "more cause") + " of trouble: see every dataset that needs a look", selectionURL(selection{state: attention}, "")}
	}
	data.Owners = ownersOf(all)
	if sel.owner != "" && !slices.Contains(data.Owners, sel.owner) {
		data.Owners = append(data.Owners, sel.owner)
	}
	data.Chips = chipsOf(all, sel)
	sorted := v.loudFirst(all)
	after := c.QueryParam("after")
	for _, set := range sorted {
		if !sel.matches(set) {
			continue
		}
		if after != "" {
			if string(set.Name) == after {
				after = ""
			}
			continue
		}
		if len(data.Rows) == rowsShown {
			data.More = selectionURL(sel, data.Rows[rowsShown-1].Name)
			break
		}
		data.Rows = append(data.Rows, v.row(set))
	}
	data.Keep = keepAddress(sel, data.Rows, data.More)
	return s.page(c, http.StatusOK, "overview", data.Sentence, data)
}

// keepAddress is the address under which the datasets that were found stay together as the reader's own; empty where there
// is nothing to keep, or too much.
func keepAddress(sel selection, rows []row, more string) string {
	const most = 40
	switch {
	case sel.mine != "" || sel.query == "" && sel.owner == "" || more != "" || len(rows) == 0 || len(rows) > most:
		return ""
	case sel.query == "":
		return selectionURL(selection{mine: sel.owner}, "")
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Name
	}
	slices.Sort(names)
	return selectionURL(selection{mine: strings.Join(names, ",")}, "")
}

// loudFirst returns what needs a person before what is merely there: the causes before what they hold
// up, the rest by name.
func (s *snapshot) loudFirst(byName []*dataset) []*dataset {
	out := make([]*dataset, 0, len(byName))
	for _, set := range s.sets {
		if loudness(set) > 0 && !set.Retired {
			out = append(out, set)
		}
	}
	slices.SortStableFunc(out, func(a, b *dataset) int { return loudness(b) - loudness(a) })
	for _, set := range byName {
		if loudness(set) == 0 {
			out = append(out, set)
		}
	}
	return out
}

// loudness puts what needs a person above what is merely there.
func loudness(set *dataset) int {
	if sev := set.headline.Latest.Severity(); sev >= 3 {
		return sev
	}
	return 0
}

func ownersOf(sets []*dataset) []string {
	var out []string
	for _, set := range sets {
		out = append(out, set.Owners...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func selectionURL(sel selection, after string) string {
	q := url.Values{}
	for name, value := range map[string]string{"q": sel.query, "owner": sel.owner, "state": sel.state, "mine": sel.mine, "after": after} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

func chipsOf(all []*dataset, sel selection) []chip {
	count := func(state string) int {
		n := 0
		for _, set := range all {
			if (selection{query: sel.query, owner: sel.owner, state: state, mine: sel.mine}).matches(set) {
				n++
			}
		}
		return n
	}
	chips := []chip{{Text: "All", Count: count("")}}
	if n := count(attention); n > 0 || sel.state == attention {
		chips = append(chips, chip{Text: "Needs a look", Count: n, Href: attention})
	}
	for i := range chips {
		state := chips[i].Href
		chips[i].Current = sel.state == state
		chips[i].Href = selectionURL(selection{query: sel.query, owner: sel.owner, state: state, mine: sel.mine}, "")
	}
	return chips
}

func (v view) today() elt.Date { return elt.DateOf(v.at.In(v.location)) }

func datasetHref(d elt.DatasetName) string { return "/datasets/" + string(d) }

func dayHref(d elt.DatasetName, date elt.Date) string {
	return "/datasets/" + string(d) + "/" + date.String()
}

func (v view) troubleItem(t api.Trouble) troubleItem {
	set := v.byName[t.Dataset]
	item := troubleItem{
		Title: t.Title, Href: dayHref(t.Dataset, t.Date), Detail: t.Detail, Do: sentence(t.Do),
		Owners: strings.Join(t.Owners, ", "), Incident: string(t.Incident),
		Since: stampOf(t.Since, set.zone, elt.DateOf(v.at.In(set.zone))),
	}
	if t.Failure != nil {
		item.Code = t.Failure.Code
	}
	switch {
	case t.Severity == api.P1:
		item.Pill = pill{"failed", "✕", "P1"}
	case t.State == elt.DayUnknown:
		item.Pill = pill{"unknown", "?", "Unknown"}
	case t.State == elt.DayReady:
		item.Pill = pill{"failed", "✕", "Withdrawn"}
	case t.Severity == api.Problem:
		item.Pill = pill{"failed", "✕", "Stuck"}
	default:
		item.Pill = pill{"late", "↻", "Retrying"}
		if t.State == elt.DayRunning { // on purpose
			item.Pill = pill{"waiting", "‖", "Paused"}
		}
	}
	shown := t.Affected
	if left := len(shown) - affectedShown; left > 1 {
		shown, item.More = shown[:affectedShown], grouped(int64(left))+" more"
	}
	for _, d := range shown {
		item.Affected = append(item.Affected, link{string(d), datasetHref(d)})
	}
	return item
}

// troubleWith returns the trouble that a dataset has or suffers from, nil when there is none.
func (v view) troubleWith(name elt.DatasetName) *troubleItem {
	for _, t := range v.night.trouble {
		if t.Dataset == name || slices.Contains(t.Affected, name) {
			item := v.troubleItem(t)
			return &item
		}
	}
	return nil
}

func (v view) row(set *dataset) row {
	d := set.headline.Latest
	today := elt.DateOf(v.at.In(set.zone))
	r := row{
		Name: string(set.Name), Href: datasetHref(set.Name), Description: set.Description, Pill: v.pillOf(set, d),
		Through: shortDate(set.headline.CompleteThrough, today), Owners: shortOwners(set.Owners), OwnersFull: strings.Join(set.Owners, ", "),
		Ready: v.readiness(set, d), Loud: loudness(set) > 0,
	}
	if n := len(set.gaps); n > 0 {
		r.Gaps = counted(n, "day") + " missing"
	}
	if d.State != "" {
		r.Day = link{r.Pill.Text, dayHref(set.Name, d.Date)}
	}
	if d.Date != v.night.date {
		r.OtherDate = shortDate(d.Date, today)
	}
	r.State = r.Pill.Text
	r.Pill, r.By = shortPill(r.Pill, d)
	if r.Through == "" {
		r.Through = "–"
	}
	to := v.night.date
	if to.IsZero() {
		to = today.AddDays(-1)
	}
	r.Cells = v.cells(set, to, cellsShown)
	return r
}

// shortPill parts a pill from the name in it: what it is about, and by or for whom, which goes beneath.
func shortPill(p pill, d elt.DayStatus) (short pill, by string) {
	switch {
	case d.State == elt.DayBlocked:
		p.Text, by = "Held up", "by "+holder(d)
	case d.State == elt.DayWaiting && d.Deadline != elt.DeadlineBreached:
		p.Text, by = "Waits", "for "+awaited(d)
	}
	return p, by
}

// shortOwners leaves out what follows the @ of an address, and all owners beyond the third: the whole is in the title.
func shortOwners(owners []string) string {
	const most = 3
	short := make([]string, 0, most)
	for _, o := range owners[:min(most, len(owners))] {
		name, _, _ := strings.Cut(o, "@")
		short = append(short, name)
	}
	text := strings.Join(short, ", ")
	if rest := len(owners) - most; rest > 0 {
		text += fmt.Sprintf(" +%d", rest)
	}
	return text
}

func (v view) readiness(set *dataset, d elt.DayStatus) readiness {
	var r readiness
	today := elt.DateOf(v.at.In(set.zone))
	switch {
	case d.State == elt.DayReady:
		r.At = stampOf(d.ReadyAt, set.zone, today)
		r.At.Text = clock(d.ReadyAt, set.zone)
		if on := elt.DateOf(d.ReadyAt.In(set.zone)); on != d.Date.AddDays(1) {
			r.Sub = shortDate(on, today)
		}
		if d.Deadline == elt.DeadlineMissed {
			r.Sub = span(d.ReadyAt.Sub(d.DeadlineAt)) + " late"
		}
	case d.State != elt.DayNotExpected && !d.DeadlineAt.IsZero():
		r.Due = "due " + clock(d.DeadlineAt, set.zone)
	default:
		r.Due = "–"
	}
	switch e, estimated := v.estimateOf(d); {
	case estimated && e.Known():
		r.Sub = "about " + moment(eta.WholeMinute(e.Expected), set.zone, today)
	case d.State != elt.DayReady && d.State != elt.DayNotExpected && set.usual != "":
		r.Sub = "usually " + set.usual
	}
	return r
}

// cells are the days up to a date, one for each date, also where nothing is known.
func (v view) cells(set *dataset, to elt.Date, n int) cells {
	out := make(cells, 0, n)
	for i := n - 1; i >= 0; i-- {
		date := to.AddDays(-i)
		d, ok := v.day(set.Name, date)
		if !ok {
			out = append(out, cell{Class: "n", Title: asTime(date).Format("Mon 2 Jan") + ": nothing expected"})
			continue
		}
		out = append(out, cell{cellClass(d), dayHref(set.Name, date), asTime(date).Format("Mon 2 Jan") + ": " + cellWord(d, v.pillOf(set, d), set)})
	}
	return out
}

// cellClass is a letter, because a page has thousands of cells: r ready, o ready with a warning, l late, a at work,
// w waiting, f failed or held up, u unknown, n nothing expected.
func cellClass(d elt.DayStatus) string {
	switch {
	case d.Impossible():
		return "f"
	case d.State == elt.DayUnknown:
		return "u"
	case d.State == elt.DayNotExpected:
		return "n"
	case d.State == elt.DayReady && d.Deadline == elt.DeadlineMissed:
		return "l"
	case d.State == elt.DayReady && (d.Checks == elt.ChecksWarned || len(d.Outdated) > 0):
		return "o"
	case d.State == elt.DayReady:
		return "r"
	case d.Deadline == elt.DeadlineBreached:
		return "l"
	case d.State == elt.DayRunning || d.State == elt.DayRetrying:
		return "a"
	}
	return "w"
}

func cellWord(d elt.DayStatus, p pill, set *dataset) string {
	word := strings.ToLower(p.Text)
	if d.State == elt.DayReady {
		word += " " + clock(d.ReadyAt, set.zone)
	}
	return word
}
