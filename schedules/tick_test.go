package schedules

import (
	"archive/zip"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func date(t testing.TB, s string) elt.Date {
	t.Helper()
	d, err := elt.ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// shows is what a zone's clock shows from one instant to another: its offset, and when that changes.
func shows(loc *time.Location, from, to time.Time) string {
	var all strings.Builder
	for at := from.In(loc); ; {
		_, offset := at.Zone()
		fmt.Fprintf(&all, "%d from %d ", offset, at.Unix())
		if _, at = at.ZoneBounds(); at.IsZero() || !at.Before(to) {
			return all.String()
		}
	}
}

// zoneNames returns a name of each zone of the Go distribution's copy of tzdb: a third of the names are another's.
func zoneNames(t *testing.T) []string {
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
	var names []string
	seen := make(map[[2]uint64]bool)
	for _, f := range z.File {
		if content := [2]uint64{uint64(f.CRC32), f.UncompressedSize64}; !strings.HasSuffix(f.Name, "/") && !seen[content] {
			seen[content], names = true, append(names, f.Name)
		}
	}
	return names
}

// following returns the date after d that the zone has.
func following(loc *time.Location, d elt.Date) elt.Date {
	d = d.AddDays(1)
	for !d.Exists(loc) {
		d = d.AddDays(1)
	}
	return d
}

func show(ticks []elt.Tick) []string {
	var out []string
	for _, tick := range ticks {
		s := fmt.Sprintf("%s at %s", tick.Date, tick.DueAt.Format(time.RFC3339))
		if tick.Skipped != "" {
			s += " skipped"
		}
		out = append(out, s)
	}
	return out
}

// A scheduler that looks at irregular times, and is away for days now and then, decides every data date of every
// zone exactly once, in order, as soon as it looks after the tick; through gaps, overlaps and skipped dates.
func TestEveryDateOnceInEveryZone(t *testing.T) {
	names := zoneNames(t)
	if len(names) < 400 {
		t.Fatalf("only %d zones", len(names))
	}
	start, end := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	known := make(map[string]bool) // in these years many zones show the same
	for i, name := range names {
		years := shows(zone(t, name), start, end)
		if known[years] {
			continue
		}
		known[years] = true
		random := rand.New(rand.NewPCG(1, uint64(i)))
		s := &Schedule{Name: "nightly", Zone: zone(t, name), Hour: random.IntN(5), Minute: random.IntN(60), CatchUp: CatchUpLatest}
		if i%2 == 0 {
			s.CatchUp = CatchUpAll
		}
		before := start
		last := s.Due(elt.Date{}, start)[0].Date
		for now := start; now.Before(end); {
			now = now.Add(time.Duration(1+random.IntN(30)) * time.Hour)
			if random.IntN(50) == 0 {
				now = now.Add(time.Duration(random.IntN(200)) * time.Hour)
			}
			for n, tick := range s.Due(last, now) {
				if tick.Date != following(s.Zone, last) {
					t.Fatalf("%s: %s is decided after %s", name, tick.Date, last)
				}
				if tick.DueAt.After(now) || !tick.DueAt.After(before) {
					t.Fatalf("%s: %s is due at %s, looked at %s and %s", name, tick.Date, tick.DueAt, before, now)
				}
				local := tick.DueAt.In(s.Zone)
				if shown := elt.DateOf(local).DaysSince(tick.Date); shown != 1 && !(name == "Pacific/Apia" || name == "Pacific/Fakaofo") {
					t.Fatalf("%s: %s is due %d days later, at %s (%d)", name, tick.Date, shown, local, n)
				}
				last = tick.Date
			}
			if next := s.Next(now, 1); len(next) != 1 || next[0].Date != following(s.Zone, last) || !next[0].DueAt.After(now) {
				t.Fatalf("%s: at %s the next tick is %v, the last decided date %s", name, now, show(next), last)
			}
			before = now
		}
	}
}

func TestDue(t *testing.T) {
	dublin, apia := zone(t, "Europe/Dublin"), zone(t, "Pacific/Apia")
	weekdays := calendar{days: []time.Weekday{1, 2, 3, 4, 5}, text: "days: mon, tue, wed, thu, fri"}
	for name, tc := range map[string]struct {
		s          Schedule
		after, now string
		want       []string
	}{
		"not yet":         {Schedule{Zone: dublin, Hour: 2}, "2026-01-04", "2026-01-06T01:59:59Z", nil},
		"on the dot":      {Schedule{Zone: dublin, Hour: 2}, "2026-01-04", "2026-01-06T02:00:00Z", []string{"2026-01-05 at 2026-01-06T02:00:00Z"}},
		"decided already": {Schedule{Zone: dublin, Hour: 2}, "2026-01-05", "2026-01-06T02:00:00Z", nil},
		"latest": {Schedule{Zone: dublin, Hour: 2, CatchUp: CatchUpLatest}, "2026-01-02", "2026-01-06T03:00:00Z", []string{
			"2026-01-03 at 2026-01-04T02:00:00Z skipped", "2026-01-04 at 2026-01-05T02:00:00Z skipped", "2026-01-05 at 2026-01-06T02:00:00Z"}},
		"all": {Schedule{Zone: dublin, Hour: 2, CatchUp: CatchUpAll}, "2026-01-03", "2026-01-06T03:00:00Z", []string{
			"2026-01-04 at 2026-01-05T02:00:00Z", "2026-01-05 at 2026-01-06T02:00:00Z"}},
		"a gap runs after it":           {Schedule{Zone: dublin, Hour: 1, Minute: 30}, "2026-03-27", "2026-03-29T23:00:00Z", []string{"2026-03-28 at 2026-03-29T01:00:00Z"}},
		"an overlap runs once, early":   {Schedule{Zone: dublin, Hour: 1, Minute: 30}, "2026-10-23", "2026-10-25T23:00:00Z", []string{"2026-10-24 at 2026-10-25T00:30:00Z"}},
		"an overlap is not run again":   {Schedule{Zone: dublin, Hour: 1, Minute: 30}, "2026-10-24", "2026-10-25T01:30:00Z", nil},
		"a skipped date":                {Schedule{Zone: apia, Hour: 2, CatchUp: CatchUpAll}, "2011-12-27", "2011-12-31T20:00:00Z", []string{"2011-12-28 at 2011-12-29T12:00:00Z", "2011-12-29 at 2011-12-30T10:00:00Z", "2011-12-31 at 2011-12-31T12:00:00Z"}},
		"the clock is behind":           {Schedule{Zone: dublin, Hour: 2}, "2026-01-05", "2025-12-01T00:00:00Z", nil},
		"nothing was ever decided":      {Schedule{Zone: dublin, Hour: 2}, "", "2026-01-06T02:00:00Z", []string{"2026-01-05 at 2026-01-06T02:00:00Z"}},
		"nothing ever, before the tick": {Schedule{Zone: dublin, Hour: 2}, "", "2026-01-06T01:00:00Z", []string{"2026-01-04 at 2026-01-05T02:00:00Z"}},
		"a weekend": {Schedule{Zone: dublin, Hour: 2, CatchUp: CatchUpAll, calendar: weekdays}, "2026-01-07", "2026-01-12T02:00:00Z", []string{
			"2026-01-08 at 2026-01-09T02:00:00Z", "2026-01-11 at 2026-01-12T02:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			var after elt.Date
			if tc.after != "" {
				after = date(t, tc.after)
			}
			if diff := cmp.Diff(tc.want, show(tc.s.Due(after, instant(t, tc.now)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSkippedTicksSayWhy(t *testing.T) {
	s := Schedule{Name: "nightly", Zone: time.UTC, Hour: 2, CatchUp: CatchUpLatest}
	due := s.Due(date(t, "2026-01-03"), instant(t, "2026-01-06T03:00:00Z"))
	if want := "missed while no scheduler was running; catch_up: latest runs 2026-01-05 only"; len(due) != 2 || due[0].Skipped != want || due[1].Skipped != "" {
		t.Errorf("%+v", due)
	}
	if due[0].Schedule != "nightly" || due[0].DueAt.Location() != time.UTC {
		t.Errorf("%+v", due[0])
	}
}

func TestCron(t *testing.T) {
	for text, want := range map[string][]string{
		"30 2 * * *":       {"2026-01-01", "2026-01-02", "2026-01-03"},
		"30 2 * * 1":       {"2026-01-04", "2026-01-11", "2026-01-18"},
		"30 2 * * mon-tue": {"2026-01-04", "2026-01-05", "2026-01-11"},
		"30 2 1 * *":       {"2026-01-31", "2026-02-28", "2026-03-31"},
		"30 2 29 2 *":      {"2028-02-28", "2032-02-28", "2036-02-28"},
		"30 2 1 * 0":       {"2026-01-03", "2026-01-10", "2026-01-17"}, // either of the two day fields
		"30 2 */10 * *":    {"2026-01-10", "2026-01-20", "2026-01-30"},
		"30 2 ? 2-3 sun":   {"2026-01-31", "2026-02-07", "2026-02-14"},
		"30 2 29 2 0":      {"2026-01-31", "2026-02-07", "2026-02-14"},
	} {
		c, hour, minute, err := parseCron(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		s := Schedule{Name: "n", Zone: time.UTC, Hour: hour, Minute: minute, Cron: text, calendar: c}
		var got []string
		for _, tick := range s.Next(instant(t, "2026-01-01T12:00:00Z"), 3) {
			got = append(got, tick.Date.String())
			if tick.DueAt.Hour() != 2 || tick.DueAt.Minute() != 30 || !s.Expected(tick.Date) {
				t.Errorf("%s: %+v", text, tick)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestNotExpected(t *testing.T) {
	c, _, _, err := parseCron("30 2 * * 1-5")
	if err != nil {
		t.Fatal(err)
	}
	s := Schedule{Name: "nightly", Zone: time.UTC, calendar: c}
	if _, got := s.NotExpected(date(t, "2026-01-09")); got != `schedule nightly does not run on Saturday 2026-01-10 (cron "30 2 * * 1-5")` {
		t.Error(got)
	}
	if _, got := s.NotExpected(date(t, "2026-01-08")); got != "" {
		t.Error(got)
	}
}

func TestDeadlines(t *testing.T) {
	s := Schedule{Name: "nightly", Zone: zone(t, "Europe/Dublin"), Hour: 2}
	for _, tc := range []struct{ date, clock, want string }{
		{"2026-01-05", "07:00", "2026-01-06T07:00:00Z"},
		{"2026-06-05", "07:00", "2026-06-06T06:00:00Z"},
		{"2026-03-28", "01:30", "2026-03-29T01:00:00Z"},
		{"2026-01-05", "", "0001-01-01T00:00:00Z"},
		{"2026-01-05", "7:00", "0001-01-01T00:00:00Z"},
		{"2026-01-05", "24:00", "0001-01-01T00:00:00Z"},
	} {
		if got := s.DeadlineAt(date(t, tc.date), tc.clock).Format(time.RFC3339); got != tc.want {
			t.Errorf("%s %s is %s, want %s", tc.date, tc.clock, got, tc.want)
		}
	}
	for clock, code := range map[string]elt.Code{"02:01": "", "02:00": codeDeadlineBeforeTick, "01:00": codeDeadlineBeforeTick, "noon": codeBadTime} {
		err := s.CheckDeadline(clock)
		if (err == nil) != (code == "") || err != nil && err.Code != code {
			t.Errorf("the deadline %s: %v", clock, err)
		}
	}
}

// Whatever the calendar, Next gives rising ticks after now, leaves none out, and Due returns the same ones later.
func TestNextAndDueAgree(t *testing.T) {
	property.Check(t, func(rt *rapid.T) {
		s := Schedule{Name: "n", CatchUp: CatchUpAll, Hour: rapid.IntRange(0, 23).Draw(rt, "hour"), Minute: rapid.IntRange(0, 59).Draw(rt, "minute")}
		s.Zone = zone(t, rapid.SampledFrom([]string{"UTC", "Europe/Dublin", "Pacific/Apia", "America/Havana", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "America/St_Johns"}).Draw(rt, "zone"))
		for _, d := range rapid.SliceOfDistinct(rapid.IntRange(0, 6), func(i int) int { return i }).Draw(rt, "days") {
			s.calendar.days = append(s.calendar.days, time.Weekday(d))
		}
		now := time.Unix(rapid.Int64Range(1.2e9, 1.8e9).Draw(rt, "now"), 0)
		next := s.Next(now, 5)
		if len(next) != 5 {
			rt.Fatalf("%d ticks", len(next))
		}
		for i, tick := range next {
			if !tick.DueAt.After(now) || i > 0 && (tick.DueAt.Before(next[i-1].DueAt) || !tick.Date.After(next[i-1].Date)) {
				rt.Fatalf("after %s: %v", now, show(next))
			}
		}
		due := s.Due(next[0].Date.AddDays(-1), next[4].DueAt)
		if diff := cmp.Diff(next, due[:min(5, len(due))]); diff != "" {
			rt.Fatal(diff)
		}
		if early := s.Due(elt.Date{}, now); len(early) != 1 || early[0].DueAt.After(now) || !early[0].Date.Before(next[0].Date) {
			rt.Fatalf("newest by %s is %v, next %v", now, show(early), show(next))
		}
	})
}

func FuzzCron(f *testing.F) {
	for _, s := range []string{"30 2 * * *", "* * * * *", "TZ=UTC 1 1 1 1 1", "TZ=0", "@every 1h", "0 0 31 4,6 *", "0-0 1-1/3 */2 jan-dec sun", "59 23 ? ? ?", "0 0 * * 7", "18446744073709551616 0 * * *", "0/0 0 * * *", ", 0 1 1 0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, hour, minute, err := parseCron(text)
		if err != nil {
			if err.Code == "" || err.What == "" || err.Do == "" {
				t.Errorf("%+v", err)
			}
			return
		}
		s := Schedule{Zone: time.UTC, Hour: hour, Minute: minute, calendar: c}
		if hour > 23 || minute > 59 || len(s.Next(time.Unix(1e9, 0), 1)) != 1 {
			t.Errorf("%q fires at %d:%d, or never", text, hour, minute)
		}
	})
}
