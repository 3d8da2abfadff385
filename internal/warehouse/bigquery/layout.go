package bigquery

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// layoutFor returns how the dataset's published table is to be arranged, and so the one that is staged: a copy takes
// the arrangement with it.
func (w *Warehouse) layoutFor(d elt.DatasetName) elt.Layout {
	if w.Layout == nil {
		return elt.Layout{}
	}
	return w.Layout(d)
}

func layoutInvalid(d elt.DatasetName, err error) error {
	return &elt.Error{
		Code: codeLayoutInvalid, Class: elt.Config,
		What: fmt.Sprintf("%s cannot be arranged as its configuration says: %v", d, err), Do: "correct partition_by and cluster_by",
	}
}

var partitionTypes = map[elt.Granularity]bigquery.TimePartitioningType{
	elt.ByHour: bigquery.HourPartitioningType, elt.ByDay: bigquery.DayPartitioningType,
	elt.ByMonth: bigquery.MonthPartitioningType, elt.ByYear: bigquery.YearPartitioningType,
}

// partitioning and clustering return a layout in BigQuery's terms, nil where it asks for none.
func partitioning(l elt.Layout) *bigquery.TimePartitioning {
	if l.PartitionBy == "" {
		return nil
	}
	return &bigquery.TimePartitioning{Type: partitionTypes[l.Granularity], Field: l.PartitionBy}
}

func clustering(l elt.Layout) *bigquery.Clustering {
	if len(l.ClusterBy) == 0 {
		return nil
	}
	return &bigquery.Clustering{Fields: l.ClusterBy}
}

// layoutOf returns how a table is arranged.
func layoutOf(md *bigquery.TableMetadata) (l elt.Layout) {
	if p := md.TimePartitioning; p != nil {
		l.PartitionBy, l.Granularity = p.Field, elt.Granularity(strings.ToLower(string(p.Type)))
	}
	if md.Clustering != nil {
		l.ClusterBy = md.Clustering.Fields
	}
	return l
}

// sameLayout reports whether two tables are arranged in the same way. BigQuery neither copies over a table of another
// arrangement nor changes it: such a table is made anew.
func sameLayout(a, b *bigquery.TableMetadata) bool {
	return layoutOf(a).String() == layoutOf(b).String() && a.RangePartitioning == nil && b.RangePartitioning == nil
}

// readingOf returns the instant at which a wall clock in UTC shows a cursor's value.
func readingOf(k elt.Kind, n int64) time.Time {
	if k == elt.DateKind {
		return time.Unix(n*86400, 0).UTC()
	}
	return time.UnixMicro(n).UTC()
}

// constant returns a value of a column of dates or times as an SQL literal.
func constant(k elt.Kind, at time.Time) string {
	switch k {
	case elt.DateKind:
		return "DATE '" + at.Format(time.DateOnly) + "'"
	case elt.Timestamp:
		return "TIMESTAMP '" + at.Format("2006-01-02 15:04:05.000000") + "+00'"
	}
	return "DATETIME '" + at.Format("2006-01-02 15:04:05.000000") + "'"
}

// truncated returns the SQL of the first instant of a value's partition, as a number that readingOf reads.
func truncated(k elt.Kind, column string, g elt.Granularity) string {
	part := strings.ToUpper(string(g))
	switch k {
	case elt.DateKind:
		return "UNIX_DATE(DATE_TRUNC(" + column + ", " + part + "))"
	case elt.Timestamp:
		return "UNIX_MICROS(TIMESTAMP_TRUNC(" + column + ", " + part + "))"
	}
	return "UNIX_MICROS(TIMESTAMP(DATETIME_TRUNC(" + column + ", " + part + ")))"
}

// next returns the first instant of the partition after the one that begins at the given instant.
func next(g elt.Granularity, at time.Time) time.Time {
	switch g {
	case elt.ByHour:
		return at.Add(time.Hour)
	case elt.ByMonth:
		return at.AddDate(0, 1, 0)
	case elt.ByYear:
		return at.AddDate(1, 0, 0)
	}
	return at.AddDate(0, 0, 1)
}

// partitionID returns what a partition that begins at the given instant is called behind the $ of a table's name.
func partitionID(g elt.Granularity, at time.Time) string {
	layouts := map[elt.Granularity]string{elt.ByHour: "2006010215", elt.ByMonth: "200601", elt.ByYear: "2006"}
	if layout, ok := layouts[g]; ok {
		return at.Format(layout)
	}
	return at.Format("20060102")
}

// begins reports whether a partition begins at the instant.
func begins(g elt.Granularity, at time.Time) bool {
	year, month, day := at.Date()
	switch g {
	case elt.ByHour:
		return at.Equal(at.Truncate(time.Hour))
	case elt.ByMonth:
		return at.Equal(time.Date(year, month, 1, 0, 0, 0, 0, time.UTC))
	case elt.ByYear:
		return at.Equal(time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC))
	}
	return at.Equal(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

// onePartition returns the partition that a range is, all of it and nothing else.
func onePartition(l elt.Layout, k elt.Kind, r *elt.CursorRange) (id string, ok bool) {
	if r == nil || r.All || l.PartitionBy == "" {
		return "", false
	}
	from, to := readingOf(k, r.From), readingOf(k, r.To)
	if !begins(l.Granularity, from) || !next(l.Granularity, from).Equal(to) {
		return "", false
	}
	return partitionID(l.Granularity, from), true
}

// within is the SQL condition that a row's cursor lies in the range; never NULL.
func within(alias, cursor string, k elt.Kind, r *elt.CursorRange) string {
	column := alias + "." + quote(cursor)
	below := column + " < " + constant(k, readingOf(k, r.To))
	if r.All {
		return "(" + column + " IS NOT NULL AND " + below + ")"
	}
	return "(" + column + " IS NOT NULL AND " + column + " >= " + constant(k, readingOf(k, r.From)) + " AND " + below + ")"
}

// outside is the condition that it does not.
func outside(alias, cursor string, k elt.Kind, r *elt.CursorRange) string {
	column := alias + "." + quote(cursor)
	out := column + " IS NULL OR " + column + " >= " + constant(k, readingOf(k, r.To))
	if !r.All {
		out += " OR " + column + " < " + constant(k, readingOf(k, r.From))
	}
	return "(" + out + ")"
}
