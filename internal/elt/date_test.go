package elt_test

import (
	"archive/zip"
	"encoding/json"
	"iter"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// zones returns every distinct zone of the Go distribution's copy of tzdb.
func zones(t *testing.T) []*time.Location {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("ask the Go command where its time zones are: %v", err)
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var out []*time.Location
	seen := make(map[uint32]bool) // many names are links to the same zone
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") || seen[f.CRC32] {
			continue
		}
		seen[f.CRC32] = true
		loc, err := time.LoadLocation(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, loc)
	}
	if len(out) < 300 {
		t.Fatalf("only %d zones", len(out))
	}
	return out
}

// clockChange is a minute after which a zone's clock does not show the minute that comes next.
type clockChange struct {
	at     time.Time // the first instant with the new offset
	before time.Time // what the clock would have shown at that instant, as if it were UTC
	after  time.Time // what it shows
}

func shown(t time.Time, loc *time.Location) time.Time {
	local := t.In(loc)
	y, m, d := local.Date()
	h, min, s := local.Clock()
	return time.Date(y, m, d, h, min, s, 0, time.UTC)
}

// changes steps through the years and returns every change of the zone's clock: by the day, by the hour within a day in which
// the clock moved otherwise than by a day, and so on to the second.
func changes(loc *time.Location, from, to time.Time) (out []clockChange) {
	for d := range moves(loc, from, to, 24*time.Hour) {
		for h := range moves(loc, d, d.Add(24*time.Hour), time.Hour) {
			for m := range moves(loc, h, h.Add(time.Hour), time.Minute) {
				for s := range moves(loc, m, m.Add(time.Minute), time.Second) {
					at := s.Add(time.Second)
					out = append(out, clockChange{at, shown(s, loc).Add(time.Second), shown(at, loc)})
				}
			}
		}
	}
	return out
}

// moves are the beginnings of those steps at whose end the zone's clock has moved otherwise than by a step.
func moves(loc *time.Location, from, to time.Time, step time.Duration) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		last := shown(from, loc)
		for t := from; t.Before(to); t = t.Add(step) {
			now := shown(t.Add(step), loc)
			if now.Sub(last) != step && !yield(t) {
				return
			}
			last = now
		}
	}
}

// oracle returns the first instant at which a clock that started at from and moved as the changes say shows wall or
// later: the instant itself, the end of the gap that skipped it, or the first of two.
func oracle(wall, from time.Time, fromShown time.Time, changes []clockChange) time.Time {
	at, clock := from, fromShown
	for _, c := range changes {
		if wall.Before(c.before) { // shown before this change
			break
		}
		at, clock = c.at, c.after
		if !wall.After(clock) { // skipped by it
			return at
		}
	}
	return at.Add(wall.Sub(clock))
}

// Every date of every zone has one start and one tick, at the first instant at which the clock shows that time or has
// passed it.
func TestAtAgainstStepping(t *testing.T) {
	years := [2]int{2010, 2023} // holds the skipped date of Samoa, and the last clock changes at midnight
	from := time.Date(years[0], 1, 1, 0, 0, 0, 0, time.UTC)
	to := time.Date(years[1], 1, 1, 0, 0, 0, 0, time.UTC)
	all := zones(t)
	var dates, moved int
	for _, loc := range all {
		list := changes(loc, from, to)
		// Only the days around a change differ from the rest of their year.
		days := map[elt.Date]bool{{Year: years[0], Month: 6, Day: 15}: true}
		for _, c := range list {
			for n := -2; n <= 2; n++ {
				days[elt.DateOf(c.before).AddDays(n)] = true
				days[elt.DateOf(c.after).AddDays(n)] = true
			}
		}
		fromShown := shown(from, loc)
		for d := range days {
			if d.DaysSince(elt.DateOf(from)) < 3 || elt.DateOf(to).DaysSince(d) < 3 {
				continue
			}
			dates++
			for minute := 0; minute < 24*60; minute += 30 {
				for _, m := range []int{minute, minute + 1} {
					wall := time.Date(d.Year, d.Month, d.Day, 0, m, 0, 0, time.UTC)
					want := oracle(wall, from, fromShown, list)
					got := d.At(m/60, m%60, loc)
					if !got.Equal(want) {
						t.Fatalf("%s %s %02d:%02d is %s, stepping says %s", loc, d, m/60, m%60, got.UTC(), want.UTC())
					}
					if !shown(got, loc).Equal(wall) {
						moved++
					}
				}
			}
		}
	}
	t.Logf("%d zones, %d dates, %d wall times in a gap", len(all), dates, moved)
	if moved == 0 {
		t.Error("no gap was met")
	}
}

