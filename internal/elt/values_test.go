package elt_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

func drawStats(t *rapid.T) elt.TableStats {
	s := elt.TableStats{Rows: rapid.Int64Range(0, math.MaxInt64).Draw(t, "rows")}
	for i := range rapid.IntRange(0, 4).Draw(t, "columns") {
		s.Columns = append(s.Columns, elt.ColumnStats{
			Column: fmt.Sprintf("c%d", i), NonNull: rapid.Int64().Draw(t, "non_null"), Sum: rapid.StringMatching(`-?[0-9]{0,30}`).Draw(t, "sum"),
			Length: rapid.Int64().Draw(t, "length"), Min: rapid.String().Draw(t, "min"), Max: rapid.String().Draw(t, "max"), NaNs: rapid.Int64().Draw(t, "nans"),
		})
	}
	return s
}

// Equal stats agree whatever the order of columns, and one fact that differs is named, with its column, on either side.
func TestStatsCompare(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		s := drawStats(t)
		other := elt.TableStats{Rows: s.Rows, Columns: slices.Clone(s.Columns)}
		slices.Reverse(other.Columns)
		if m := s.Compare(other); len(m) > 0 {
			t.Fatalf("equal stats differ: %v", m)
		}
		want := elt.Mismatch{Fact: "rows"}
		if len(s.Columns) == 0 || rapid.Bool().Draw(t, "table") {
			other.Rows++
		} else {
			c := &other.Columns[rapid.IntRange(0, len(other.Columns)-1).Draw(t, "column")]
			want = elt.Mismatch{Column: c.Column, Fact: rapid.SampledFrom([]string{"non_null", "sum", "length", "min", "max", "nans"}).Draw(t, "fact")}
			switch want.Fact {
			case "non_null":
				c.NonNull++
			case "sum":
				c.Sum += "0"
			case "length":
				c.Length++
			case "min":
				c.Min += "0"
			case "max":
				c.Max += "0"
			case "nans":
				c.NaNs++
			}
		}
		for _, found := range [][]elt.Mismatch{s.Compare(other), other.Compare(s)} {
			if len(found) != 1 || found[0].Column != want.Column || found[0].Fact != want.Fact || found[0].Want == found[0].Got {
				t.Fatalf("want %s of %q, found %v", want.Fact, want.Column, found)
			}
		}
	})
}

func TestStatsCompareColumns(t *testing.T) {
	a := elt.TableStats{Rows: 1, Columns: []elt.ColumnStats{{Column: "a"}}}
	b := elt.TableStats{Rows: 1, Columns: []elt.ColumnStats{{Column: "b"}}}
	var got []string
	for _, m := range a.Compare(b) {
		got = append(got, m.String())
	}
	if diff := cmp.Diff([]string{"a: missing is none, expected a column", "b: extra is a column, expected none"}, got); diff != "" {
		t.Error(diff)
	}
	if s := (elt.Mismatch{Fact: "rows", Want: "2", Got: "1"}).String(); s != "table: rows is 1, expected 2" {
		t.Error(s)
	}
}

func manifest() *elt.Manifest {
	sum := strings.Repeat("0a", 32)
	return &elt.Manifest{
		Format: elt.ManifestFormat, Dataset: "shop.users", Date: theDate, Run: "r1", Attempt: 2, Mode: elt.Incremental, Key: []string{"id"},
		Cursor: "updated_at", Window: &elt.Window{To: now}, Source: elt.SourcePosition{Source: "shop", Server: "postgres 15", TakenAt: now, CrossTableConsistent: true},
		Schema:    elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "tags", Type: elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.Decimal, Precision: 12, Scale: 2}}, Nullable: true, Masked: "hash"}},
		Parts:     []elt.Part{{Key: "k/part-0", Rows: 3, Bytes: 10, SHA256: sum}, {Key: "k/part-1", Rows: 0, Bytes: 5, SHA256: sum}},
		Stats:     elt.TableStats{Rows: 3, Columns: []elt.ColumnStats{{Column: "id", NonNull: 3, Sum: "170141183460469231731687303715884105727"}}},
		CreatedAt: now,
	}
}

func TestManifestRoundTrip(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		m := manifest()
		m.Stats = drawStats(t)
		m.Parts[0].Rows = m.Stats.Rows
		m.Cursor = rapid.String().Draw(t, "cursor")
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := elt.DecodeManifest(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Fatal(diff)
		}
	})
	m := manifest()
	if m.ObjectKey() != "shop.users/date=2026-01-05/run=r1/attempt=2/manifest.json" || m.Rows() != 3 || m.Bytes() != 15 {
		t.Error(m.ObjectKey(), m.Rows(), m.Bytes())
	}
}

func TestDecodeManifestRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*elt.Manifest){
		"another format":      func(m *elt.Manifest) { m.Format = 2 },
		"rows that don't add": func(m *elt.Manifest) { m.Stats.Rows++ },
		"a lost part":         func(m *elt.Manifest) { m.Parts = m.Parts[1:] },
		"no checksum":         func(m *elt.Manifest) { m.Parts[0].SHA256 = "" },
		"a bad checksum":      func(m *elt.Manifest) { m.Parts[0].SHA256 = strings.Repeat("zz", 32) },
		"a part without key":  func(m *elt.Manifest) { m.Parts[0].Key = "" },
		"a part twice":        func(m *elt.Manifest) { m.Parts[1].Key = m.Parts[0].Key },
		"negative rows":       func(m *elt.Manifest) { m.Parts[0].Rows, m.Parts[1].Rows = 4, -1 },
		"negative bytes":      func(m *elt.Manifest) { m.Parts[0].Bytes = -1 },
		"no dataset":          func(m *elt.Manifest) { m.Dataset = "" },
		"no date":             func(m *elt.Manifest) { m.Date = elt.Date{} },
		"no run":              func(m *elt.Manifest) { m.Run = "" },
		"no attempt":          func(m *elt.Manifest) { m.Attempt = 0 },
	} {
		m := manifest()
		spoil(m)
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := elt.DecodeManifest(b); err == nil || !strings.Contains(err.Error(), "decode manifest") {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole, err := manifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - 2 { // without its last bracket
		if _, err := elt.DecodeManifest(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are read", n, len(whole))
		}
	}
}

func FuzzDecodeManifest(f *testing.F) {
	b, err := manifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := elt.DecodeManifest(data)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			return // such as a year past 9999, which JSON's times cannot hold
		}
		back, err := elt.DecodeManifest(again)
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		if third, err := back.Encode(); err != nil || string(third) != string(again) {
			t.Errorf("%s became %s: %v", again, third, err)
		}
	})
}

func TestSchemaDiff(t *testing.T) {
	a := elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "price", Type: elt.Type{Kind: elt.Decimal, Precision: 12, Scale: 2}}}
	for name, tc := range map[string]struct {
		b    elt.Schema
		want []string
	}{
		"equal":     {slices.Clone(a), nil},
		"reordered": {elt.Schema{a[1], a[0]}, []string{"the columns are in another order"}},
		"gone":      {a[:1], []string{`column "price" is gone`}},
		"new":       {append(slices.Clone(a), elt.Column{Name: "x"}), []string{`column "x" is new`}},
		"widened":   {elt.Schema{a[0], {Name: "price", Type: elt.Type{Kind: elt.Decimal, Precision: 14, Scale: 2}}}, []string{`column "price" was decimal(12,2) and is decimal(14,2)`}},
	} {
		if diff := cmp.Diff(tc.want, a.Diff(tc.b)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	list := elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.String}}
	if list.String() != "list<string>" || list.Equal(elt.Type{Kind: elt.List}) {
		t.Error(list)
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"shop.users", "revenue", "_x", "a.b1", strings.Repeat("a", 63)} {
		if d, err := elt.ParseDatasetName(good); err != nil || string(d) != good {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".b", "a.b.c", "Shop.users", "1a", "a-b", "a b", "run_x.t", "_daybreak", "_daybreak.versions", "a.b\n", "é", strings.Repeat("a", 64)} {
		if d, err := elt.ParseDatasetName(bad); err == nil {
			t.Errorf("%q is read as %q", bad, d)
		}
	}
	if s, table := elt.DatasetName("shop.users").Split(); s != "shop" || table != "users" {
		t.Error(s, table)
	}
	if s, table := elt.DatasetName("revenue").Split(); s != "" || table != "revenue" {
		t.Error(s, table)
	}
	if elt.NewStepID("r", elt.PublishStep, "") != "r/publish" || elt.NewStepID("r", elt.LoadStep, "a.b") != "r/load/a.b" {
		t.Error("step IDs are wrong")
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("permission denied")
	e := &elt.Error{Code: "source_denied", Class: elt.Config, What: "cannot read users", Do: "grant SELECT", Err: cause}
	if e.Error() != "cannot read users: permission denied" || !errors.Is(e, cause) {
		t.Error(e)
	}
	if said := (&elt.Error{What: "no: permission denied", Err: cause}); said.Error() != "no: permission denied" {
		t.Error(said)
	}
	for _, tc := range []struct {
		err  error
		want *elt.Failure
	}{
		{nil, nil},
		{fmt.Errorf("extract: %w", e), &elt.Failure{Code: "source_denied", Class: elt.Config, Message: "extract: cannot read users: permission denied", Do: "grant SELECT"}},
		{fmt.Errorf("load: %w", context.Canceled), &elt.Failure{Code: elt.Interrupted, Class: elt.Transient, Message: "load: context canceled", Do: "nothing: the step is taken up again"}},
		{cause, &elt.Failure{Code: "internal_error", Class: elt.Internal, Message: "permission denied", Do: "report it with the step's log"}},
	} {
		if diff := cmp.Diff(tc.want, elt.NewFailure(tc.err)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestProblems(t *testing.T) {
	warning := elt.Problem{File: "a.yaml", Line: 3, Column: 5, What: "one owner", Do: "name two", Warning: true}
	wrong := elt.Problem{File: "b.yaml", What: "it is empty"}
	if warning.String() != "a.yaml:3:5: warning: one owner; name two" || wrong.String() != "b.yaml: it is empty" || (elt.Problem{What: "x"}).String() != "x" {
		t.Error(warning, wrong)
	}
	if err := (elt.Problems{warning}).Err(); err != nil {
		t.Error(err)
	}
	if err := (elt.Problems{warning, wrong}).Err(); err == nil || err.Error() != "b.yaml: it is empty" {
		t.Error(err)
	}
}

func TestTerminalStates(t *testing.T) {
	for state, want := range map[elt.StepState]bool{pending: false, running: false, retrying: false, succeeded: true, failed: true, blocked: true, cancelled: true} {
		if state.Terminal() != want {
			t.Errorf("%s: %t", state, !want)
		}
	}
	for state, want := range map[elt.RunState]bool{elt.RunRunning: false, elt.RunSucceeded: true, elt.RunPartial: true, elt.RunFailed: true, elt.RunCancelled: true} {
		if state.Terminal() != want {
			t.Errorf("%s: %t", state, !want)
		}
	}
}
