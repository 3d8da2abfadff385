package schedules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// overlapYAML is a span of time, or the digits of a number for a cursor that is an integer.
type overlapYAML string

// UnmarshalNode implements yamlfile.Unmarshaler.
func (o *overlapYAML) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	if number, ok := n.Any().(int64); ok {
		*o = overlapYAML(strconv.FormatInt(number, 10))
		return nil
	}
	var span time.Duration
	problems := n.Decode(&span)
	*o = overlapYAML(span.String())
	return problems
}

// read returns whichever it is; UnmarshalNode has seen to it that it is one of them.
func (o overlapYAML) read() (span time.Duration, number *int64) {
	if n, err := strconv.ParseInt(string(o), 10, 64); err == nil {
		return 0, &n
	}
	span, _ = time.ParseDuration(string(o))
	return span, nil
}

// percent is a share as people write it: "5%" is 0.05.
type percent float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *percent) UnmarshalText(b []byte) error {
	digits, ok := strings.CutSuffix(string(b), "%")
	f, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(f >= 0 && f <= 100) {
		return fmt.Errorf("%q is no percentage from 0%% to 100%%", b)
	}
	*p = percent(f / 100)
	return nil
}

// wholeDays is a number of days as people write it: "7d".
type wholeDays int

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *wholeDays) UnmarshalText(b []byte) error {
	digits, ok := strings.CutSuffix(string(b), "d")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > 366 {
		return fmt.Errorf("%q is no number of days such as 7d, from 1d to 366d", b)
	}
	*d = wholeDays(n)
	return nil
}

// defaultMaxDeletes is how much of a table one night may delete when nothing is said.
const defaultMaxDeletes = 0.05

// onlyIncremental are the keys that mean nothing for a table that is read whole.
var onlyIncremental = []string{"cursor", "cursor_timezone", "overlap", "start", "null_cursor", "deletes", "max_deletes", "deletes_every", "soft_delete"}

// mode checks what belongs to full and what to incremental.
func (r *reading) mode(t *Table, tt tableYAML) {
	key := string(t.Dataset)
	switch t.Mode {
	case "":
		t.Mode = elt.Full
		fallthrough
	case elt.Full:
		for _, only := range onlyIncremental {
			if r.given("tables", key, only) {
				r.problem(codeIncrementalOnly, fmt.Sprintf("%s of %s has no meaning in mode full, which reads every row", only, key),
					"set mode: incremental, or remove it", "tables", key, only)
			}
		}
		return
	case elt.Incremental:
	default:
		r.problem(codeBadMode, fmt.Sprintf("mode cannot be %q", t.Mode), "write full (every row) or incremental (the rows of a window)", "tables", key, "mode")
		return
	}
	if len(t.Key) == 0 && r.absent(yamlfile.Sequence, "tables", key, "key") {
		r.problem(codeKeyMissing, fmt.Sprintf("%s is incremental and has no key, so its rows could not be told apart", key),
			"name its primary key: key: [id]", "tables", key)
	}
	r.cursor(t, tt)
	r.deletes(t, tt)
}

