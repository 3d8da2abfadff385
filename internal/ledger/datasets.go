package ledger

import (
	"cmp"
	"context"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const datasetColumns = `name, kind, schedule, description, owners, tags, inputs, columns, relation, materialized, deadline_time, zone, retired`

func scanDataset(row scanner) (d elt.Dataset, err error) {
	err = row.Scan(&d.Name, &d.Kind, &d.Schedule, &d.Description, intoDocument{&d.Owners}, intoDocument{&d.Tags}, intoDocument{&d.Inputs},
		intoDocument{&d.Columns}, &d.Relation, &d.Materialized, &d.DeadlineTime, &d.Zone, &d.Retired)
	return d, err
}

func datasetRow(d elt.Dataset) ([]any, error) {
	row := []any{string(d.Name), string(d.Kind), string(d.Schedule), d.Description, nil, nil, nil, nil,
		d.Relation, d.Materialized, d.DeadlineTime, d.Zone, number(d.Retired)}
	for i, list := range []any{d.Owners, d.Tags, d.Inputs, d.Columns} {
		text, err := document{list}.text()
		if err != nil {
			return nil, err
		}
		row[4+i] = text
	}
	return row, nil
}

// SyncDatasets makes the catalogue that of the configuration. A dataset that is left out becomes retired:
// its history stays. Datasets that did not change cost nothing.
func (l *Ledger) SyncDatasets(ctx context.Context, datasets []elt.Dataset) error {
	return l.change(ctx, "write the catalogue", func(ctx context.Context, c *change) error {
		known, err := collect(ctx, c, scanDataset, `SELECT `+datasetColumns+` FROM datasets`)
		if err != nil {
			return err
		}
		before := make(map[elt.DatasetName]elt.Dataset, len(known))
		for _, d := range known {
			before[d.Name] = d
		}
		for _, d := range datasets {
			old, exists := before[d.Name]
			delete(before, d.Name)
			if err := c.syncDataset(ctx, old, exists, d); err != nil {
				return err
			}
		}
		for _, d := range known {
			gone, left := before[d.Name]
			if !left || gone.Retired {
				continue
			}
			gone.Retired = true
			if err := c.syncDataset(ctx, d, true, gone); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *change) syncDataset(ctx context.Context, old elt.Dataset, exists bool, d elt.Dataset) error {
	row, err := datasetRow(d)
	if err != nil {
		return err
	}
	kind := "dataset.added"
	if exists {
		was, err := datasetRow(old)
		if err != nil || slices.Equal(was, row) {
			return err
		}
		kind = "dataset.changed"
		if d.Retired {
			kind = "dataset.retired"
		}
		if err := c.keep(ctx, "datasets", `name = $1`, row[0]); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `DELETE FROM datasets WHERE name = $1`, row[0]); err != nil {
			return err
		}
	}
	if err := c.insert(ctx, "datasets ("+datasetColumns+", since)", [][]any{append(row, instant(c.now))}); err != nil {
		return err
	}
	_, err = c.record(elt.Event{Kind: kind, Dataset: d.Name}, nil)
	return err
}

// Datasets returns the catalogue in name order, retired datasets included.
func (l *Ledger) Datasets(ctx context.Context) (datasets []elt.Dataset, err error) {
	err = l.read(ctx, "read the catalogue", func(ctx context.Context, q queryer) error {
		datasets, err = readDatasets(ctx, q, l.table("datasets"))
		return err
	})
	return datasets, err
}

func readDatasets(ctx context.Context, q queryer, table string) ([]elt.Dataset, error) {
	datasets, err := collect(ctx, q, scanDataset, `SELECT `+datasetColumns+` FROM `+table)
	// A server's collation may order names in its own way; by octets is the same everywhere.
	slices.SortFunc(datasets, func(a, b elt.Dataset) int { return cmp.Compare(a.Name, b.Name) })
	return datasets, err
}
