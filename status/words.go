package status

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// listed joins dataset names as they are written everywhere else, so that what a sentence names can be searched and
// copied: "shop.invoices, revenue and 3 more".
func listed(ds []elt.DatasetName, most int) string {
	words := make([]string, len(ds))
	for i, d := range ds {
		words[i] = string(d)
	}
	return joinWords(words, most)
}

func joinWords(words []string, most int) string {
	if len(words) > most+1 {
		words = append(slices.Clone(words[:most]), fmt.Sprintf("%d more", len(words)-most))
	}
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// capital begins s with a capital, unless its first word is a name that is written as it is: a file's, a table's.
func capital(s string) string {
	if first, _, _ := strings.Cut(s, " "); strings.ContainsAny(strings.TrimRight(first, ".,:;"), "/._") {
		return s
	}
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[size:]
}

// sentence ends text with a full stop and begins it with a capital, unless it begins with a name that is written as
// it is: shop.users, stg_users, unique(id), limit="0".
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if first, _, _ := strings.Cut(text, " "); !strings.ContainsAny(strings.TrimRight(first, ".,:;!?"), "._(@/=") {
		text = capital(text)
	}
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// shortDate is "Fri 20 Nov", with the year when it is not this one.
func shortDate(d, today elt.Date) string {
	if d.IsZero() {
		return ""
	}
	layout := "Mon 2 Jan"
	if d.Year != today.Year {
		layout = "Mon 2 Jan 2006"
	}
	return asTime(d).Format(layout)
}

// dayName is how people call a recent date: "Friday"; an older one is "Fri 6 Nov".
func dayName(d, today elt.Date) string {
	if age := today.DaysSince(d); age >= 0 && age < 7 {
		return d.Weekday().String()
	}
	return shortDate(d, today)
}

func asTime(d elt.Date) time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

func clock(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("15:04")
}

// moment is a clock time with its date when that is not the reference date.
func moment(t time.Time, zone *time.Location, today elt.Date) string {
	if t.IsZero() {
		return ""
	}
	if d := elt.DateOf(t.In(zone)); d != today {
		return shortDate(d, today) + ", " + clock(t, zone)
	}
	return clock(t, zone)
}

// span is a duration as people say it: "38 s", "12 min", "1 h 05 min", "3 days".
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Round(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// grouped is 8214500 as "8,214,500".
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// sized is a number of bytes as "163 MB".
func sized(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	f, i := float64(n), 0
	for f >= 999.5 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if i == 0 || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return strings.Replace(fmt.Sprintf("%.1f %s", f, units[i]), ".0 ", " ", 1)
}

// prose makes text break where it reads well: a date stays on one line, a long name parts after its dots and underscores.
func prose(text string) template.HTML {
	text = html.EscapeString(unbroken.ReplaceAllString(text, "$1\u00a0$2\u00a0$3"))
	text = isoDate.ReplaceAllString(breakable.ReplaceAllString(text, "$1<wbr>$2"), `<span class="date">$0</span>`)
	return template.HTML(text) // escaped above, all but the breaks and what keeps from them
}

var isoDate = regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`)

var breakable = regexp.MustCompile(`([a-z0-9][._])([a-z])`)

var unbroken = regexp.MustCompile(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\d{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)`)

// sentences parts a heading, so that a line breaks between its sentences first.
func sentences(text string) []string { return strings.SplitAfter(text, ". ") }

// counted is "1 dataset", "3 datasets".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(int64(n)) + " " + noun + "s"
}

func be(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
