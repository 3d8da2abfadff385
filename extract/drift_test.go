package extract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
)

func decimals(name string, precision, scale int) elt.Column {
	return elt.Column{Name: name, Type: elt.Type{Kind: elt.Decimal, Precision: precision, Scale: scale}, SourceType: "numeric"}
}

// TestDrift compares what a table is with what is published of it, under every rule.
func TestDrift(t *testing.T) {
	id, at := column("id", elt.Int64), column("at", elt.Timestamp)
	text, number := column("v", elt.String), column("v", elt.Int64)
	masked := elt.Column{Name: "v", Type: elt.Type{Kind: elt.String}, Masked: "hash"}
	absent := text
	absent.Absent = true
	for name, c := range map[string]struct {
		was, is elt.Schema // beside id and at
		rules   elt.DriftRules
		change  func(*elt.Extraction)
		full    string // what is said of a full table; "!" and a word of the refusal
		merged  string // of an incremental one; as full when empty
		column  string // v in an incremental table's manifest
	}{
		"nothing":                {was: elt.Schema{text}, is: elt.Schema{text}, column: "string"},
		"added":                  {is: elt.Schema{text}, full: "added", column: "string"},
		"ignored":                {is: elt.Schema{text}, rules: elt.DriftRules{NewColumn: "ignore"}, full: "ignored"},
		"new and refused":        {is: elt.Schema{text}, rules: elt.DriftRules{NewColumn: "fail"}, full: `!column "v" (string) is new`},
		"new and named":          {is: elt.Schema{text}, rules: elt.DriftRules{NewColumn: "fail"}, change: func(e *elt.Extraction) { e.Keep = []string{"v"} }, full: "added", column: "string"},
		"gone":                   {was: elt.Schema{text}, full: `!column "v" (string) is gone`},
		"gone and kept":          {was: elt.Schema{text}, rules: elt.DriftRules{DroppedColumn: "keep"}, full: "kept", column: "string absent"},
		"gone and dropped":       {was: elt.Schema{text}, rules: elt.DriftRules{DroppedColumn: "drop"}, full: "dropped"},
		"kept before":            {was: elt.Schema{absent}, column: "string absent"},
		"back again":             {was: elt.Schema{absent}, is: elt.Schema{text}, full: "added", column: "string"},
		"excluded":               {was: elt.Schema{text}, is: elt.Schema{text}, change: func(e *elt.Extraction) { e.Exclude = []string{"v"} }, full: "left_out", merged: "hidden", column: "string absent"},
		"not allowed any more":   {was: elt.Schema{text}, is: elt.Schema{text}, change: func(e *elt.Extraction) { e.Allow = []string{"id", "at"} }, full: "left_out", merged: "hidden", column: "string absent"},
		"widened":                {was: elt.Schema{decimals("v", 5, 2)}, is: elt.Schema{decimals("v", 12, 4)}, full: "widened", column: "decimal(12,4)"},
		"widened both ways":      {was: elt.Schema{decimals("v", 12, 2)}, is: elt.Schema{decimals("v", 8, 4)}, full: "widened", column: "decimal(14,4)"},
		"widened and refused":    {was: elt.Schema{decimals("v", 5, 2)}, is: elt.Schema{decimals("v", 12, 4)}, rules: elt.DriftRules{Widened: "fail"}, full: "!on_widened_type"},
		"narrowed":               {was: elt.Schema{decimals("v", 12, 4)}, is: elt.Schema{decimals("v", 5, 2)}, column: "decimal(12,4)"},
		"integer to decimal":     {was: elt.Schema{number}, is: elt.Schema{decimals("v", 12, 2)}, full: "widened", column: "decimal(21,2)"},
		"too wide for both":      {was: elt.Schema{decimals("v", 38, 0)}, is: elt.Schema{decimals("v", 38, 38)}, full: "!on_type_change"},
		"another type":           {was: elt.Schema{number}, is: elt.Schema{text}, full: `!column "v" was int64 and is string`},
		"another type as text":   {was: elt.Schema{number}, is: elt.Schema{text}, rules: elt.DriftRules{TypeChange: "string"}, full: "text", column: "string"},
		"text stays text":        {was: elt.Schema{text}, is: elt.Schema{number}, rules: elt.DriftRules{TypeChange: "string"}, full: "narrowed", column: "string"},
		"replaced":               {was: elt.Schema{number}, is: elt.Schema{text}, rules: elt.DriftRules{TypeChange: "replace"}, full: "replaced", merged: "!on_type_change"},
		"declared as text":       {was: elt.Schema{number}, is: elt.Schema{number}, change: typed("string"), full: "replaced", merged: "text", column: "string"},
		"declared as a decimal":  {was: elt.Schema{number}, is: elt.Schema{number}, change: typed("decimal(30,2)"), full: "replaced", merged: "widened", column: "decimal(30,2)"},
		"declared as too narrow": {was: elt.Schema{number}, is: elt.Schema{number}, change: typed("decimal(5,2)"), full: "replaced", merged: "!mode: full for one night"},
		"hashed from now on":     {was: elt.Schema{text}, is: elt.Schema{text}, change: func(e *elt.Extraction) { e.Hash = []string{"v"} }, merged: "!as in the source and would be hashed"},
		"not hashed any more":    {was: elt.Schema{masked}, is: elt.Schema{text}, merged: "!hashed and would be as in the source"},
		"another key": {was: elt.Schema{masked}, is: elt.Schema{text}, change: func(e *elt.Extraction) { e.Hash, e.Drift.Widened = []string{"v"}, "other key" },
			merged: "!was hashed with the key another"},
	} {
		for _, mode := range []elt.Mode{elt.Full, elt.Incremental} {
			t.Run(name+"/"+string(mode), func(t *testing.T) {
				source := newCatalog()
				source.tables["a"] = extract.TableInfo{Name: "a", Columns: append(elt.Schema{id, at}, c.is...)}
				e := extracttest.Table("a")
				e.Mode, e.Key, e.Drift = mode, []string{"id"}, c.rules
				if mode == elt.Incremental {
					e.Cursor = "at"
				}
				if c.change != nil {
					c.change(&e)
				}
				job := extracttest.Job(e, 1)
				job.Published = &elt.Manifest{Date: job.Date.AddDays(-1), Schema: append(elt.Schema{id, at}, c.was...), MaskKey: "another"}
				if e.Drift.Widened != "other key" {
					job.Published.MaskKey = extract.NewMasker([]byte("a key")).ID()
				}
				job.Window = &elt.Window{To: time.Date(2026, 1, 6, 0, 0, 0, 0, time.UTC)}
				want := c.full
				if mode == elt.Incremental && c.merged != "" {
					want = c.merged
				}
				m, err := extracttest.Extract(t, extracttest.New(t, source, &extracttest.Lake{}), job)
				if word, refused := strings.CutPrefix(want, "!"); refused {
					if err == nil || !strings.Contains(err.Error()+elt.NewFailure(err).Do, word) {
						t.Fatalf("the error is %v, expected %q", err, word)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				var kinds []string
				for _, change := range m.Changes {
					kinds = append(kinds, string(change.Kind))
				}
				if got := strings.Join(kinds, " "); got != want {
					t.Errorf("the changes are %q, expected %q", got, want)
				}
				if mode == elt.Full {
					return
				}
				v, _ := m.Schema.Column("v")
				got := string(v.Type.Kind)
				if v.Type.Kind != "" {
					got = v.Type.String()
				}
				if v.Absent {
					got += " absent"
				}
				if got != c.column {
					t.Errorf("v is %q, expected %q", got, c.column)
				}
			})
		}
	}
}

func typed(rule string) func(*elt.Extraction) {
	return func(e *elt.Extraction) {
		parsed, err := elt.ParseTypeRule(rule)
		if err != nil {
			panic(err)
		}
		e.Types = map[string]elt.TypeRule{"v": parsed}
	}
}

// TestColumnsThatMayLeave holds the rules of a dataset and of its source against each other.
func TestColumnsThatMayLeave(t *testing.T) {
	source := newCatalog()
	source.tables["users"] = extract.TableInfo{Name: "users", Columns: elt.Schema{
		column("id", elt.Int64), column("email", elt.String), column("plan", elt.String), column("api_token", elt.String), column("nachname", elt.String),
	}}
	for name, c := range map[string]struct {
		own, defaults elt.ColumnRules
		decide        bool
		want          string // columns with their masks
		refused       []elt.Code
	}{
		"all":                   {want: "id email plan api_token nachname"},
		"allowed":               {own: elt.ColumnRules{Allow: []string{"id", "plan"}}, want: "id plan"},
		"none is allowed":       {own: elt.ColumnRules{Allow: []string{}}, refused: []elt.Code{"no_columns"}},
		"allowed by the source": {defaults: elt.ColumnRules{Allow: []string{"id", "users.plan", "other.email"}}, want: "id plan"},
		"own list first":        {own: elt.ColumnRules{Allow: []string{"id"}}, defaults: elt.ColumnRules{Allow: []string{"plan"}}, want: "id"},
		"patterns":              {defaults: elt.ColumnRules{Exclude: []string{"*_token"}, Hash: []string{"EMAIL"}, Redact: []string{"nach*"}}, want: "id email:hash plan nachname:redact"},
		"own word first":        {own: elt.ColumnRules{Keep: []string{"email"}}, defaults: elt.ColumnRules{Hash: []string{"email"}}, want: "id email plan api_token nachname"},
		"undecided":             {decide: true, refused: []elt.Code{"pii_undecided", "pii_undecided", "pii_undecided"}},
		"undecided, marked": {decide: true, own: elt.ColumnRules{Hash: []string{"email"}, Redact: []string{"nachname"}, Exclude: []string{"api_token"}, PII: []string{"plan"}},
			refused: []elt.Code{"pii_undecided"}},
		"decided":             {decide: true, own: elt.ColumnRules{Hash: []string{"email"}, Keep: []string{"nachname"}}, defaults: elt.ColumnRules{Exclude: []string{"*token*"}}, want: "id email:hash plan nachname"},
		"not allowed, no pii": {decide: true, own: elt.ColumnRules{Allow: []string{"id", "plan"}}, want: "id plan"},
		"allowed is not decided": {decide: true, own: elt.ColumnRules{Allow: []string{"id", "email"}},
			refused: []elt.Code{"pii_undecided"}},
		"unknown names": {own: elt.ColumnRules{Allow: []string{"id", "a"}, Keep: []string{"b"}, PII: []string{"c"}}, refused: []elt.Code{"column_missing", "column_missing", "column_missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := extracttest.Table("users")
			e.ColumnRules, e.Defaults, e.DecidePII = c.own, c.defaults, c.decide
			x := extracttest.New(t, source, &extracttest.Lake{})
			var codes []elt.Code
			for _, p := range x.Check(t.Context(), []elt.Extraction{e}, nil) {
				codes = append(codes, p.Code)
			}
			if diff := cmp.Diff(c.refused, codes); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
			if c.refused != nil {
				return
			}
			m, err := extracttest.Extract(t, x, extracttest.Job(e, 1))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, column := range m.Schema {
				got = append(got, strings.TrimSuffix(column.Name+":"+column.Masked, ":"))
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("extracted are %q, expected %q", text, c.want)
			}
		})
	}
}
