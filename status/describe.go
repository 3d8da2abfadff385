package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// doing and done say what a step does in the middle of a sentence.
func doing(k elt.StepKind) string {
	switch k {
	case elt.ExtractStep:
		return "extracting"
	case elt.LoadStep:
		return "loading"
	case elt.VerifyStep:
		return "verifying"
	case elt.TransformStep:
		return "building"
	case elt.TestStep:
		return "testing"
	case elt.PublishStep:
		return "publishing"
	}
	return string(k)
}

func done(k elt.StepKind) string {
	switch k {
	case elt.ExtractStep:
		return "extracted"
	case elt.LoadStep:
		return "loaded"
	case elt.VerifyStep:
		return "verified"
	case elt.TransformStep:
		return "built"
	case elt.TestStep:
		return "tested"
	case elt.PublishStep:
		return "published"
	}
	return string(k)
}

// percent returns how much of a running step is done; ok is false where nobody knows.
func percent(st *elt.Step) (int, bool) {
	if st == nil || st.State != elt.StepRunning || st.Progress.RowsExpected <= 0 {
		return 0, false
	}
	return int(min(99, st.Progress.Rows*100/st.Progress.RowsExpected)), true
}

// paused says why a running step waits on purpose, "" when it works.
func paused(st *elt.Step) string {
	if st == nil || st.State != elt.StepRunning {
		return ""
	}
	return st.Progress.Paused
}

// pill is a state as icon, word and colour.
type pill struct{ Class, Icon, Text string }

// pillOf is the short form of a day: the worst thing that is true of it.
func (s *snapshot) pillOf(set *dataset, d elt.DayStatus) pill {
	late := d.Deadline == elt.DeadlineBreached
	moving := func(p pill) pill {
		if late {
			return pill{"late", "!", "Late, " + strings.ToLower(p.Text)}
		}
		return p
	}
	switch {
	case d.State == "":
		return pill{"none", "–", "Not run yet"}
	case d.Withdrawn != "":
		return pill{"failed", "✕", "Withdrawn"}
	}
	switch d.State {
	case elt.DayReady:
		return readyPill(d)
	case elt.DayRunning:
		p := pill{"running", "▸", runningWord(s.stepAtWork(d), d.Step)}
		if paused(s.stepAtWork(d)) != "" {
			p.Class, p.Icon = "waiting", "‖"
		}
		return moving(p)
	case elt.DayRetrying:
		text := "Retrying"
		if !d.NextAttemptAt.IsZero() {
			text = "Retries " + clock(d.NextAttemptAt, set.zone)
		}
		if late {
			text = "Late, retries " + clock(d.NextAttemptAt, set.zone)
		}
		return pill{"late", "↻", text}
	case elt.DayWaiting:
		return moving(pill{"waiting", "◌", "Waits for " + awaited(d)})
	case elt.DayScheduled:
		return moving(pill{"waiting", "◌", "Not started"})
	case elt.DayFailed:
		return pill{"failed", "✕", "Failed"}
	case elt.DayBlocked:
		return pill{"failed", "✕", "Held up by " + holder(d)}
	case elt.DayUnknown:
		return pill{"unknown", "?", "Unknown"}
	case elt.DayNotExpected:
		if d.Comes() {
			return pill{"none", "‖", "Maintenance"}
		}
		if d.NotExpected != nil && d.NotExpected.Kind == elt.ByCalendar {
			return pill{"none", "–", "Not expected: " + d.NotExpected.Reason}
		}
		return pill{"none", "–", "Not expected"}
	}
	return pill{"unknown", "?", string(d.State)}
}

// awaited is what a waiting day waits for.
func awaited(d elt.DayStatus) string {
	if d.Hold != nil && len(d.BlockedBy) == 0 {
		return map[elt.HoldKind]string{elt.HoldPaused: "its schedule, paused", elt.HoldMaintenance: "the end of maintenance", elt.HoldOverlap: "an earlier night", elt.HoldDependency: "its turn"}[d.Hold.Kind]
	}
	if len(d.BlockedBy) == 0 { // what it waits for is in its cause
		return "its source"
	}
	if len(d.BlockedBy) == 1 {
		return string(d.BlockedBy[0])
	}
	return counted(len(d.BlockedBy), "input")
}

// waitsForSource says what a day waits for whose source may still change it.
func waitsForSource(d elt.DayStatus, zone *time.Location, today elt.Date) string {
	text := "waits for its source"
	if !d.NextAttemptAt.IsZero() {
		text += ", asked again at " + moment(d.NextAttemptAt, zone, today)
	}
	if d.Cause != nil && d.Cause.Failure != nil {
		text += ": " + d.Cause.Failure.Message
	}
	return text
}

// holder is what holds a blocked day up: its root cause.
func holder(d elt.DayStatus) string {
	if d.Cause != nil {
		return string(d.Cause.Dataset)
	}
	return listed(d.BlockedBy, 1)
}

