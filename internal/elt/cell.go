package elt

import (
	"slices"
	"time"
)

// cell is a day's status in a quarter of its size: most days are ready and past, and nothing else is to be said of them.
// The zero cell is a day of which nothing is known.
type cell struct {
	run        RunID
	version    VersionID // empty where it is the run's own, or there is none
	rows       int64
	deletes    int64
	deadlineAt int64 // in microseconds since 1970; 0 is none
	readyAt    int64
	state      uint8 // the place in the list of its kind, from 1
	deadline   uint8
	checks     uint8
	level      uint8
	versionIs  uint8      // noVersion, ownVersion, otherVersion
	whole      *DayStatus // of a day of which there is more to say; the rest is empty then, but for versionIs
}

const (
	noVersion uint8 = iota
	ownVersion
	otherVersion
)

var (
	cellStates    = []DayState{DayNotExpected, DayScheduled, DayWaiting, DayRunning, DayRetrying, DayReady, DayFailed, DayBlocked, DayUnknown}
	cellDeadlines = []DeadlineState{DeadlineNone, DeadlineOnTrack, DeadlineAtRisk, DeadlineBreached, DeadlineMet, DeadlineMissed}
	cellChecks    = []Checks{"", ChecksPassed, ChecksWarned, ChecksNone}
	cellLevels    = []Level{"", LevelCounts, LevelColumns, LevelRows}
)

func newCell(s DayStatus) cell {
	c := cell{
		run: s.Run, rows: s.Rows, deletes: s.Deletes, deadlineAt: micros(s.DeadlineAt), readyAt: micros(s.ReadyAt),
		state: placeIn(cellStates, s.State), deadline: placeIn(cellDeadlines, s.Deadline), checks: placeIn(cellChecks, s.Checks), level: placeIn(cellLevels, s.Level),
	}
	switch s.Version {
	case "":
	case NewVersionID(s.Dataset, s.Run):
		c.versionIs = ownVersion
	default:
		c.versionIs, c.version = otherVersion, s.Version
	}
	listed := c.state > 0 && c.deadline > 0 && c.checks > 0 && c.level > 0
	plain := len(s.BlockedBy)+len(s.Outdated) == 0 && s.Cause == nil && s.NextAttemptAt.IsZero() && s.Step == "" && !s.Restating && s.Withdrawn == "" &&
		s.NotExpected == nil && s.Hold == nil && s.DeadlineWas.IsZero()
	exact := instantOf(c.deadlineAt) == s.DeadlineAt && instantOf(c.readyAt) == s.ReadyAt
	if listed && plain && exact {
		return c
	}
	return cell{versionIs: c.versionIs, whole: &s}
}

func placeIn[T comparable](list []T, v T) uint8 { return uint8(slices.Index(list, v) + 1) }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instantOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func (c *cell) published() bool { return c.versionIs != noVersion }

// status returns the day's status; ok is false when nothing is known of it.
func (c *cell) status(key DayKey) (s DayStatus, ok bool) {
	if c.whole != nil {
		return *c.whole, true
	}
	if c.state == 0 {
		return DayStatus{}, false
	}
	s = DayStatus{
		Dataset: key.Dataset, Date: key.Date, Run: c.run, Version: c.version, Rows: c.rows, Deletes: c.deletes,
		DeadlineAt: instantOf(c.deadlineAt), ReadyAt: instantOf(c.readyAt),
		State: cellStates[c.state-1], Deadline: cellDeadlines[c.deadline-1], Checks: cellChecks[c.checks-1], Level: cellLevels[c.level-1],
	}
	if c.versionIs == ownVersion {
		s.Version = NewVersionID(key.Dataset, c.run)
	}
	return s, true
}
