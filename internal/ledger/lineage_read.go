package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// nextLineage returns what is to be told first after the events up to seq, of the next of which so many parts are told
// already; nil when there is nothing. What happened before the instant is passed over, as is a run that was forgotten.
func nextLineage(ctx context.Context, q queryer, seq int64, told int, since any) (*elt.Lineage, error) {
	const text = `SELECT seq, at, kind, date, run, step FROM events WHERE seq > $1 AND at >= $2 AND ` + toldAsLineage + ` ORDER BY seq LIMIT 1`
	for {
		var e elt.Event
		err := q.QueryRowContext(ctx, text, seq, since).Scan(&e.Seq, intoInstant{&e.At}, &e.Kind, intoDate{&e.Date}, &e.Run, &e.Step)
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
	const ends = `SELECT COUNT(*) FROM past_runs WHERE id = $1 AND state <> 'running' AND until <= $2`
	if err := q.QueryRowContext(ctx, ends, string(run.ID), instant(e.At)).Scan(&l.Round); err != nil {
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
	type attempt struct {
		number  int
		began   bool
		outcome string
		failure *elt.Failure
	}
	scan := func(row scanner) (a attempt, err error) {
		return a, row.Scan(&a.number, &a.began, &a.outcome, intoDocument{&a.failure})
	}
	const text = `SELECT number, CASE WHEN started_at = $2 THEN 1 ELSE 0 END, CASE WHEN finished_at = $2 THEN COALESCE(outcome, '') ELSE '' END, error
		FROM attempts WHERE step = $1 AND (started_at = $2 OR finished_at = $2) ORDER BY number`
	attempts, err := collect(ctx, q, scan, text, string(e.Step), instant(e.At))
	if err != nil {
		return nil, err
	}
	kinds := map[string]elt.LineageKind{"succeeded": elt.LineageComplete, "failed": elt.LineageFail, "retrying": elt.LineageFail, "lost": elt.LineageFail, "cancelled": elt.LineageAbort}
	for _, a := range attempts {
		l.Step, l.Attempt, l.Failure = &step.Step, a.number, nil
		if kind, ended := kinds[a.outcome]; ended && (a.outcome == "lost") == (e.Kind == "step.running") {
			l.Kind = kind
			if kind != elt.LineageComplete {
				l.Failure = a.failure
			}
			parts = append(parts, l)
		}
		if a.began && e.Kind == "step.running" {
			l.Kind, l.Failure = elt.LineageStart, nil
			parts = append(parts, l)
		}
	}
	return parts, nil
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
