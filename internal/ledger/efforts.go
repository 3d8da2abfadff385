package ledger

import (
	"context"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// recentRuns are the last runs of each schedule that published something: what a day takes is told by them.
const recentRuns = `(SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY schedule ORDER BY created_seq DESC) AS n FROM runs
	WHERE state IN ('succeeded', 'partial') AND kind IN ('scheduled', 'manual', 'backfill')) recent WHERE n <= 7)`

// Efforts returns what a day of each dataset takes, by the median of the last runs that brought one: its rows, its bytes
// in the lake, the time of its steps, and what they were billed. Datasets that no such run brought are left out.
func (l *Ledger) Efforts(ctx context.Context) (efforts map[elt.DatasetName]elt.Effort, err error) {
	type part struct {
		dataset    elt.DatasetName
		run        elt.RunID
		start, end time.Time
		billed     int64
		rows       int64
		bytes      int64
	}
	const steps = `SELECT dataset, run, started_at, finished_at, bytes_billed FROM steps WHERE run IN ` + recentRuns + ` AND state = 'succeeded' AND dataset <> ''`
	scanStep := func(row scanner) (p part, err error) {
		return p, row.Scan(&p.dataset, &p.run, intoInstant{&p.start}, intoInstant{&p.end}, &p.billed)
	}
	const versions = `SELECT v.dataset, v.run, v.rows, COALESCE(m.bytes, 0) FROM versions v LEFT JOIN manifests m ON m.key = v.manifest WHERE v.run IN ` + recentRuns
	scanVersion := func(row scanner) (p part, err error) {
		return p, row.Scan(&p.dataset, &p.run, &p.rows, &p.bytes)
	}
	type key struct {
		dataset elt.DatasetName
		run     elt.RunID
	}
	err = l.read(ctx, "read what days take", func(ctx context.Context, q queryer) error {
		brought, err := collect(ctx, q, scanVersion, versions)
		if err != nil {
			return err
		}
		days := make(map[key]elt.Effort, len(brought))
		for _, p := range brought {
			days[key{p.dataset, p.run}] = elt.Effort{Rows: p.rows, Bytes: p.bytes}
		}
		parts, err := collect(ctx, q, scanStep, steps)
		for _, p := range parts {
			if d, published := days[key{p.dataset, p.run}]; published {
				days[key{p.dataset, p.run}] = d.Plus(elt.Effort{Duration: p.end.Sub(p.start), BytesBilled: p.billed})
			}
		}
		of := make(map[elt.DatasetName][]elt.Effort)
		for k, d := range days {
			of[k.dataset] = append(of[k.dataset], d)
		}
		efforts = make(map[elt.DatasetName]elt.Effort, len(of))
		for name, all := range of {
			efforts[name] = medianEffort(all)
		}
		return err
	})
	return efforts, err
}

// medianEffort returns the median of each measure by itself.
func medianEffort(all []elt.Effort) elt.Effort {
	of := func(measure func(elt.Effort) int64) int64 {
		numbers := make([]int64, len(all))
		for i, e := range all {
			numbers[i] = measure(e)
		}
		return elt.Median(numbers)
	}
	return elt.Effort{
		Rows:        of(func(e elt.Effort) int64 { return e.Rows }),
		Bytes:       of(func(e elt.Effort) int64 { return e.Bytes }),
		Duration:    time.Duration(of(func(e elt.Effort) int64 { return int64(e.Duration) })),
		BytesBilled: of(func(e elt.Effort) int64 { return e.BytesBilled }),
	}
}

// PublishedDates returns the first and the newest date of which each dataset has a version that was not rolled back.
func (l *Ledger) PublishedDates(ctx context.Context) (first, newest map[elt.DatasetName]elt.Date, err error) {
	type span struct {
		dataset       elt.DatasetName
		first, newest elt.Date
	}
	scan := func(row scanner) (s span, err error) {
		return s, row.Scan(&s.dataset, intoDate{&s.first}, intoDate{&s.newest})
	}
	const text = `SELECT dataset, MIN(date), MAX(date) FROM versions WHERE rolled_back = '' GROUP BY dataset`
	first, newest = make(map[elt.DatasetName]elt.Date), make(map[elt.DatasetName]elt.Date)
	err = l.read(ctx, "read what dates are published", func(ctx context.Context, q queryer) error {
		spans, err := collect(ctx, q, scan, text)
		for _, s := range spans {
			first[s.dataset], newest[s.dataset] = s.first, s.newest
		}
		return err
	})
	return first, newest, err
}

// LakeDays returns the key of the last manifest that an extraction saved of each day of a range.
func (l *Ledger) LakeDays(ctx context.Context, from, to elt.Date) (keys map[elt.DayKey]string, err error) {
	type saved struct {
		day elt.DayKey
		key string
	}
	scan := func(row scanner) (s saved, err error) {
		return s, row.Scan(&s.day.Dataset, intoDate{&s.day.Date}, &s.key)
	}
	keys = make(map[elt.DayKey]string)
	err = l.read(ctx, "read what the lake has", func(ctx context.Context, q queryer) error {
		const text = `SELECT dataset, date, key FROM manifests WHERE date >= $1 AND date <= $2 ORDER BY saved_at`
		all, err := collect(ctx, q, scan, text, from.String(), to.String())
		for _, s := range all {
			keys[s.day] = s.key
		}
		return err
	})
	return keys, err
}
