package bigquery

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// usageOf returns what a job that has ended was billed and how long it kept slots at work.
func usageOf(status *bigquery.JobStatus) elt.Usage {
	used := elt.Usage{Jobs: 1}
	if status.Statistics == nil {
		return used
	}
	used.SlotTime = status.Statistics.TotalSlotDuration
	if q, ok := status.Statistics.Details.(*bigquery.QueryStatistics); ok {
		used.BytesBilled = q.TotalBytesBilled
	}
	return used
}

// Estimate returns how many bytes building a model would read, by a dry run, which is free. SQL that BigQuery refuses is
// the error sql_refused.
func (w *Warehouse) Estimate(ctx context.Context, b elt.Build) (int64, error) {
	statistics, err := w.dryRun(ctx, "SELECT * FROM "+wrapped(b.SQL), labels("estimate", b.Run, b.Dataset))
	if err != nil {
		return 0, w.modelRefused(ctx, b.Dataset, err)
	}
	return statistics.TotalBytesProcessed, nil
}

// QueryColumns returns the names of the columns that a SELECT gives, by a dry run.
func (w *Warehouse) QueryColumns(ctx context.Context, query string) ([]string, error) {
	statistics, err := w.dryRun(ctx, "SELECT * FROM "+wrapped(query), labels("estimate", "", ""))
	if err != nil {
		return nil, w.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the SQL of a query", "correct the SQL", linesBefore, err)
	}
	return columnsOf(statistics.Schema).Names(), nil
}

// dryRun has BigQuery plan a query and do nothing.
func (w *Warehouse) dryRun(ctx context.Context, query string, marks map[string]string) (*bigquery.QueryStatistics, error) {
	q := w.client.Query(query)
	q.DryRun, q.Labels = true, marks
	q.JobIDConfig = bigquery.JobIDConfig{JobID: "daybreak_estimate_" + unique(), Location: w.Location}
	for attempt := 0; ; attempt++ {
		at, err := q.Run(ctx)
		if err == nil {
			statistics, ok := at.LastStatus().Statistics.Details.(*bigquery.QueryStatistics)
			if !ok {
				return nil, fmt.Errorf("BigQuery does not say what a query would read")
			}
			return statistics, nil
		}
		if ctx.Err() != nil || !sendAgain(err) || attempt == repetitions {
			return nil, err
		}
		if err := w.pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// arrangeable checks, before a model is built, that its columns can be arranged as its configuration says.
func (s *staging) arrangeable(ctx context.Context, b elt.Build) error {
	if s.layout.IsZero() {
		return nil
	}
	statistics, err := s.w.dryRun(ctx, "SELECT * FROM "+wrapped(b.SQL), labels("estimate", b.Run, b.Dataset))
	if err != nil {
		return s.w.modelRefused(ctx, b.Dataset, err)
	}
	columns := columnsOf(statistics.Schema)
	for i, c := range columns { // BigQuery takes no notice of a name's case
		for _, name := range append([]string{s.layout.PartitionBy}, s.layout.ClusterBy...) {
			if strings.EqualFold(name, c.Name) {
				columns[i].Name = name
			}
		}
		if strings.HasPrefix(string(c.Type.Kind), "record") {
			columns[i].Type.Kind = elt.List
		}
	}
	if err := s.layout.Fits(columns); err != nil {
		return layoutInvalid(b.Dataset, err)
	}
	return nil
}
