package schedules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// tableYAML is a table of a schedule as it is written.
type tableYAML struct {
	Table       string        `yaml:"table"`
	Mode        elt.Mode      `yaml:"mode"`
	Key         []string      `yaml:"key"`
	Cursor      string        `yaml:"cursor"`
	CursorZone  string        `yaml:"cursor_timezone"`
	Overlap     time.Duration `yaml:"overlap"`
	Start       elt.Date      `yaml:"start"`
	Columns     columnsYAML   `yaml:"columns"`
	AllowEmpty  bool          `yaml:"allow_empty"`
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
			Overlap: tt.Overlap, Start: tt.Start, AllowEmpty: tt.AllowEmpty,
			Defaults: r.Defaults[source].ColumnRules, DecidePII: r.DecidePII,
			Drift: elt.DriftRules{NewColumn: tt.NewColumn, TypeChange: tt.TypeChange, DroppedColumn: tt.Dropped, Widened: tt.Widened},
		},
		Description: tt.Description, Owners: tt.Owners, Tags: tt.Tags, Deadline: tt.Deadline,
	}
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

// mode checks what belongs to full and what to incremental.
func (r *reading) mode(t *Table, tt tableYAML) {
	key := string(t.Dataset)
	switch t.Mode {
	case "":
		t.Mode = elt.Full
		fallthrough
	case elt.Full:
		for _, only := range []string{"cursor", "cursor_timezone", "overlap", "start"} {
			if r.given("tables", key, only) {
				r.problem(codeIncrementalOnly, fmt.Sprintf("%s of %s has no meaning in mode full, which reads every row", only, key),
					"set mode: incremental, or remove it", "tables", key, only)
			}
		}
		return
	case elt.Incremental:
	default:
		r.problem(codeBadMode, fmt.Sprintf("mode cannot be %q", t.Mode), "write full (every row) or incremental (the rows of a window)", "tables", key, "mode")
		return
	}
	if len(t.Key) == 0 && r.absent(yamlfile.Sequence, "tables", key, "key") {
		r.problem(codeKeyMissing, fmt.Sprintf("%s is incremental and has no key, so its rows could not be told apart", key),
			"name its primary key: key: [id]", "tables", key)
	}
	if t.Cursor == "" && r.absent(yamlfile.Scalar, "tables", key, "cursor") {
		r.problem(codeCursorMissing, fmt.Sprintf("%s is incremental and has no cursor, so nobody knows which rows changed", key),
			"name the column that says when a row last changed: cursor: updated_at", "tables", key)
	}
	if t.Overlap < 0 {
		r.problem(codeBadOverlap, fmt.Sprintf("the overlap %s is negative", t.Overlap), "give how far to read again before the window, such as 2h", "tables", key, "overlap")
	}
	if tt.CursorZone != "" {
		t.CursorZone = r.location(tt.CursorZone, "tables", key, "cursor_timezone")
	}
	if r.text.CatchUp == "" || r.text.CatchUp == CatchUpLatest {
		r.problem(codeCatchUpGap, fmt.Sprintf("%s is incremental, and catch_up: latest would leave out the rows of every missed date", key),
			"set catch_up: all in this schedule", "tables", key, "mode")
	}
	if !r.schedule.calendar.daily() {
		r.problem(codeCalendarGap, fmt.Sprintf("%s is incremental, and the schedule does not run every day: the rows of the other dates would be left out", key),
			"let the schedule run every day, or bring the table in mode full", "tables", key, "mode")
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
