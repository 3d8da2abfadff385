package bigquery

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Sample returns at most most rows of a SELECT as text, without the hidden columns. Which rows is not determined.
func (w *Warehouse) Sample(ctx context.Context, query string, hide []string, most int) (s elt.Sample, err error) {
	refuse := func(err error) error {
		return w.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the SQL of a query", "correct the SQL; the line counts in the SQL as it was rendered", linesBefore, err)
	}
	at, _, err := w.execute(ctx, statement{
		what: "read some rows of a query", step: "test", labels: labels("test", "", ""),
		sql: fmt.Sprintf("SELECT * FROM %s LIMIT %d", wrapped(query), most), guard: true,
	})
	if err != nil {
		return s, refuse(err)
	}
	it, err := at.Read(ctx)
	if err != nil {
		return s, refuse(err)
	}
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if done := errors.Is(err, iterator.Done); err != nil && !done {
			return elt.Sample{}, refuse(err)
		} else if done {
			return s, nil
		}
		var texts []*string
		var names []string
		for i, f := range it.Schema {
			if slices.ContainsFunc(hide, func(h string) bool { return strings.EqualFold(h, f.Name) }) {
				continue
			}
			names = append(names, f.Name)
			texts = append(texts, shown(row[i]))
		}
		s.Columns, s.Rows = names, append(s.Rows, texts)
	}
}

// shown is a value as people read it; nil for NULL.
func shown(v bigquery.Value) *string {
	var text string
	switch v := v.(type) {
	case nil:
		return nil
	case time.Time:
		text = v.UTC().Format("2006-01-02 15:04:05.999999+00")
	case *big.Rat:
		text = strings.TrimRight(strings.TrimRight(v.FloatString(38), "0"), ".")
	case []byte:
		text = hex.EncodeToString(v)
	default:
		text = fmt.Sprint(v)
	}
	return new(elt.ShortText(text))
}

// KeepFailures replaces the table of that name with at most most rows of a SELECT, without the hidden columns, and
// returns how people name it; "" when there is nothing to keep. It lies where runs stage, and expires like what they
// leave there.
func (w *Warehouse) KeepFailures(ctx context.Context, name, query string, hide []string, most int) (table string, err error) {
	found, err := w.Sample(ctx, query, hide, 1)
	if err != nil || len(found.Columns) == 0 {
		return "", err
	}
	into := w.staged("failures_" + name)
	_, _, err = w.execute(ctx, statement{
		what: "keep the failing rows " + name, step: "test", labels: labels("test", "", ""),
		sql: fmt.Sprintf("SELECT %s FROM %s LIMIT %d", quoteAll("", found.Columns), wrapped(query), most), into: into, guard: true,
	})
	return strings.Trim(nameOf(into), "`"), w.fail(ctx, "keep the failing rows "+name, err)
}