// cursor checks how the rows of a night are told from the others.
func (r *reading) cursor(t *Table, tt tableYAML) {
	key := string(t.Dataset)
	if t.Cursor == "" && r.absent(yamlfile.Scalar, "tables", key, "cursor") {
		r.problem(codeCursorMissing, fmt.Sprintf("%s is incremental and has no cursor, so nobody knows which rows changed", key),
			"name the column that says when a row last changed: cursor: updated_at", "tables", key)
	}
	if t.Overlap < 0 || t.OverlapNumbers != nil && *t.OverlapNumbers < 0 {
		shown := t.Overlap.String()
		if t.OverlapNumbers != nil {
			shown = strconv.FormatInt(*t.OverlapNumbers, 10)
		}
		r.problem(codeBadOverlap, fmt.Sprintf("the overlap %s is negative", shown),
			"give how far to read again before the window, such as 2h, or 1000 where the cursor is an integer", "tables", key, "overlap")
	}
	if tt.CursorZone != "" {
		t.CursorZone = r.location(tt.CursorZone, "tables", key, "cursor_timezone")
	}
	switch t.NullCursors {
	case "", elt.NullsFail, elt.NullsInclude, elt.NullsSkip:
	default:
		r.problem(codeBadNullCursor, fmt.Sprintf("null_cursor cannot be %q", t.NullCursors),
			"write fail, include (such rows come every night) or skip (they are left out and counted)", "tables", key, "null_cursor")
	}
	if t.OverlapNumbers != nil {
		r.numbers(key)
		return
	}
	if r.text.CatchUp == "" || r.text.CatchUp == CatchUpLatest {
		r.problem(codeCatchUpGap, fmt.Sprintf("%s is incremental, and catch_up: latest would leave out the rows of every missed date", key),
			"set catch_up: all in this schedule", "tables", key, "mode")
	}
	if r.schedule.Holidays != nil && r.schedule.OnHoliday != RunHolidays {
		r.problem(codeCalendarGap, fmt.Sprintf("%s is incremental, and the rows of holidays would be left out", key),
			"set on_holiday: run in this schedule, or bring the table in mode full", "tables", key, "mode")
	}
	if !r.schedule.calendar.daily() {
		r.problem(codeCalendarGap, fmt.Sprintf("%s is incremental, and the schedule does not run every day: the rows of the other dates would be left out", key),
			"let the schedule run every day, or bring the table in mode full", "tables", key, "mode")
	}
}

// numbers checks what belongs to an integer cursor, which tells no time: a night brings what came since the one before.
func (r *reading) numbers(key string) {
	for _, only := range []string{"cursor_timezone", "start"} {
		if r.given("tables", key, only) {
			r.problem(codeNumbersOnly, fmt.Sprintf("%s of %s has no meaning where overlap is a number: an integer cursor tells no time", only, key),
				"remove it, or give the overlap as a span of time such as 2h", "tables", key, only)
		}
	}
	r.problems = append(r.problems, r.file.Warning(codeNumbersByDate,
		fmt.Sprintf("%s goes by an integer cursor, so a date brings what came since the night before, and a past date cannot be brought again", key),
		"choose a cursor that tells a time where past dates may be asked for", "tables", key, "overlap"))
}

// deletes checks how the source's deletes are followed.
func (r *reading) deletes(t *Table, tt tableYAML) {
	key := string(t.Dataset)
	modes := []elt.DeleteMode{"", elt.DeletesIgnored, elt.DeletesByKey, elt.DeletesSoft}
	if !slices.Contains(modes, tt.Deletes) {
		r.problem(codeBadDeletes, fmt.Sprintf("deletes cannot be %q", tt.Deletes),
			"write ignore, key_diff (every key is compared) or soft (a column flags deleted rows)", "tables", key, "deletes")
		return
	}
	for only, mode := range map[string]elt.DeleteMode{"max_deletes": elt.DeletesByKey, "deletes_every": elt.DeletesByKey, "soft_delete": elt.DeletesSoft} {
		if r.given("tables", key, only) && tt.Deletes != mode {
			r.problem(codeBadDeletes, fmt.Sprintf("%s of %s has a meaning with deletes: %s only", only, key, mode), fmt.Sprintf("add deletes: %s, or remove it", mode), "tables", key, only)
		}
	}
	switch t.Deletes = (elt.DeleteRule{Mode: tt.Deletes}); tt.Deletes {
	case elt.DeletesByKey:
		t.Deletes.Every, t.Deletes.Max = max(int(tt.DeletesEvery), 1), defaultMaxDeletes
		if tt.MaxDeletes != nil {
			t.Deletes.Max = float64(*tt.MaxDeletes)
		}
	case elt.DeletesSoft:
		t.Deletes.Column = tt.SoftDelete
		if tt.SoftDelete == "" && r.absent(yamlfile.Scalar, "tables", key, "soft_delete") {
			r.problem(codeBadDeletes, fmt.Sprintf("%s follows soft deletes, and nothing says which column flags them", key), "name it: soft_delete: deleted_at", "tables", key, "deletes")
		}
	}
}
