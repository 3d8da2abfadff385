package warehousetest

import (
	stdcmp "cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

var stageTests = map[string]func(*testing.T, Harness){
	"random rows":                    testRandomRows,
	"powers of two":                  testPowersOfTwo,
	"values":                         testValues,
	"lists":                          testLists,
	"no rows":                        testNoRows,
	"several parts, twice":           testStageTwice,
	"awkward names":                  testAwkwardNames,
	"many columns":                   testManyColumns,
	"sums beyond 128 bits":           testWideSums,
	"a part that is no Parquet file": testRubbishPart,
	"columns that cannot be held":    testInvalidSchema,
	"a cancelled context":            testCancelledStage,
	"nothing staged":                 testNothingStaged,
}

// testRandomRows: the facts and the digest that the warehouse takes equal what Go computes, for every kind and its
// extremes.
func testRandomRows(t *testing.T, h Harness) {
	dir := t.TempDir()
	n := 0
	property.Check(t, func(rt *rapid.T) {
		schema := RandomSchema(rt, h.Limits)
		rows := RandomRows(rt, schema)
		cut := rapid.IntRange(0, len(rows)).Draw(rt, "cut")
		n++
		day := NewDay(t, dir, elt.Manifest{Dataset: "shop.random", Run: "random", Attempt: n, Schema: schema}, rows[:cut], rows[cut:])
		if _, err := h.Stage(t.Context(), day.Run, day.Manifest, "shop.random", day.Files, func(int64) {}); err != nil {
			rt.Fatalf("stage: %v", err)
		}
		facts, err := h.Measure(t.Context(), day.Run, day.Dataset, schema)
		if err != nil {
			rt.Fatalf("measure: %v", err)
		}
		if diff := cmp.Diff(day.Stats, facts); diff != "" {
			rt.Fatalf("facts (-Go +warehouse):\n%s", diff)
		}
		got, err := h.Digest(t.Context(), day.Run, day.Dataset, schema)
		if err != nil {
			rt.Fatalf("digest: %v", err)
		}
		if !Digest(schema, rows).Equal(got) {
			h.nameColumns(rt, day, rows)
			rt.Fatal("the digests differ")
		}
	})
}

// nameColumns says of which columns the warehouse takes another digest than Go.
func (h Harness) nameColumns(t *rapid.T, day Day, rows []Row) {
	for i, c := range day.Schema {
		one := elt.Schema{c}
		values := make([]Row, len(rows))
		for j := range rows {
			values[j] = Row{rows[j][i]}
		}
		if got, err := h.Digest(t.Context(), day.Run, day.Dataset, one); err != nil || !Digest(one, values).Equal(got) {
			t.Errorf("%s: the warehouse's digest is %s of %v (%v)", c.Type, got, values, err)
		}
	}
}

// testPowersOfTwo: the digest of a double is that of its shortest text, which of some powers of two is not the nearest
// number of so many digits.
func testPowersOfTwo(t *testing.T, h Harness) {
	var rows []Row
	for e := -1074; e < 1024; e++ {
		rows = append(rows, Row{math.Ldexp(1, e)})
	}
	day := NewDay(t, t.TempDir(), elt.Manifest{Dataset: "shop.powers", Run: night1, Schema: elt.Schema{{Name: "f", Type: elt.Type{Kind: elt.Float64}}}}, rows)
	h.stage(t, day)
	got, err := h.Digest(t.Context(), night1, "shop.powers", day.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if want := Digest(day.Schema, rows); !want.Equal(got) {
		t.Errorf("the warehouse's digest is %s, want %s", got, want)
	}
}

func testValues(t *testing.T, h Harness) {
	local := Micros(t, "2026-01-05 07:30:00")
	schema := elt.Schema{
		{Name: "d", Type: elt.Type{Kind: elt.Decimal, Precision: 38, Scale: 38}},
		{Name: "local", Type: elt.Type{Kind: elt.LocalTimestamp}},
		{Name: "at", Type: elt.Type{Kind: elt.Timestamp}},
		{Name: "time", Type: elt.Type{Kind: elt.TimeKind}},
		{Name: "json", Type: elt.Type{Kind: elt.JSON}},
		{Name: "texts", Type: elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.String}}},
		{Name: "u", Type: elt.Type{Kind: elt.Uint64}},
	}
	digits, _ := new(big.Int).SetString("-99999999999999999999999999999999999999", 10)
	h.stage(t, NewDay(t, t.TempDir(), elt.Manifest{Dataset: "shop.values", Run: night1, Schema: schema}, []Row{
		{digits, local, local, local % 86_400_000_000, ` {"a" : 1.10} `, []any{"", nil, "é"}, uint64(18446744073709551615)},
		{nil, nil, nil, nil, nil, nil, nil},
	}))
	text := make([]string, len(schema)-1)
	for i := range text {
		text[i] = `CAST("` + schema[i].Name + `" AS VARCHAR)`
	}
	staged := h.Staged(night1, "shop.values")
	h.wantRows(t, "SELECT "+strings.Join(text, ", ")+" FROM "+staged+" WHERE u = 18446744073709551615",
		"-.99999999999999999999999999999999999999|2026-01-05 07:30:00|2026-01-05 07:30:00+00|07:30:00|"+
			` {"a" : 1.10} |`+stdcmp.Or(h.ListValues, "['', NULL, é]"))
	h.wantRows(t, "SELECT count(*) FROM "+staged+" WHERE d IS NULL AND json IS NULL AND texts IS NULL AND u IS NULL", "1")
}

