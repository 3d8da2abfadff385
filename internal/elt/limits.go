package elt

import "fmt"

// Limits bound how many steps work at the same time, on all machines together; 0 is no bound.
type Limits struct {
	Sources   map[SourceName]int // tables that are read of each source
	Warehouse int                // steps that load, verify, build and test
	Backfills int                // steps of backfills, but for those that publish
	// OneBuilder has the models of a run built and tested by one worker: what builds them knows of no other machine.
	OneBuilder bool
}

// AtWork is a step with what limits ask of its run.
type AtWork struct {
	Step
	Backfill bool // it is a backfill's
}

// Waits says why a step may not begin while others are at work; empty when it may. Of a dataset one step is at work at a
// time, in whichever run: what a run publishes in the end waits for nobody.
func (l Limits) Waits(s AtWork, working []AtWork) string {
	if s.Kind == PublishStep {
		return ""
	}
	source, _ := s.Dataset.Split()
	most, of, behind := l.Warehouse, 0, 0
	if s.Kind == ExtractStep {
		most = l.Sources[SourceName(source)]
	}
	for _, w := range working {
		if w.ID == s.ID || w.Kind == PublishStep {
			continue
		}
		if w.Dataset == s.Dataset && w.Run != s.Run {
			return fmt.Sprintf("waits for %s, at which run %s is at work", s.Dataset, w.Run)
		}
		if w.Backfill {
			behind++
		}
		theirs, _ := w.Dataset.Split()
		if (w.Kind == ExtractStep) == (s.Kind == ExtractStep) && (s.Kind != ExtractStep || theirs == source) {
			of++
		}
	}
	switch {
	case s.Backfill && l.Backfills > 0 && behind >= l.Backfills:
		return fmt.Sprintf("waits for other steps of backfills: %d of %d are at work", behind, l.Backfills)
	case most == 0 || of < most:
		return ""
	case s.Kind == ExtractStep:
		return fmt.Sprintf("waits for source %s: %d of %d are read", source, of, most)
	}
	return fmt.Sprintf("waits for the warehouse: %d of %d are at work", of, most)
}
