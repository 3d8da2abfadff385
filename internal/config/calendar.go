package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ics"
)

// Calendar names dates on which no data is due.
type Calendar struct {
	Dates  []string `yaml:"dates"` // "2026-12-25", "2026-12-25 Christmas Day"
	Ranges []Range  `yaml:"ranges"`
	Weekly []string `yaml:"weekly"`
	ICS    string   `yaml:"ics"` // an iCalendar file
}

// Range is a span of dates, both inclusive.
type Range struct {
	From elt.Date `yaml:"from"`
	To   elt.Date `yaml:"to"`
	Name string   `yaml:"name"`
}

// Maintenance is a time in which data will not come.
type Maintenance struct {
	From       string            `yaml:"from"`
	To         string            `yaml:"to"`
	Timezone   string            `yaml:"timezone"`
	Datasets   []elt.DatasetName `yaml:"datasets"`
	Sources    []elt.SourceName  `yaml:"sources"`
	Everything bool              `yaml:"everything"`
	Reason     string            `yaml:"reason"`
}

// calendars checks each calendar, and makes of it what schedules ask.
func (c *checker) calendars() {
	if len(c.config.Calendars) > 0 {
		c.config.Holidays = make(map[elt.CalendarName]*elt.Calendar)
	}
	for _, name := range slices.Sorted(maps.Keys(c.config.Calendars)) {
		if !elt.ValidPlainName(string(name)) {
			c.problem(CodeBadCalendar, fmt.Sprintf("%q cannot name a calendar", name), "use lower-case letters, digits, _ and -, beginning with a letter", "calendars", string(name))
		}
		c.config.Holidays[name] = c.calendar(name, c.config.Calendars[name])
	}
}

func (c *checker) calendar(name elt.CalendarName, from Calendar) *elt.Calendar {
	wrong := func(what, do string, path ...any) {
		c.problem(CodeBadCalendar, what, do, append([]any{"calendars", string(name)}, path...)...)
	}
	out := &elt.Calendar{Name: name, Dates: make(map[elt.Date]string)}
	if len(from.Dates)+len(from.Ranges)+len(from.Weekly) == 0 && from.ICS == "" {
		wrong(fmt.Sprintf("calendar %s has no dates", name), "add dates, ranges, weekly or ics")
	}
	if from.ICS != "" {
		dates, err := c.readICS(from.ICS)
		if err != nil {
			wrong(fmt.Sprintf("%s cannot be used: %v", from.ICS, err), "name an iCalendar file of the workspace whose events last all day", "ics")
		}
		maps.Copy(out.Dates, dates)
	}
	for i, text := range from.Dates {
		date, what, _ := strings.Cut(text, " ")
		d, err := elt.ParseDate(date)
		if err != nil {
			wrong(err.Error(), `write 2026-12-25, or 2026-12-25 Christmas Day`, "dates", i)
			continue
		}
		out.Dates[d] = strings.TrimSpace(what)
	}
	for i, r := range from.Ranges {
		const most = 400
		switch {
		case r.From.IsZero() || r.To.IsZero():
			wrong("a range has no beginning or no end", "give from and to", "ranges", i)
		case r.To.Before(r.From):
			wrong(fmt.Sprintf("the range ends on %s, before it begins on %s", r.To, r.From), "exchange the two dates", "ranges", i)
		case r.To.DaysSince(r.From) > most:
			wrong(fmt.Sprintf("the range has %d days", r.To.DaysSince(r.From)), fmt.Sprintf("give at most %d: what is away for longer is retired", most), "ranges", i)
		}
		out.Spans = append(out.Spans, elt.DateSpan{From: r.From, To: r.To, What: r.Name})
	}
	for i, text := range from.Weekly {
		day := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, text)
		if day < 0 || slices.Contains(out.Weekly, time.Weekday(day)) {
			wrong(fmt.Sprintf("%q is not a day of the week, or is named twice", text), "write mon, tue, wed, thu, fri, sat or sun", "weekly", i)
			continue
		}
		if out.Weekly = append(out.Weekly, time.Weekday(day)); len(out.Weekly) == 7 {
			wrong(fmt.Sprintf("calendar %s holds every day of the week, so that nothing would ever run", name), "leave a day out", "weekly")
		}
	}
	return out
}

func (c *checker) readICS(path string) (map[elt.Date]string, error) {
	f, err := os.Open(c.config.resolve(path))
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	return ics.Parse(f)
}

// maintenance checks each window of the file.
func (c *checker) maintenance() {
	for i, from := range c.config.Maintenance {
		wrong := func(what, do string, path ...any) {
			c.problem(CodeBadMaintenance, what, do, append([]any{"maintenance", i}, path...)...)
		}
		m := elt.Maintenance{Zone: from.Timezone, Everything: from.Everything, Datasets: from.Datasets, Sources: from.Sources, Reason: from.Reason, By: FileName}
		zone, err := time.LoadLocation(from.Timezone)
		if err != nil || from.Timezone == "" || from.Timezone == "Local" {
			wrong(fmt.Sprintf("there is no time zone %q", from.Timezone), "write an IANA name such as Europe/Dublin, or UTC", "timezone")
			continue
		}
		var ferr, terr error
		if m.From, ferr = elt.ParseMoment(from.From, zone); ferr != nil {
			wrong(ferr.Error(), "correct it", "from")
		}
		if m.To, terr = elt.ParseMoment(from.To, zone); terr != nil {
			wrong(terr.Error(), "correct it", "to")
		}
		if cmp.Or(ferr, terr) != nil {
			continue
		}
		if err := m.Check(); err != nil {
			wrong(err.Error(), elt.NewFailure(err).Do)
			continue
		}
		for _, s := range from.Sources {
			if _, known := c.config.Sources[s]; !known {
				wrong(fmt.Sprintf("there is no source %q", s), "name one of sources", "sources")
			}
		}
		m.ID = fileID(m)
		c.config.Windows = append(c.config.Windows, m)
	}
}

// fileID names a window of the file by what it says, so that it is the same one as long as nobody changes it.
func fileID(m elt.Maintenance) elt.MaintenanceID {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // a struct of texts and times
	}
	sum := sha256.Sum256(text)
	return elt.MaintenanceID("file-" + hex.EncodeToString(sum[:6]))
}
