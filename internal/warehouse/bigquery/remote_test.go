//go:build bigquery

package bigquery

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/iterator"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

// remote is a harness on a BigQuery that is not the double: what the suite asks behind the warehouse's back is asked
// through the API, in BigQuery's SQL.
func remote(t *testing.T, o Options) warehousetest.Harness {
	t.Helper()
	layouts := make(map[elt.DatasetName]elt.Layout)
	o.Layout = func(d elt.DatasetName) elt.Layout { return layouts[d] }
	w, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return warehousetest.Harness{
		Warehouse: w, Physical: w.physical, Layouts: layouts, Limits: limits(),
		Rows: func(t testing.TB, query string) []string { return w.remoteRows(t, query) },
		Exec: func(t testing.TB, statement string) { w.remoteRows(t, statement) },
	}
}

var (
	duckQuoted = regexp.MustCompile(`"([^"]*)"`)
	// A list has no text in BigQuery.
	listCast = regexp.MustCompile(`CAST\(("?(?:texts|locals)"?) AS VARCHAR\)`)
	bareShop = regexp.MustCompile(`\bshop\b`)
)

// googleSQL turns the suite's SQL, which is DuckDB's where the two differ, into BigQuery's.
func (w *Warehouse) googleSQL(query string) string {
	query = listCast.ReplaceAllString(query, "TO_JSON_STRING($1)")
	parts := strings.Split(query, "`") // names of tables are BigQuery's already
	for i := 0; i < len(parts); i += 2 {
		p := strings.ReplaceAll(parts[i], "AS VARCHAR)", "AS STRING)")
		parts[i] = bareShop.ReplaceAllString(duckQuoted.ReplaceAllString(p, "``$1``"), w.DatasetPrefix+"shop")
	}
	return strings.ReplaceAll(strings.Join(parts, "`"), "``", "`")
}

func (w *Warehouse) remoteRows(t testing.TB, query string) (out []string) {
	t.Helper()
	q := w.client.Query(w.googleSQL(query))
	q.JobID, q.Location = "daybreak_test_"+unique(), w.Location
	it, err := q.Read(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", q.Q, err)
	}
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if err == iterator.Done {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", q.Q, err)
		}
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cellOf(v)
		}
		out = append(out, strings.Join(cells, "|"))
	}
}

// cellOf shows a value as the embedded warehouse does.
func cellOf(v bigquery.Value) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case *big.Rat:
		return strings.TrimSuffix(strings.TrimRight(v.FloatString(38), "0"), ".")
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.999999+00")
	case civil.DateTime:
		return strings.Replace(v.String(), "T", " ", 1)
	}
	return fmt.Sprint(v)
}
