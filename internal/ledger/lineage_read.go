package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// nextLineage returns what is to be told first after the events up to seq, of the next of which so many parts are told
// already; nil when there is nothing. What happened before the instant is passed over, as is a run that was forgotten.
func nextLineage(ctx context.Context, q queryer, seq int64, told int, since any) (*elt.Lineage, error) {
	const text = `SELECT seq, at, kind, date, run, step, detail FROM events WHERE seq > $1 AND at >= $2 AND ` + toldAsLineage + ` ORDER BY seq LIMIT 1`
	for {
		var e elt.Event
		err := q.QueryRowContext(ctx, text, seq, since).Scan(&e.Seq, intoInstant{&e.At}, &e.Kind, intoDate{&e.Date}, &e.Run, &e.Step, intoText[json.RawMessage]{&e.Detail})
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, nil
		case err != nil:
			return nil, err
		case e.Seq != seq+1:
			told = 0 // they were of an event that nobody is told of any more
		}
		parts, err := lineageOf(ctx, q, e)
		if err != nil {
			return nil, err
		}
		if told < len(parts) {
			n := &parts[told]
			n.Part = told
			return n, describeLineage(ctx, q, n)
		}
		seq, told = e.Seq, 0
	}
}

// lineageOf returns what an event tells, without what describes it.
func lineageOf(ctx context.Context, q queryer, e elt.Event) ([]elt.Lineage, error) {
	run, err := readRun(ctx, q, "runs", e.Run)
	if elt.CodeOf(err) == "run_unknown" { // it was forgotten since
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := elt.Lineage{Seq: e.Seq, At: e.At, Run: run}
	const again = `SELECT COUNT(*) FROM events WHERE kind = 'run.retried' AND run = $1 AND seq <= $2`
	if err := q.QueryRowContext(ctx, again, string(run.ID), e.Seq).Scan(&l.Round); err != nil {
		return nil, err
	}
	l.Round++
	if e.Step != "" {
		return stepLineage(ctx, q, e, l)
	}
	switch e.Kind {
	case "run.created", "run.retried":
		l.Kind = elt.LineageStart
	case "run.succeeded":
		l.Kind = elt.LineageComplete
	case "run.cancelled":
		l.Kind, l.Failure = elt.LineageAbort, &elt.Failure{Code: "run_cancelled", Class: elt.Conflict}
	default:
		l.Kind = elt.LineageFail
	}
	return []elt.Lineage{l}, nil
}

// stepLineage returns which attempts at a step ended with the event, and which began with it.
func stepLineage(ctx context.Context, q queryer, e elt.Event, l elt.Lineage) (parts []elt.Lineage, err error) {
	step, err := readStep(ctx, q, "steps", e.Step)
	if err != nil {
		return nil, err
	}
	var detail struct{ Attempt int }
	if len(e.Detail) > 0 {
		if err := json.Unmarshal(e.Detail, &detail); err != nil {
			return nil, fmt.Errorf("the detail of event %d: %w", e.Seq, err)
		}
	}
	if e.Kind == "step.cancelled" && detail.Attempt == 0 { // with its run, whatever it was doing
		const text = `SELECT COALESCE(MAX(number), 0) FROM attempts WHERE step = $1 AND outcome = 'cancelled' AND finished_at = $2`
		if err := q.QueryRowContext(ctx, text, string(e.Step), instant(e.At)).Scan(&detail.Attempt); err != nil || detail.Attempt == 0 {
			return nil, err
		}
	}
	add := func(kind elt.LineageKind, attempt int, failure *elt.Failure) {
		part := l
		part.Kind, part.Step, part.Attempt, part.Failure = kind, &step.Step, attempt, failure
		parts = append(parts, part)
	}
	ended := func(number int) (outcome string, failure *elt.Failure, err error) {
		const text = `SELECT COALESCE(outcome, ''), error FROM attempts WHERE step = $1 AND number = $2`
		err = q.QueryRowContext(ctx, text, string(e.Step), number).Scan(&outcome, intoDocument{&failure})
		return outcome, failure, withoutNone(err)
	}
	if e.Kind == "step.running" {
		outcome, failure, err := ended(detail.Attempt - 1)
		if outcome == "lost" { // its worker fell silent, and who takes the step over is the first to say so
			add(elt.LineageFail, detail.Attempt-1, failure)
		}
		add(elt.LineageStart, detail.Attempt, nil)
		return parts, err
	}
	_, failure, err := ended(detail.Attempt)
	switch e.Kind {
	case "step.succeeded":
		add(elt.LineageComplete, detail.Attempt, nil)
	case "step.cancelled":
		add(elt.LineageAbort, detail.Attempt, failure)
	default:
		add(elt.LineageFail, detail.Attempt, failure)
	}
	return parts, err
}

// describeLineage adds what the catalogue and the manifest say.
func describeLineage(ctx context.Context, q queryer, l *elt.Lineage) error {
	err := q.QueryRowContext(ctx, `SELECT zone FROM datasets WHERE schedule = $1 AND zone <> '' ORDER BY retired, name LIMIT 1`, string(l.Run.Schedule)).Scan(&l.Zone)
	if err != nil && !errors.Is(err, sql.ErrNoRows) || l.Step == nil || l.Step.Dataset == "" {
		return withoutNone(err)
	}
	read := func(name elt.DatasetName) (d elt.Dataset, err error) {
		d, err = scanDataset(q.QueryRowContext(ctx, `SELECT `+datasetColumns+` FROM datasets WHERE name = $1`, string(name)))
		d.Name = name // also of one that the catalogue does not hold
		return d, withoutNone(err)
	}
	d, err := read(l.Step.Dataset)
	if err != nil {
		return err
	}
	l.Dataset = &d
	for _, name := range d.Inputs {
		in, err := read(name)
		if err != nil {
			return err
		}
		l.Inputs = append(l.Inputs, in)
	}
	const saved = `SELECT m.body FROM manifests m JOIN steps s ON s.id = m.step
		WHERE s.run = $1 AND s.dataset = $2 AND s.kind = 'extract' AND (s.id <> $3 OR m.attempt = $4) ORDER BY m.attempt DESC LIMIT 1`
	var body []byte
	err = q.QueryRowContext(ctx, saved, string(l.Run.ID), string(d.Name), string(l.Step.ID), l.Attempt).Scan(&body)
	if err != nil {
		return withoutNone(err)
	}
	if l.Manifest, err = elt.DecodeManifest(body); err != nil {
		return fmt.Errorf("the manifest of %s: %w", d.Name, err)
	}
	return nil
}

func withoutNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
