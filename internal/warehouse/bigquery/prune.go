package bigquery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// maxRanges is how many ranges of partitions a merge names; where it touches more, it names the one that holds them all.
const maxRanges = 200

// touched is the part of a published table that a merge may change: the partitions that hold a row whose key is among
// the staged ones. It is measured over the key and the partition column alone, and stands in the merge as constants,
// for BigQuery leaves partitions unread only for those. The staged rows alone would not tell: a row whose partition
// column changed has left its old version in another partition.
type touched struct {
	whole    bool   // the table has no partitions: all of it
	none     bool   // nothing published has one of the keys
	where    string // the condition on p
	versions int64  // of the dataset when it was measured
}

// touches measures what merging an item will change.
func (w *Warehouse) touches(ctx context.Context, p plan) (touched, error) {
	l := layoutOf(p.published)
	f := fieldOf(p.published.Schema, l.PartitionBy)
	if f == nil || p.Strategy == elt.Append {
		return touched{whole: true}, nil
	}
	k := kindOf(f)
	column := "p." + quote(f.Name)
	s := statement{
		what: "count the versions of " + string(p.Version.Dataset), step: "publish",
		labels: labels("publish", p.Version.Run, p.Version.Dataset),
		sql:    w.versionsOf(p.Version.Dataset),
	}
	versions, err := w.number(ctx, s)
	if err != nil {
		return touched{}, err
	}
	s.what = "find the partitions that " + string(p.Version.Dataset) + " touches"
	s.sql = fmt.Sprintf("SELECT DISTINCT %s FROM %s AS p WHERE %s IN (SELECT %s FROM %s AS d)",
		truncated(k, column, l.Granularity), w.Published(p.Relation), keyOf("p", p.Key), keyOf("d", p.Key), nameOf(p.from))
	out := touched{none: true, versions: versions}
	var starts []int64
	var null bool
	err = w.rows(ctx, s, func(row []bigquery.Value) error {
		out.none = false
		if row[0] == nil {
			null = true
			return nil
		}
		start, ok := row[0].(int64)
		if !ok {
			return unexpected(row[0])
		}
		starts = append(starts, start)
		return nil
	})
	if err != nil || out.none {
		return out, err
	}
	out.where = condition(column, k, l.Granularity, starts, null)
	return out, nil
}

// versionsOf counts how often the dataset was published: a merge is of the table as it was measured, or it is not done.
func (w *Warehouse) versionsOf(d elt.DatasetName) string {
	return "SELECT COUNT(*) FROM " + w.catalog("versions") + " WHERE dataset = " + literal(string(d))
}

// condition renders the partitions that begin at the given readings, neighbours as one range.
func condition(column string, k elt.Kind, g elt.Granularity, starts []int64, null bool) string {
	slices.Sort(starts)
	type span struct{ from, to time.Time }
	var spans []span
	for _, start := range starts {
		from := readingOf(k, start)
		if n := len(spans); n > 0 && spans[n-1].to.Equal(from) {
			spans[n-1].to = next(g, from)
			continue
		}
		spans = append(spans, span{from, next(g, from)})
	}
	if n := len(spans); n > maxRanges {
		spans = []span{{spans[0].from, spans[n-1].to}}
	}
	var terms []string
	for _, s := range spans {
		terms = append(terms, column+" >= "+constant(k, s.from)+" AND "+column+" < "+constant(k, s.to))
	}
	if null {
		terms = append(terms, column+" IS NULL")
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}

func fieldOf(schema bigquery.Schema, name string) *bigquery.FieldSchema {
	i := slices.IndexFunc(schema, func(f *bigquery.FieldSchema) bool { return name != "" && strings.EqualFold(f.Name, name) })
	if i < 0 {
		return nil
	}
	return schema[i]
}
