package warehousetest

import (
	"math/big"
	"slices"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// driftTests are columns that change between two nights of an incremental dataset, as the manifest's changes allow.
var driftTests = map[string]func(*testing.T, Harness){
	"added column":         testColumnAdded,
	"added and back":       testAddedTwice,
	"widened":              testWidened,
	"becomes text":         testBecomesText,
	"dropped column":       testColumnDropped,
	"kept column":          testColumnKept,
	"all at once":          testAllAtOnce,
	"what was not allowed": testNotAllowed,
	"other order":          testOtherOrder,
	"restored":             testDriftRestored,
	"published twice":      testDriftTwice,
}

// drifting is a night of shop.users with these columns and rows.
func drifting(t testing.TB, run elt.RunID, schema elt.Schema, changes []elt.SchemaChange, rows ...Row) Day {
	t.Helper()
	return NewDay(t, t.TempDir(), elt.Manifest{
		Dataset: "shop.users", Run: run, Date: dateOf(run), Attempt: 1, Mode: elt.Incremental, Key: []string{"id"}, Schema: schema, Changes: changes,
	}, rows)
}

func col(name string, kind elt.Kind) elt.Column {
	return elt.Column{Name: name, Type: elt.Type{Kind: kind}}
}

func decimal(name string, precision, scale int) elt.Column {
	return elt.Column{Name: name, Type: elt.Type{Kind: elt.Decimal, Precision: precision, Scale: scale}}
}

// first publishes a first night of the columns.
func (h Harness) first(t testing.TB, schema elt.Schema, rows ...Row) {
	t.Helper()
	h.stage(t, drifting(t, night1, schema, nil, rows...))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
}

// next stages a night that changes columns, checks the candidate, publishes it and checks what is published.
func (h Harness) next(t testing.TB, day Day, query string, want ...string) {
	t.Helper()
	h.stage(t, day)
	h.wantRows(t, sprintf(query, h.Staged(day.Run, "shop.users")), want...)
	h.publish(t, day.Run, 2, changing(day))
	h.wantRows(t, sprintf(query, h.Published("shop.users")), want...)
}

// changing is the item of a night with changes.
func changing(day Day) elt.PublicationItem {
	i := item(day.Run, "shop.users", elt.Merge, "id")
	i.Changes = day.Changes
	return i
}

var idName = elt.Schema{col("id", elt.Int64), col("name", elt.String)}

func testColumnAdded(t *testing.T, h Harness) {
	h.first(t, idName, Row{int64(1), "one"}, Row{int64(2), "two"})
	added := []elt.SchemaChange{{Column: "plan", Kind: elt.ColumnAdded, To: "string"}}
	h.next(t, drifting(t, night2, append(slices.Clone(idName), col("plan", elt.String)), added, Row{int64(2), "TWO", "pro"}, Row{int64(3), "three", nil}),
		"SELECT id, name, plan FROM %s ORDER BY id", "1|one|NULL", "2|TWO|pro", "3|three|NULL")
	columns, err := h.Columns(t.Context(), "shop.users")
	if err != nil || len(columns) != 3 {
		t.Errorf("%d columns are published: %v", len(columns), err)
	}
}

// testAddedTwice: a night that added a column was never published; the next one brings it again.
func testAddedTwice(t *testing.T, h Harness) {
	h.first(t, idName, Row{int64(1), "one"})
	wide := append(slices.Clone(idName), col("seen", elt.Timestamp))
	added := []elt.SchemaChange{{Column: "seen", Kind: elt.ColumnAdded, To: "timestamp"}}
	h.stage(t, drifting(t, night2, wide, added, Row{int64(1), "ONE", Micros(t, "2026-01-06 07:30:00")}))
	h.next(t, drifting(t, night3, wide, added, Row{int64(1), "One", Micros(t, "2026-01-07 07:30:00")}),
		"SELECT id, name FROM %s WHERE seen IS NOT NULL", "1|One")
}

func testWidened(t *testing.T, h Harness) {
	h.first(t, elt.Schema{col("id", elt.Int64), decimal("amount", 12, 2), col("n", elt.Int64)}, Row{int64(1), big.NewInt(123), int64(5)}, Row{int64(2), nil, nil})
	schema := elt.Schema{col("id", elt.Int64), decimal("amount", 20, 4), decimal("n", 20, 0)}
	changes := []elt.SchemaChange{
		{Column: "amount", Kind: elt.TypeWidened, From: "decimal(12,2)", To: "decimal(20,4)"}, {Column: "n", Kind: elt.TypeWidened, From: "int64", To: "decimal(20,0)"},
	}
	h.next(t, drifting(t, night2, schema, changes, Row{int64(2), big.NewInt(12345678901234561), new(big.Int).SetUint64(1 << 63)}),
		"SELECT COUNT(*) FROM %s WHERE id = 1 AND amount = 1.23 AND n = 5 OR id = 2 AND amount = 1234567890123.4561 AND n = 9223372036854775808", "2")
}

func testBecomesText(t *testing.T, h Harness) {
	kinds := elt.Schema{col("id", elt.Int64), col("n", elt.Int64), decimal("amount", 12, 2), col("day", elt.DateKind), col("at", elt.Timestamp), col("wall", elt.LocalTimestamp), col("ok", elt.Bool)}
	at := Micros(t, "2026-01-05 07:30:00")
	h.first(t, kinds, Row{int64(1), int64(7), big.NewInt(120), int64(20458), at, at + 500_000, true})
	texts := elt.Schema{kinds[0]}
	var changes []elt.SchemaChange
	for _, c := range kinds[1:] {
		texts = append(texts, col(c.Name, elt.String))
		changes = append(changes, elt.SchemaChange{Column: c.Name, Kind: elt.TypeToText, From: c.Type.String(), To: "string"})
	}
	h.next(t, drifting(t, night2, texts, changes, Row{int64(2), "seven", "a lot", "tomorrow", "soon", "later", "maybe"}),
		"SELECT * FROM %s ORDER BY id", "1|7|1.20|2026-01-05|2026-01-05 07:30:00+00|2026-01-05 07:30:00.5|true", "2|seven|a lot|tomorrow|soon|later|maybe")
}

func testColumnDropped(t *testing.T, h Harness) {
	h.first(t, append(slices.Clone(idName), col("plan", elt.String)), Row{int64(1), "one", "pro"}, Row{int64(2), "two", "free"})
	dropped := []elt.SchemaChange{{Column: "plan", Kind: elt.ColumnDropped, From: "string"}}
	h.next(t, drifting(t, night2, idName, dropped, Row{int64(2), "TWO"}), "SELECT * FROM %s ORDER BY id", "1|one", "2|TWO")
}

func testColumnKept(t *testing.T, h Harness) {
	wide := append(slices.Clone(idName), col("plan", elt.String))
	h.first(t, wide, Row{int64(1), "one", "pro"}, Row{int64(2), "two", "free"})
	kept := slices.Clone(wide)
	kept[2].Absent = true
	h.next(t, drifting(t, night2, kept, []elt.SchemaChange{{Column: "plan", Kind: elt.ColumnKept}}, Row{int64(2), "TWO", nil}),
		"SELECT * FROM %s ORDER BY id", "1|one|pro", "2|TWO|NULL")
}

func testAllAtOnce(t *testing.T, h Harness) {
	h.first(t, elt.Schema{col("id", elt.Int64), col("name", elt.String), col("n", elt.Int64), col("gone", elt.Bool)}, Row{int64(1), "one", int64(7), true})
	changes := []elt.SchemaChange{
		{Column: "n", Kind: elt.TypeToText, From: "int64"}, {Column: "gone", Kind: elt.ColumnDropped}, {Column: "new", Kind: elt.ColumnAdded},
	}
	h.next(t, drifting(t, night2, elt.Schema{col("new", elt.DateKind), col("id", elt.Int64), col("n", elt.String), col("name", elt.String)}, changes,
		Row{int64(20458), int64(2), "x", "two"}), "SELECT id, name, n, new FROM %s ORDER BY id", "1|one|7|NULL", "2|two|x|2026-01-05")
}

// testNotAllowed: each change that the manifest does not tell of is refused by name, and so is one of another kind.
func testNotAllowed(t *testing.T, h Harness) {
	h.first(t, idName, Row{int64(1), "one"})
	wide := append(slices.Clone(idName), col("plan", elt.String))
	h.stageError(t, drifting(t, night2, wide, nil, Row{int64(2), "two", "pro"}), "schema_changed")
	h.stageError(t, drifting(t, night2, wide, []elt.SchemaChange{{Column: "other", Kind: elt.ColumnAdded}}, Row{int64(2), "two", "pro"}), "schema_changed")
	h.stageError(t, drifting(t, night2, idName[:1], nil, Row{int64(2)}), "schema_changed")
	h.stageError(t, drifting(t, night2, elt.Schema{col("id", elt.Int64), col("name", elt.Int64)}, []elt.SchemaChange{{Column: "name", Kind: elt.ColumnAdded + "x"}}, Row{int64(2), int64(2)}), "schema_changed")
	added := drifting(t, night2, wide, []elt.SchemaChange{{Column: "plan", Kind: elt.ColumnAdded}}, Row{int64(2), "two", "pro"})
	h.stage(t, added)
	_, err := h.Publish(t.Context(), elt.Publication{Run: night2, Fence: 2, Items: []elt.PublicationItem{item(night2, "shop.users", elt.Merge, "id")}})
	wantCode(t, err, "schema_changed")
	h.wantUsers(t, h.Published("shop.users"), "1|one")
}

func testOtherOrder(t *testing.T, h Harness) {
	h.first(t, idName, Row{int64(1), "one"})
	h.next(t, drifting(t, night2, elt.Schema{idName[1], idName[0]}, nil, Row{"two", int64(2)}), "SELECT id, name FROM %s ORDER BY id", "1|one", "2|two")
}

// testDriftRestored: the version before a change can be brought back, and the change published again.
func testDriftRestored(t *testing.T, h Harness) {
	h.first(t, elt.Schema{col("id", elt.Int64), col("n", elt.Int64)}, Row{int64(1), int64(7)})
	text := drifting(t, night2, elt.Schema{col("id", elt.Int64), col("n", elt.String)}, []elt.SchemaChange{{Column: "n", Kind: elt.TypeToText, From: "int64"}}, Row{int64(1), "x"})
	h.stage(t, text)
	h.publish(t, night2, 2, changing(text))
	h.restore(t, night3, 3, elt.NewVersionID("shop.users", night1))
	h.wantRows(t, "SELECT id, n + 1 FROM "+h.Published("shop.users"), "1|8")
}

// testDriftTwice: publishing the same again changes nothing.
func testDriftTwice(t *testing.T, h Harness) {
	h.first(t, idName, Row{int64(1), "one"})
	day := drifting(t, night2, append(slices.Clone(idName), col("plan", elt.String)), []elt.SchemaChange{{Column: "plan", Kind: elt.ColumnAdded}}, Row{int64(1), "ONE", "pro"})
	h.stage(t, day)
	for range 2 {
		h.publish(t, night2, 2, changing(day))
		h.wantRows(t, "SELECT id, name, plan FROM "+h.Published("shop.users"), "1|ONE|pro")
	}
}
