package schedules

import (
	"fmt"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The oracle walks through ten years minute by minute and reads the wall clock. It knows nothing of how a schedule finds
// its ticks: no search, no offsets, no rules for gaps and overlaps, only what a person beside that clock would write down.
var (
	oracleFrom = time.Date(2010, 6, 1, 0, 0, 0, 0, time.UTC)
	oracleTo   = time.Date(2020, 6, 1, 0, 0, 0, 0, time.UTC)
)

// entry is what the oracle expects of a data date: the first minute, once that date was over, at which the clock had
// come to the time of the schedule on a later date.
type entry struct {
	date string
	due  time.Time
}

// oracle returns the entries of every local date that began and ended within the ten years. at is the schedule's time
// in minutes after midnight.
func oracle(loc *time.Location, at int) (entries []entry) {
	var seen []string                     // the dates that the clock has shown, in the order of the calendar
	dueOn := make(map[string]time.Time)   // date → the first minute at which its clock showed the time or a later one
	firstOf := make(map[string]time.Time) // date → the first minute of it
	last := ""
	lastKey := 0
	for now := oracleFrom; now.Before(oracleTo); now = now.Add(time.Minute) {
		local := now.In(loc)
		y, m, d := local.Date()
		key := y*10000 + int(m)*100 + d
		if key != lastKey {
			lastKey, last = key, fmt.Sprintf("%04d-%02d-%02d", y, m, d)
			if _, again := firstOf[last]; !again { // clocks that are put back over midnight show a date twice
				firstOf[last] = now
				seen = append(seen, last)
			}
		}
		if _, come := dueOn[last]; !come && local.Hour()*60+local.Minute() >= at {
			dueOn[last] = now
		}
	}
	for i := 1; i+2 < len(seen); i++ { // the first date had begun before, and the last ones were not over
		after := seen[i+1]
		due, come := dueOn[after]
		if nominal := nextName(seen[i]); nominal != after || !come {
			// The date after it was left out, or was over before its clock came so far: as soon as that was clear.
			due = firstOf[after]
			if nominal == after {
				due = firstOf[seen[i+2]]
			}
		}
		entries = append(entries, entry{seen[i], due})
	}
	return entries
}

// nextName is the calendar's next date, whether or not the zone has it.
func nextName(date string) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return t.Add(24 * time.Hour).Format(time.DateOnly)
}

// compareWithOracle holds a schedule in the zone to the oracle, as a scheduler meets it that looks every so often.
func compareWithOracle(t *testing.T, name string, seed int) {
	t.Helper()
	loc := zone(t, name)
	at := []int{0, 30, 90, 120, 150, 330, 1410}[seed%7]
	want := oracle(loc, at)
	if len(want) < 3640 || len(want) > 3655 {
		t.Fatalf("%s: the oracle saw %d dates in ten years", name, len(want))
	}
	s := &Schedule{Name: "nightly", Zone: loc, Hour: at / 60, Minute: at % 60, CatchUp: CatchUpAll}
	first, err := elt.ParseDate(want[0].date)
	if err != nil {
		t.Fatal(err)
	}
	var got []elt.Tick
	decided := first.AddDays(-1)
	for now := oracleFrom; now.Before(oracleTo); now = now.Add(11 * time.Hour) {
		for _, tick := range s.Due(decided, now) {
			got = append(got, tick)
			decided = tick.Date
		}
	}
	got = append(got, s.Due(decided, oracleTo)...)
	for i, w := range want {
		if i >= len(got) || got[i].Date.String() != w.date || !got[i].DueAt.Equal(w.due) {
			var g elt.Tick
			if i < len(got) {
				g = got[i]
			}
			t.Fatalf("%s at %02d:%02d: the clock says %s is due at %s; the schedule says %s at %s",
				name, at/60, at%60, w.date, w.due.Format(time.RFC3339), g.Date, g.DueAt.Format(time.RFC3339))
		}
	}
	if extra := len(got) - len(want); extra > 3 { // of the dates at the end that the oracle leaves out
		t.Fatalf("%s: the schedule has %d ticks that no clock has", name, extra)
	}
}

// The zones that are known to do odd things, and one that does none: dates left out, overlaps at midnight, gaps at
// midnight, shifts by half an hour, by months, by Ramadan, and across the date line.
func TestOddZonesAgainstAnOracle(t *testing.T) {
	t.Parallel()
	for i, name := range []string{
		"Pacific/Apia", "Pacific/Fakaofo", "America/Sao_Paulo", "Africa/Casablanca", "Australia/Lord_Howe",
		"Asia/Gaza", "Asia/Amman", "Antarctica/Troll", "Europe/Dublin", "UTC",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareWithOracle(t, name, i)
		})
	}
}