// testLists: the elements of a list are read as what they are.
func testLists(t *testing.T, h Harness) {
	local := elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.LocalTimestamp}}
	day := NewDay(t, t.TempDir(), elt.Manifest{
		Dataset: "shop.lists", Run: night1, Schema: elt.Schema{{Name: "locals", Type: local}},
	}, []Row{{[]any{Micros(t, "2026-01-05 07:30:00"), nil}}})
	if !h.holds(local) {
		h.stageError(t, day, "schema_invalid")
		return
	}
	h.stage(t, day)
	h.wantRows(t, "SELECT CAST(locals AS VARCHAR) FROM "+h.Staged(night1, "shop.lists"), "['2026-01-05 07:30:00', NULL]")
}

func testNoRows(t *testing.T, h Harness) {
	schema := exampleSchema(h.Limits)
	for name, parts := range map[string][][]Row{"no part": nil, "a part without rows": {{}}} {
		day := NewDay(t, t.TempDir(), elt.Manifest{Dataset: "shop.empty", Run: night1, Schema: schema}, parts...)
		h.stage(t, day)
		got, err := h.Measure(t.Context(), night1, "shop.empty", schema)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(day.Stats, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// exampleSchema is one schema with a column of every kind.
func exampleSchema(l Limits) elt.Schema {
	return rapid.Custom(func(t *rapid.T) elt.Schema { return RandomSchema(t, l) }).Example(1)
}

func testStageTwice(t *testing.T, h Harness) {
	rows := make([]Row, 100)
	for i := range rows {
		rows[i] = Row{int64(i), fmt.Sprint("user ", i)}
	}
	day := users(t, night1, elt.Full)
	day = NewDay(t, t.TempDir(), *day.Manifest, rows[:60], nil, rows[60:])
	day.Parts = day.Parts[1:] // the empty part of the first NewDay
	for range 2 {
		var seen []int64
		n, err := h.Stage(t.Context(), night1, day.Manifest, "shop.users", day.Files, func(rows int64) { seen = append(seen, rows) })
		if err != nil || n != 100 {
			t.Fatalf("staged %d rows, %v", n, err)
		}
		if len(seen) == 0 || seen[len(seen)-1] != 100 || !slices.IsSorted(seen) {
			t.Errorf("progress %v, want it to rise to 100", seen)
		}
	}
	h.wantRows(t, "SELECT count(*), count(DISTINCT id) FROM "+h.Staged(night1, "shop.users"), "100|100")
	other := users(t, night1, elt.Full, Row{int64(1), "only"})
	h.stage(t, other)
	h.wantRows(t, "SELECT * FROM "+h.Staged(night1, "shop.users"), "1|only")
}

// testAwkwardNames: names with quotes and the like; columns that are called as the folders of the lake; a
// dataset that is called as an SQL keyword; a folder whose name looks like a pattern.
func testAwkwardNames(t *testing.T, h Harness) {
	var schema elt.Schema
	var row Row
	for i, name := range []string{`a "quoted" name`, "dotted.name", "semi;colon --", "日本", "date", "run", "attempt", "select", "%s", "'", "filename", "x)"} {
		schema = append(schema, elt.Column{Name: name, Type: elt.Type{Kind: elt.String}})
		row = append(row, fmt.Sprint("value ", i))
	}
	dir := t.TempDir() + "/we[i]rd*?'s"
	day := NewDay(t, dir, elt.Manifest{Dataset: "order.group", Run: night1, Date: dateOf(night1), Attempt: 1, Schema: schema}, []Row{row})
	if h.PlainColumns {
		if f := h.stageError(t, day, "schema_invalid"); !strings.Contains(f.Message, "quoted") {
			t.Errorf("the message %q does not name the column", f.Message)
		}
		keep := func(i int) bool {
			return slices.Contains([]string{"date", "run", "attempt", "select", "filename"}, schema[i].Name)
		}
		var plain elt.Schema
		var values Row
		for i := range schema {
			if keep(i) {
				plain, values = append(plain, schema[i]), append(values, row[i])
			}
		}
		schema = plain
		day = NewDay(t, dir, elt.Manifest{Dataset: "order.group", Run: night1, Date: dateOf(night1), Attempt: 2, Schema: schema}, []Row{values})
	}
	h.stage(t, day)
	got, err := h.Measure(t.Context(), night1, "order.group", schema)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(day.Stats, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	h.publish(t, night1, 1, item(night1, "order.group", ""))
	h.wantRows(t, `SELECT count(*) FROM `+h.Published("order.group"), "1")
	columns, err := h.Columns(t.Context(), "order.group")
	if err != nil || len(columns) != len(schema) || columns[0].Name != schema[0].Name {
		t.Errorf("columns %v, %v", columns, err)
	}
}

func testManyColumns(t *testing.T, h Harness) {
	schema, row := make(elt.Schema, 1600), make(Row, 1600)
	for i := range schema {
		schema[i] = elt.Column{Name: fmt.Sprint("c", i), Type: elt.Type{Kind: elt.Int64}}
		row[i] = int64(i)
	}
	day := NewDay(t, t.TempDir(), elt.Manifest{Dataset: "shop.wide", Run: night1, Schema: schema}, []Row{row})
	h.stage(t, day)
	got, err := h.Measure(t.Context(), night1, "shop.wide", schema)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(day.Stats, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func testWideSums(t *testing.T, h Harness) {
	for _, precision := range []int{18, 19, 27, 28, 37, 38} {
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		limit.Sub(limit, big.NewInt(1))
		rows := slices.Repeat([]Row{{limit}}, 1000)
		schema := elt.Schema{{Name: "d", Type: elt.Type{Kind: elt.Decimal, Precision: precision, Scale: precision / 2}}}
		day := NewDay(t, t.TempDir(), elt.Manifest{Dataset: "shop.sums", Run: night1, Schema: schema}, rows)
		h.stage(t, day)
		got, err := h.Measure(t.Context(), night1, "shop.sums", schema)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(day.Stats, got); diff != "" {
			t.Errorf("precision %d (-want +got):\n%s", precision, diff)
		}
	}
}

func testRubbishPart(t *testing.T, h Harness) {
	good := users(t, night1, elt.Full, Row{int64(1), "kept"})
	h.stage(t, good)
	bad := users(t, night1, elt.Full, Row{int64(2), "new"})
	bad.Files = append(bad.Files, writeFile(t, "rubbish.parquet", "this is no Parquet file"))
	h.stageError(t, bad, "part_unreadable")
	other := users(t, night1, elt.Full, Row{int64(2), "new"})
	other.Schema = append(slices.Clone(other.Schema), elt.Column{Name: "absent", Type: elt.Type{Kind: elt.Int64}})
	if f := h.stageError(t, other, "part_unreadable"); !strings.Contains(f.Message, "absent") {
		t.Errorf("the message %q does not name the missing column", f.Message)
	}
	h.wantRows(t, "SELECT * FROM "+h.Staged(night1, "shop.users"), "1|kept")
}

func testInvalidSchema(t *testing.T, h Harness) {
	for name, schema := range map[string]elt.Schema{
		"no columns": {},
		"case":       {{Name: "ID", Type: elt.Type{Kind: elt.Int64}}, {Name: "id", Type: elt.Type{Kind: elt.Int64}}},
		"precision":  {{Name: "d", Type: elt.Type{Kind: elt.Decimal, Precision: 39}}},
		"unknown":    {{Name: "d", Type: elt.Type{Kind: "geometry"}}},
		"list":       {{Name: "d", Type: elt.Type{Kind: elt.List}}},
	} {
		day := users(t, night1, elt.Full)
		day.Schema = schema
		t.Run(name, func(t *testing.T) { h.stageError(t, day, "schema_invalid") })
	}
}

func testCancelledStage(t *testing.T, h Harness) {
	day := users(t, night1, elt.Full, Row{int64(1), "a"})
	ctx, cancel := cancelled(t)
	defer cancel()
	_, err := h.Stage(ctx, night1, day.Manifest, "shop.users", day.Files, func(int64) {})
	wantCode(t, err, elt.Interrupted)
}

func testNothingStaged(t *testing.T, h Harness) {
	_, err := h.Measure(t.Context(), night1, "shop.users", users(t, night1, elt.Full).Schema)
	wantCode(t, err, "staging_missing")
	if _, exists, err := h.PublishedRows(t.Context(), "shop.users"); exists || err != nil {
		t.Errorf("exists %v, error %v; want neither", exists, err)
	}
}