func TestStartsOfDates(t *testing.T) {
	for _, tc := range []struct{ zone, date, want, why string }{
		{"Europe/Dublin", "2026-03-29", "2026-03-29T00:00:00Z", "an ordinary midnight"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", "midnight is skipped: the day starts at 01:00"},
		{"America/Havana", "2024-11-03", "2024-11-03T04:00:00Z", "midnight is shown twice: the first"},
		{"America/St_Johns", "2010-11-07", "2010-11-07T02:30:00Z", "at 00:01 the clock goes back to the day before"},
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", "the whole date is skipped: it starts when the next one does"},
		{"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z", "after the skipped date"},
		{"Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", "before the skipped date"},
		{"Pacific/Kwajalein", "1993-08-21", "1993-08-21T12:00:00Z", "the whole date is skipped"},
		{"Asia/Kathmandu", "2026-01-01", "2025-12-31T18:15:00Z", "an offset of quarters"},
		{"Africa/Monrovia", "1972-01-07", "1972-01-07T00:44:30Z", "an offset with seconds, and a gap"},
		{"UTC", "2026-01-01", "2026-01-01T00:00:00Z", "UTC"},
	} {
		loc, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		d, err := elt.ParseDate(tc.date)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Start(loc).UTC().Format(time.RFC3339); got != tc.want {
			t.Errorf("%s starts in %s at %s, want %s (%s)", d, tc.zone, got, tc.want, tc.why)
		}
	}
}

// Windows of consecutive dates tile time: no instant is in two, none is in none, and none ends before it starts.
func TestWindowsTile(t *testing.T) {
	for _, loc := range zones(t) {
		d := elt.Date{Year: 2005, Month: 1, Day: 1}
		last := d.Window(loc)
		for end := (elt.Date{Year: 2030, Month: 1, Day: 1}); d.Before(end); {
			d = d.AddDays(1)
			w := d.Window(loc)
			if !w.From.Equal(last.To) || w.To.Before(w.From) {
				t.Fatalf("%s: the window of %s is %s to %s, the one before ends at %s", loc, d, w.From, w.To, last.To)
			}
			last = w
		}
	}
}

func anyDate(t *rapid.T, label string) elt.Date {
	return elt.Date{Year: 1600, Month: 1, Day: 1}.AddDays(rapid.IntRange(0, 400_000).Draw(t, label))
}

func TestDateArithmetic(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		a, b := anyDate(t, "a"), anyDate(t, "b")
		if got := a.AddDays(b.DaysSince(a)); got != b {
			t.Fatalf("%s plus the days to %s is %s", a, b, got)
		}
		if a.Before(b) != (b.DaysSince(a) > 0) || a.After(b) != (b.DaysSince(a) < 0) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%s and %s are not ordered", a, b)
		}
		p, err := elt.ParseDate(a.String())
		if err != nil || p != a {
			t.Fatalf("%s reads back as %s: %v", a, p, err)
		}
		if got := a.AddDays(7).Weekday(); got != a.Weekday() {
			t.Fatalf("%s is a %s, a week later it is %s", a, a.Weekday(), got)
		}
		text, err := json.Marshal(a)
		var back elt.Date
		if err != nil || json.Unmarshal(text, &back) != nil || back != a {
			t.Fatalf("%s as JSON is %s, and back %s: %v", a, text, back, err)
		}
	})
}

func TestDateText(t *testing.T) {
	for _, bad := range []string{"", "2026-1-5", "2026-02-29", "05.01.2026", "2026-01-05T00:00:00Z", "20260105", " 2026-01-05"} {
		if d, err := elt.ParseDate(bad); err == nil {
			t.Errorf("%q is read as %s", bad, d)
		}
	}
	var zero, d elt.Date
	if zero.String() != "" || !zero.IsZero() {
		t.Errorf("the zero date prints as %q", zero)
	}
	d = elt.Date{Year: 2026, Month: 1, Day: 5}
	if err := d.UnmarshalText(nil); err != nil || !d.IsZero() {
		t.Errorf("the empty text is %v: %v", d, err)
	}
	d = elt.Date{Year: 2026, Month: 1, Day: 5}
	if err := d.UnmarshalText([]byte("rubbish")); err == nil || d.Day != 5 {
		t.Errorf("rubbish is read as %v: %v", d, err)
	}
}
