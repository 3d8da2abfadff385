package schedules

import (
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// partitionYAML is partition_by as it is written: a column's name, or a mapping of it and its granularity.
type partitionYAML struct {
	Field       string `yaml:"field"`
	Granularity string `yaml:"granularity"`
}

// UnmarshalNode reads either.
func (p *partitionYAML) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	if n.Kind != yamlfile.Mapping {
		return n.Decode(&p.Field)
	}
	type plain partitionYAML // without this method
	return n.Decode((*plain)(p))
}

// replacePartitions is the value of replace under which a night's rows come in place of what its window held.
const replacePartitions = "partitions"

// layout reads how the published table is arranged, and checks what can be checked without the source.
func (r *reading) layout(t *Table, tt tableYAML) {
	key := string(t.Dataset)
	problem := func(what, do string, path ...any) {
		r.problem(codeLayoutInvalid, what, do, append([]any{"tables", key}, path...)...)
	}
	granularity, err := elt.ParseGranularity(tt.PartitionBy.Granularity)
	if err != nil {
		problem(err.Error(), "correct the granularity", "partition_by", "granularity")
	}
	t.Layout = elt.Layout{PartitionBy: tt.PartitionBy.Field, ClusterBy: tt.ClusterBy}
	if t.Layout.PartitionBy != "" {
		t.Layout.Granularity = granularity
	} else if r.given("tables", key, "partition_by") {
		problem("partition_by names no column", "write partition_by: created_at", "partition_by")
	}
	if err := t.Layout.Check(); err != nil {
		problem(err.Error(), "name up to four columns, each once, the most important first", "cluster_by")
	}
	for _, c := range append([]string{t.Layout.PartitionBy}, t.Layout.ClusterBy...) {
		if c != "" && slices.Contains(t.Exclude, c) {
			problem(fmt.Sprintf("the column %q is excluded, and the published table is to be arranged by it", c), "exclude another, or arrange the table by another")
		}
	}
	switch tt.Replace {
	case "":
	case replacePartitions:
		t.Layout.ReplacePartitions = true
		r.replaceable(t, problem)
	default:
		problem(fmt.Sprintf("replace cannot be %q", tt.Replace), "write replace: partitions, or leave it out to merge rows by key", "replace")
	}
}

// replaceable refuses to replace partitions where that would lose rows: those that moved to a later day because the
// column by which they are partitioned changed, and those of which the night does not bring all.
func (r *reading) replaceable(t *Table, problem func(what, do string, path ...any)) {
	const do = "remove replace, so that rows are merged by key; or make partition_by the cursor, if that never changes in a row"
	switch {
	case t.Mode != elt.Incremental:
		problem("replace says nothing in mode full, which replaces the whole table", "remove it", "replace")
	case t.Layout.PartitionBy == "":
		problem("replace: partitions needs partition_by", do, "replace")
	case t.Deletes.Mode == elt.DeletesByKey:
		problem("replace: partitions and deletes: key_diff do not go together: a night's window is replaced whole, what is gone from it included", "remove one of them", "replace")
	case t.NullCursors == elt.NullsInclude:
		problem("replace: partitions and null_cursor: include do not go together: rows without a cursor come with every night, and are in no window", "write null_cursor: skip or fail, or remove replace", "replace")
	case t.Layout.PartitionBy != t.Cursor:
		problem(fmt.Sprintf("a night brings the rows of a window of %s, not whole partitions of %s: replacing those would lose rows", t.Cursor, t.Layout.PartitionBy), do, "replace")
	}
}
