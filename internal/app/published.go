package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/transform"
)

// publishedNames is a warehouse that only knows what published relations are called: enough to print SQL.
type publishedNames struct {
	transform.Warehouse
	config config.Warehouse
}

// Staged is never asked for: nothing is staged where SQL is only printed.
func (n publishedNames) Staged(_ elt.RunID, d elt.DatasetName) string { return string(d) }

// Published returns the quoted name of a published relation.
func (n publishedNames) Published(relation string) string {
	if b := n.config.BigQuery; b != nil {
		return "`" + b.Project + "." + b.DatasetPrefix + relation + "`"
	}
	return (&duckdb.Warehouse{}).Published(relation)
}

// publishedData is the published warehouse as tests read it. It builds nothing.
type publishedData struct {
	publishedNames
	reader *duckdb.Reader
}

// Count returns how many rows a SELECT returns.
func (p publishedData) Count(ctx context.Context, query string) (n int64, err error) {
	_, _, rows, err := p.reader.Query(ctx, "SELECT count(*) FROM (\n"+strings.TrimRight(query, "; \t\r\n")+"\n)")
	if err != nil {
		return 0, err
	}
	for row, err := range rows {
		if err != nil {
			return 0, err
		}
		if _, err := fmt.Sscan(fmt.Sprint(row[0]), &n); err != nil {
			return 0, fmt.Errorf("count the rows of a query: %w", err)
		}
	}
	return n, nil
}

// Sample returns at most most rows of a SELECT as text, without the hidden columns.
func (p publishedData) Sample(ctx context.Context, query string, hide []string, most int) (s elt.Sample, err error) {
	columns, _, rows, err := p.reader.Query(ctx, fmt.Sprintf("SELECT * FROM (\n%s\n) LIMIT %d", strings.TrimRight(query, "; \t\r\n"), most))
	if err != nil {
		return s, err
	}
	hidden := func(name string) bool {
		return slices.ContainsFunc(hide, func(h string) bool { return strings.EqualFold(h, name) })
	}
	for row, err := range rows {
		if err != nil {
			return elt.Sample{}, err
		}
		var texts []*string
		for i, v := range row {
			switch {
			case hidden(columns[i]):
			case v == nil:
				texts = append(texts, nil)
			default:
				texts = append(texts, new(elt.ShortText(fmt.Sprint(v))))
			}
		}
		s.Rows = append(s.Rows, texts)
	}
	s.Columns = slices.DeleteFunc(columns, hidden)
	return s, nil
}

// KeepFailures keeps nothing: what is asked by hand leaves no trace in the warehouse.
func (p publishedData) KeepFailures(context.Context, string, string, []string, int) (string, error) {
	return "", nil
}

// keepsNothing is a warehouse in which tests that are asked by hand leave no rows.
type keepsNothing struct{ warehouse }

// KeepFailures keeps nothing.
func (keepsNothing) KeepFailures(context.Context, string, string, []string, int) (string, error) {
	return "", nil
}

// publishedScope is the scope in which the SQL of a dataset reads what is published.
func (c *catalog) publishedScope(d elt.DatasetName, date elt.Date, published map[elt.DatasetName]elt.Date, now time.Time) transform.Scope {
	return transform.Scope{
		Date: date, Window: date.Window(c.zone(d)), ReadAt: now,
		Published: func(d elt.DatasetName) bool { _, ok := published[d]; return ok },
	}
}

// datesOf returns the published date of each dataset.
func datesOf(current map[elt.DatasetName]elt.Version) map[elt.DatasetName]elt.Date {
	out := make(map[elt.DatasetName]elt.Date, len(current))
	for name, v := range current {
		out[name] = v.Date
	}
	return out
}

// testable is what tests ask of a warehouse.
type testable interface {
	transform.Warehouse
	transform.Failures
}

// openPublished opens what is published for reading: the embedded warehouse's copy, so that a night may go on
// meanwhile, or BigQuery.
func (ws *workspace) openPublished(ctx context.Context, log *slog.Logger) (testable, func() error, error) {
	if ws.config.Warehouse.BigQuery != nil {
		p := &parts{ws: ws, log: log}
		err := p.openWarehouse(ctx, "")
		return keepsNothing{p.warehouse}, p.closeAll, err
	}
	reader, err := openReader(ctx, ws.config.Warehouse)
	if err != nil {
		return nil, nil, err
	}
	return publishedData{publishedNames{config: ws.config.Warehouse}, reader}, reader.Close, nil
}
