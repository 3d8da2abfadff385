package schedules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// tableYAML is a table of a schedule as it is written.
type tableYAML struct {
	Table      string      `yaml:"table"`
	Mode       elt.Mode    `yaml:"mode"`
	Key        []string    `yaml:"key"`
	Cursor     string      `yaml:"cursor"`
	CursorZone string      `yaml:"cursor_timezone"`
	Overlap    overlapYAML `yaml:"overlap"`
	Start      elt.Date    `yaml:"start"`

	NullCursor   elt.NullCursors `yaml:"null_cursor"`
	Deletes      elt.DeleteMode  `yaml:"deletes"`
	DeletesEvery wholeDays       `yaml:"deletes_every"`
	MaxDeletes   *percent        `yaml:"max_deletes"`
	SoftDelete   string          `yaml:"soft_delete"`
	Verify       elt.Level       `yaml:"verify"`

	Columns     columnsYAML   `yaml:"columns"`
	AllowEmpty  bool          `yaml:"allow_empty"`
	ExpectRows  string        `yaml:"expect_rows"`
	PartitionBy partitionYAML `yaml:"partition_by"`
	ClusterBy   []string      `yaml:"cluster_by"`
	Replace     string        `yaml:"replace"`
	NewColumn   string        `yaml:"on_new_column"`
	TypeChange  string        `yaml:"on_type_change"`
	Dropped     string        `yaml:"on_dropped_column"`
	Widened     string        `yaml:"on_widened_type"`
	Description string        `yaml:"description"`
	Owners      []string      `yaml:"owners"`
	Tags        []string      `yaml:"tags"`
	Deadline    string        `yaml:"deadline"`
}

// tables reads the schedule's tables in the file's order.
func (r *reading) tables() {
	node := r.file.Root().Get("tables")
	if node == nil {
		return
	}
	for _, key := range node.Keys() {
		name, err := elt.ParseDatasetName(key)
		if err != nil {
			r.problem(codeDatasetName, err.Error(), "rename it; table: says what the source calls it", "tables", key)
			continue
		}
		source, rest := name.Split()
		if source == "" {
			r.problem(codeDatasetName, fmt.Sprintf("%q does not say which source it comes from", key),
				fmt.Sprintf("write it as source.table, such as %s.%s", r.anySource(), key), "tables", key)
			continue
		}
		line, column := r.file.At("tables", key)
		here := fmt.Sprintf("%s:%d", r.file.Name(), line)
		if first, twice := r.brought[name]; twice {
			r.problem(codeDatasetTwice, fmt.Sprintf("the dataset %s is already brought at %s, and a dataset belongs to one schedule", name, first),
				"remove one of the two", "tables", key)
			continue
		}
		r.brought[name] = here
		t := r.table(name, elt.SourceName(source), rest)
		t.Line, t.Column = line, column
		r.schedule.Tables = append(r.schedule.Tables, t)
	}
}

// anySource returns a source for an example.
func (r *reading) anySource() string {
	for _, s := range slices.Sorted(maps.Keys(r.Sources)) {
		return string(s)
	}
	return "shop"
}

// table reads one table; what is wrong with it is placed at its keys.
func (r *reading) table(name elt.DatasetName, source elt.SourceName, rest string) Table {
	key := string(name)
	tt := r.text.Tables[key]
	schema, known := r.Sources[source]
	if !known && r.Sources != nil {
		var names []string
		for s := range r.Sources {
			names = append(names, string(s))
		}
		r.problem(codeUnknownSource, fmt.Sprintf("daybreak.yaml has no source %q", source), yamlfile.Suggest(string(source), names), "tables", key)
	}
	t := Table{
		Extraction: elt.Extraction{
			Dataset: name, Source: source, Table: tt.Table, Mode: tt.Mode, Key: tt.Key, Cursor: tt.Cursor,
			NullCursors: tt.NullCursor, Verify: tt.Verify, Start: tt.Start, AllowEmpty: tt.AllowEmpty,
			Defaults: r.Defaults[source].ColumnRules, DecidePII: r.DecidePII,
			Drift: elt.DriftRules{NewColumn: tt.NewColumn, TypeChange: tt.TypeChange, DroppedColumn: tt.Dropped, Widened: tt.Widened},
		},
		Description: tt.Description, Owners: tt.Owners, Tags: tt.Tags, Deadline: tt.Deadline,
	}
	t.Overlap, t.OverlapNumbers = tt.Overlap.read()
	if t.Table == "" {
		t.Table = rest
	}
	if schema != "" && !strings.Contains(t.Table, ".") {
		t.Table = schema + "." + t.Table
	}
	if t.Deadline == "" {
		t.Deadline = r.text.Deadline
	}
	r.deadline(tt.Deadline, "tables", key, "deadline")
	if len(t.Owners) == 0 {
		t.Owners = r.text.Owners
	}
	r.owners(tt.Owners, "tables", key, "owners")
	if len(t.Owners) < 2 {
		r.problems = append(r.problems, r.file.Warning(codeOneOwner,
			fmt.Sprintf("the dataset %s has %s, and somebody must be there when one is away", name, ownersText(t.Owners)),
			"name at least two under owners:", "tables", key))
	}
	switch t.Verify {
	case "", elt.LevelCounts, elt.LevelColumns, elt.LevelRows:
	default:
		r.problem(codeBadLevel, fmt.Sprintf("verify cannot be %q", t.Verify), "write counts, columns (the default) or rows", "tables", key, "verify")
	}
	r.expectRows(&t, tt)
	r.mode(&t, tt)
	r.columns(&t, tt.Columns)
	r.drift(&t)
	r.layout(&t, tt)
	return t
}

func ownersText(owners []string) string {
	if len(owners) == 0 {
		return "no owner"
	}
	return "one owner"
}

// expectRows reads how many rows a night may bring.
func (r *reading) expectRows(t *Table, tt tableYAML) {
	if tt.ExpectRows == "" {
		return
	}
	var err error
	if t.Expect, err = elt.ParseExpectedRows(tt.ExpectRows); err != nil {
		r.problem(codeBadExpectRows, fmt.Sprintf("expect_rows of %s: %v", t.Dataset, err),
			"write within 50%, at least 1000, or between 1000 and 2000", "tables", string(t.Dataset), "expect_rows")
	}
}

// absent reports whether nothing is there that could be wanted: something of another kind was reported already.
func (r *reading) absent(want yamlfile.Kind, path ...any) bool {
	n := r.file.Root()
	for _, step := range path {
		if n = n.Get(fmt.Sprint(step)); n == nil {
			return true
		}
	}
	return n.Kind == yamlfile.Null || n.Kind == want && (want != yamlfile.Scalar || n.IsText())
}