func readyPill(d elt.DayStatus) pill {
	switch {
	case d.Restating:
		return pill{"ready", "↻", "Ready, being restated"}
	case len(d.Outdated) > 0:
		return pill{"late", "!", "Ready, outdated"}
	case d.Checks == elt.ChecksWarned:
		return pill{"late", "!", "Ready, with a warning"}
	case d.Deadline == elt.DeadlineMissed:
		return pill{"ready", "✓", "Ready, came late"}
	}
	return pill{"ready", "✓", "Ready"}
}

func runningWord(st *elt.Step, kind elt.StepKind) string {
	if paused(st) != "" {
		return "Paused"
	}
	if st != nil && st.State == elt.StepSucceeded {
		return capital(done(kind))
	}
	if p, ok := percent(st); ok {
		return fmt.Sprintf("%s %d%%", capital(doing(kind)), p)
	}
	return capital(doing(kind))
}

// clause continues a sentence that begins with a day: "is loading, 71% done".
func (s *snapshot) clause(set *dataset, d elt.DayStatus) string {
	today := elt.DateOf(s.at.In(set.zone))
	if d.Withdrawn != "" {
		return "was withdrawn: " + strings.TrimSuffix(d.Withdrawn, ".")
	}
	switch d.State {
	case elt.DayReady:
		return "is ready since " + moment(d.ReadyAt, set.zone, today)
	case elt.DayRunning:
		return s.runningClause(d)
	case elt.DayRetrying:
		return "failed while " + doing(d.Step) + " and is tried again at " + moment(d.NextAttemptAt, set.zone, today)
	case elt.DayWaiting:
		if d.Hold != nil {
			return "has not started: " + strings.TrimSuffix(d.Hold.Reason, ".")
		}
		if len(d.BlockedBy) == 0 {
			return waitsForSource(d, set.zone, today)
		}
		return "waits for " + listed(d.BlockedBy, 3)
	case elt.DayScheduled:
		return "has not started"
	case elt.DayFailed:
		if s.cancelled(d) {
			return "was cancelled with its run"
		}
		return "failed while " + doing(d.Step)
	case elt.DayBlocked:
		if d.Cause != nil {
			return "is held up by " + string(d.Cause.Dataset) + ", which failed while " + doing(d.Cause.Step)
		}
		return "is held up by " + listed(d.BlockedBy, 3)
	case elt.DayUnknown:
		if len(d.BlockedBy) > 0 {
			return "is unknown, because " + listed(d.BlockedBy, 3) + " " + be(len(d.BlockedBy))
		}
		if st := s.stepAtWork(d); st != nil && st.State == elt.StepSucceeded {
			return "is unknown: its run published, and yet no version of it is there"
		}
		return "is unknown: its worker stopped reporting while " + doing(d.Step)
	case elt.DayNotExpected:
		return "is not expected" + notExpected(d, set.zone, today)
	}
	return "is " + string(d.State)
}

func reason(text string) string {
	if text == "" {
		return ""
	}
	return ": " + strings.TrimSuffix(text, ".")
}

func (s *snapshot) runningClause(d elt.DayStatus) string {
	st := s.stepAtWork(d)
	if st == nil || st.State != elt.StepSucceeded {
		clause := "is " + doing(d.Step)
		if p, ok := percent(st); ok {
			clause += fmt.Sprintf(", %d%% done", p)
		}
		if why := paused(st); why != "" {
			clause += ", paused: " + why
		}
		return clause
	}
	own := s.steps[stepKey{d.Run, d.Dataset}]
	if len(own) > 0 && own[len(own)-1].Kind == d.Step {
		return "is " + done(d.Step) + " and appears when the night is published"
	}
	return "is " + done(d.Step) + " and goes on when a worker is free"
}

// cancelled reports whether a failed day failed only because somebody cancelled its run.
func (s *snapshot) cancelled(d elt.DayStatus) bool {
	if d.State != elt.DayFailed || d.Run == "" {
		return false
	}
	cancelled := false
	for _, st := range s.steps[stepKey{d.Run, d.Dataset}] {
		if st.State == elt.StepFailed {
			return false
		}
		cancelled = cancelled || st.State == elt.StepCancelled
	}
	return cancelled
}

// notExpected says why, and until when.
func notExpected(d elt.DayStatus, zone *time.Location, today elt.Date) string {
	switch {
	case d.NotExpected == nil:
		return ""
	case d.Comes():
		return " before " + moment(d.NotExpected.Until, zone, today) + " because of maintenance" + reason(d.NotExpected.Reason)
	}
	return reason(d.NotExpected.Reason)
}

