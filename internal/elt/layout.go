package elt

import (
	"fmt"
	"slices"
	"strings"
)

// Layout says how a warehouse arranges the rows of a published relation, so that a query which names a date reads that
// date alone. A warehouse without partitions takes no notice. The zero Layout is none.
type Layout struct {
	PartitionBy string      // a column of dates or times; empty for one heap
	Granularity Granularity // of a partition; empty means a day
	ClusterBy   []string    // columns by which the rows within are sorted, the most important first
	// ReplacePartitions is for an incremental table that is partitioned by its cursor, where a row never gets another
	// value in it: a night's rows come in place of all that was published of its window, those that are gone included.
	ReplacePartitions bool
}

// Granularity is how much time one partition holds.
type Granularity string

// The granularities.
const (
	ByHour  Granularity = "hour"
	ByDay   Granularity = "day"
	ByMonth Granularity = "month"
	ByYear  Granularity = "year"
)

// granularities are all of them, finest first.
var granularities = []Granularity{ByHour, ByDay, ByMonth, ByYear}

// maxClusterColumns is what BigQuery allows; a layout means the same on every warehouse.
const maxClusterColumns = 4

// ParseGranularity returns the granularity of that name, in capitals or not; empty means a day.
func ParseGranularity(s string) (Granularity, error) {
	g := Granularity(strings.ToLower(s))
	if g == "" {
		return ByDay, nil
	}
	if !slices.Contains(granularities, g) {
		return "", fmt.Errorf("a partition cannot be one %s long: use hour, day, month or year", s)
	}
	return g, nil
}

// IsZero reports whether the layout asks for nothing.
func (l Layout) IsZero() bool { return l.PartitionBy == "" && len(l.ClusterBy) == 0 }

// String returns the layout as a log shows it: "partitioned by day of created_at, clustered by country".
func (l Layout) String() string {
	var parts []string
	if l.PartitionBy != "" {
		parts = append(parts, fmt.Sprintf("partitioned by %s of %s", l.Granularity, l.PartitionBy))
	}
	if len(l.ClusterBy) > 0 {
		parts = append(parts, "clustered by "+strings.Join(l.ClusterBy, ", "))
	}
	if len(parts) == 0 {
		return "neither partitioned nor clustered"
	}
	return strings.Join(parts, ", ")
}

// Check says why the layout cannot be that of a relation without knowing its columns: names that come twice, too many.
func (l Layout) Check() error {
	if len(l.ClusterBy) > maxClusterColumns {
		return fmt.Errorf("cluster_by names %d columns, and at most %d help", len(l.ClusterBy), maxClusterColumns)
	}
	seen := make(map[string]bool)
	for _, c := range l.ClusterBy {
		if c == "" || seen[c] {
			return fmt.Errorf("cluster_by has the column %q empty or twice", c)
		}
		seen[c] = true
	}
	return nil
}

// unclustered are the kinds that no warehouse sorts the rows of a table by.
var unclustered = []Kind{Float64, Bytes, TimeKind, List}

// Fits says why the layout cannot be that of a relation with these columns, nil when it can.
func (l Layout) Fits(columns Schema) error {
	column := func(setting, name string) (Column, error) {
		c, ok := columns.Column(name)
		if !ok {
			return c, fmt.Errorf("%s names the column %q; the columns are %s", setting, name, strings.Join(columns.Names(), ", "))
		}
		return c, nil
	}
	if err := l.Check(); err != nil {
		return err
	}
	if l.PartitionBy != "" {
		c, err := column("partition_by", l.PartitionBy)
		if err != nil {
			return err
		}
		switch c.Type.Kind {
		case Timestamp, LocalTimestamp:
		case DateKind:
			if l.Granularity == ByHour {
				return fmt.Errorf("partition_by: %q is a date, which has no hours: use day, month or year", c.Name)
			}
		default:
			return fmt.Errorf("partition_by: %q is %s, and partitions are made of dates and times: name another column, or sort by it with cluster_by", c.Name, c.Type)
		}
	}
	for _, name := range l.ClusterBy {
		c, err := column("cluster_by", name)
		if err != nil {
			return err
		}
		if slices.Contains(unclustered, c.Type.Kind) {
			return fmt.Errorf("cluster_by: %q is %s, by which no table is sorted: name another column", c.Name, c.Type)
		}
	}
	return nil
}

// CursorRange is the range of cursor values of which a manifest holds every row: days since 1970-01-01 for a date, the
// number itself for an integer, else microseconds since then, as its wall clock reads when it has no zone.
type CursorRange struct {
	From int64 `json:"from"`          // the least that is in it
	To   int64 `json:"to"`            // the least that is above it
	All  bool  `json:"all,omitempty"` // no lower bound: From says nothing
}
