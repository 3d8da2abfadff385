package schedules

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// calendar says on which local dates a schedule fires. Its zero value is every date.
type calendar struct {
	spec *cron.SpecSchedule // nil without a cron expression
	days []time.Weekday     // none means every day of the week
	text string             // how the file says it: for the reason of a date that is not expected
}

// fires reports whether there is a tick on the local date.
func (c calendar) fires(date elt.Date) bool {
	if c.spec != nil {
		return onDate(c.spec, date)
	}
	if len(c.days) == 0 {
		return true
	}
	for _, d := range c.days {
		if d == date.Weekday() {
			return true
		}
	}
	return false
}

// daily reports whether no date is left out.
func (c calendar) daily() bool {
	day := elt.Date{Year: 2000, Month: time.January, Day: 1}
	for range searchDays {
		if !c.fires(day) {
			return false
		}
		day = day.AddDays(1)
	}
	return true
}

// searchDays is how far an expression is searched for a date: 29 February can be eight years away, and four times
// that until it is a Sunday again.
const searchDays = 40 * 366

// never reports whether no date ever matches, as for 30 February.
func (c calendar) never() bool {
	day := elt.Date{Year: 2000, Month: time.January, Day: 1}
	for range searchDays {
		if c.fires(day) {
			return false
		}
		day = day.AddDays(1)
	}
	return true
}

// cronStar is the bit by which the cron package marks a field that was given as *.
const cronStar = 1 << 63

// onDate applies cron's rule: the month matches, and both day fields where one of them is *, else either.
func onDate(s *cron.SpecSchedule, d elt.Date) bool {
	if s.Month&(1<<uint(d.Month)) == 0 {
		return false
	}
	dom := s.Dom&(1<<uint(d.Day)) != 0
	dow := s.Dow&(1<<uint(d.Weekday())) != 0
	if s.Dom&cronStar != 0 || s.Dow&cronStar != 0 {
		return dom && dow
	}
	return dom || dow
}

// parseCron reads an expression of five fields that fires at one time of the day. The cron package parses; when a tick
// is due is ours to say, because no cron library runs once per local date through a change of the clocks.
func parseCron(text string) (c calendar, hour, minute int, err *elt.Error) {
	bad := func(code elt.Code, what, do string) (calendar, int, int, *elt.Error) {
		return calendar{}, 0, 0, &elt.Error{Code: code, Class: elt.Config, What: what, Do: do}
	}
	fields := strings.Fields(text)
	if strings.ContainsAny(text, "=@") || len(fields) != 5 {
		return bad(codeBadCron, fmt.Sprintf("%q is not a cron expression of five fields", text),
			`write minute, hour, day of month, month and day of week, as in "30 2 * * *"; the zone is given by timezone:`)
	}
	parsed, perr := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(strings.Join(fields, " "))
	spec, ok := parsed.(*cron.SpecSchedule)
	if perr != nil || !ok {
		return bad(codeBadCron, fmt.Sprintf("%q is not a cron expression: %v", text, perr),
			`write minute, hour, day of month, month and day of week, as in "30 2 * * 1-5"; Sunday is 0`)
	}
	if spec.Minute == 0 || spec.Hour == 0 { // an empty list, ","
		return bad(codeBadCron, fmt.Sprintf("%q names no minute or no hour", text), `give one minute and one hour, as in "30 2 * * *"`)
	}
	if bits.OnesCount64(spec.Minute&^cronStar) > 1 || bits.OnesCount64(spec.Hour&^cronStar) > 1 {
		return bad(codeCronTooOften, fmt.Sprintf("%q fires more than once a day, and a schedule brings each data date once", text),
			`give one minute and one hour, as in "30 2 * * *"`)
	}
	c = calendar{spec: spec, text: fmt.Sprintf("cron %q", text)}
	if c.never() {
		return bad(codeBadCron, fmt.Sprintf("%q never fires: no date matches it", text), "correct the day of month and the month")
	}
	return c, bits.TrailingZeros64(spec.Hour), bits.TrailingZeros64(spec.Minute), nil
}

// parseDays reads the days of the week on which a schedule fires.
func parseDays(names []string) (days []time.Weekday, bad []int) {
	for i, name := range names {
		at := -1
		for d := time.Sunday; d <= time.Saturday; d++ {
			if strings.EqualFold(name, d.String()[:3]) || strings.EqualFold(name, d.String()) {
				at = int(d)
			}
		}
		if at < 0 {
			bad = append(bad, i)
			continue
		}
		days = append(days, time.Weekday(at))
	}
	return days, bad
}