// due tells when it is expected, or else when it usually comes, and of the deadline.
func (s *snapshot) due(set *dataset, d elt.DayStatus) string {
	var parts []string
	expected := s.expectation(set, d)
	if expected != "" {
		parts = append(parts, expected)
	}
	at := clock(d.DeadlineAt, set.zone)
	switch d.Deadline {
	case elt.DeadlineBreached:
		parts = append(parts, fmt.Sprintf("It was due %s, %s ago.", at, span(s.at.Sub(d.DeadlineAt))))
	case elt.DeadlineOnTrack, elt.DeadlineAtRisk:
		parts = append(parts, "Due "+at+movedFrom(d, set.zone)+".")
	case elt.DeadlineMissed:
		parts = append(parts, fmt.Sprintf("It was due %s and came %s late.", at, span(d.ReadyAt.Sub(d.DeadlineAt))))
	case elt.DeadlineMet:
		parts = append(parts, "It was due "+at+".")
	}
	if expected == "" && d.State != elt.DayReady && d.State != elt.DayNotExpected && set.usual != "" {
		parts = append(parts, "Usually ready at "+set.usual+".")
	}
	return strings.Join(parts, " ")
}

// movedFrom says that maintenance has moved the deadline.
func movedFrom(d elt.DayStatus, zone *time.Location) string {
	if d.DeadlineWas.IsZero() {
		return ""
	}
	return ", moved from " + clock(d.DeadlineWas, zone) + " by maintenance"
}

// flags tells what a reader of a ready day should know.
func (s *snapshot) flags(d elt.DayStatus) string {
	var parts []string
	if d.State == elt.DayReady && d.Rows > 0 {
		checks := map[elt.Checks]string{elt.ChecksPassed: ", every check passed", elt.ChecksWarned: ", with a warning", elt.ChecksNone: ", unchecked"}[d.Checks]
		parts = append(parts, grouped(d.Rows)+" rows"+checks+".")
	}
	if d.Restating {
		parts = append(parts, "A newer version is being made; this one serves until then.")
	}
	if older, withdrawn := s.outdatedBy(d); len(older)+len(withdrawn) > 0 {
		var from []string
		if len(older) > 0 {
			from = append(from, "an older version of "+listed(older, 3))
		}
		if len(withdrawn) > 0 {
			from = append(from, listed(withdrawn, 3)+", since withdrawn")
		}
		parts = append(parts, "It was made from "+strings.Join(from, ", and from ")+".")
	}
	return strings.Join(parts, " ")
}

// outdatedBy tells the inputs of an outdated day that have a newer version from those that a person has withdrawn.
func (s *snapshot) outdatedBy(d elt.DayStatus) (older, withdrawn []elt.DatasetName) {
	for _, name := range d.Outdated {
		if in, ok := s.day(name, d.Date); ok && in.Withdrawn != "" {
			withdrawn = append(withdrawn, name)
		} else {
			older = append(older, name)
		}
	}
	return older, withdrawn
}

// describeDataset is the sentence at the top of a dataset's page, and the detail under it.
func (s *snapshot) describeDataset(set *dataset) (head, detail string) {
	title, h := string(set.Name), set.headline
	today := elt.DateOf(s.at.In(set.zone))
	switch {
	case !h.CompleteThrough.IsZero():
		head = title + " is complete through " + shortDate(h.CompleteThrough, today) + "."
	case !h.LatestReady.IsZero():
		head = title + " is ready for " + shortDate(h.LatestReady, today) + ", with gaps before it."
	default:
		head = title + " has no complete day yet."
	}
	if set.Retired {
		return title + " is retired.", "It left the configuration; its history stays." + through(h, today)
	}
	if h.Latest.State == "" {
		if tick, ok := s.ticks[set.Schedule]; ok {
			return head, "Its first night starts " + moment(tick.DueAt, set.zone, today) + "."
		}
		return head, "Nothing has been expected of it so far."
	}
	parts := []string{shortDate(h.Latest.Date, today) + " " + s.clause(set, h.Latest) + "."}
	if len(set.gaps) > 0 {
		parts = append(parts, s.missing(set, 3))
	}
	parts = append(parts, s.due(set, h.Latest), s.flags(h.Latest))
	return head, joinSentences(parts)
}

func through(h elt.Headline, today elt.Date) string {
	if h.CompleteThrough.IsZero() {
		return ""
	}
	return " It is complete through " + shortDate(h.CompleteThrough, today) + "."
}

// missing names the gaps of a dataset, latest first.
func (s *snapshot) missing(set *dataset, most int) string {
	today := elt.DateOf(s.at.In(set.zone))
	var words []string
	for _, v := range slices.Backward(set.gaps) {
		words = append(words, shortDate(v, today))
	}
	return joinWords(words, most) + " " + be(len(words)) + " missing."
}

// describeDay is the sentence at the top of a day's page.
func (s *snapshot) describeDay(set *dataset, d elt.DayStatus) (head, detail string) {
	today := elt.DateOf(s.at.In(set.zone))
	head = string(set.Name) + " for " + shortDate(d.Date, today) + " " + s.clause(set, d) + "."
	return head, joinSentences([]string{s.due(set, d), s.flags(d)})
}

func joinSentences(parts []string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}
