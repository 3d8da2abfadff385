package sqlite_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// TestNoValueChangesSilently: random values in columns of random types under random policies come out as they went in, or
// are refused by name, or are counted. SQLite holds any value in any column, so that it meets every case.
func TestNoValueChangesSilently(t *testing.T) {
	dir, number := t.TempDir(), 0
	property.Check(t, func(rt *rapid.T) {
		number++
		declared := rapid.SampledFrom([]string{"INTEGER", "DECIMAL(9,2)", "DATE", "TIMESTAMP", "TIME", "BOOLEAN", "REAL", "TEXT"}).Draw(rt, "type")
		policy := rapid.SampledFrom([]elt.Policy{elt.Refuse, elt.AsText, elt.AsNull, elt.Clamp, elt.Quarantine}).Draw(rt, "policy")
		values := rapid.SliceOfN(rapid.OneOf(
			rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
			rapid.Map(rapid.Int64Range(-3, 3), func(n int64) string { return strconv.FormatInt(n, 10) }),
			rapid.Map(rapid.Float64Range(-1e12, 1e12), func(f float64) string { return strconv.FormatFloat(f, 'e', -1, 64) }),
			rapid.Map(rapid.SampledFrom([]string{"2026-01-05", "2026-02-30", "10:20", "24:00:00", "2026-01-05 10:20:30", "2026-01-05 10:20:30.1234567", "0", "12.345", "", "x"}),
				func(s string) string { return "'" + s + "'" }),
			rapid.Just("NULL"), rapid.Just("x'00ff'"),
		), 0, 12).Draw(rt, "values")
		path := filepath.Join(dir, fmt.Sprintf("%d.db", number))
		statements := []string{"CREATE TABLE t (id INTEGER PRIMARY KEY, v " + declared + ")"}
		for i, v := range values {
			statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, %s)", i+1, v))
		}
		db := open(t, path)
		exec(t, db, statements...)
		text := texts(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		e := extracttest.Table("t")
		if policy != elt.Refuse {
			e.Types = map[string]elt.TypeRule{"v": {Policy: policy}}
		}
		lake := &extracttest.Lake{}
		m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, path), lake), extracttest.Job(e, 1))
		switch code := elt.CodeOf(err); {
		case code == "value_not_representable" && (policy == elt.Refuse || policy == elt.Clamp), code == "type_rule" && policy == elt.Clamp:
			return // by name
		case err != nil:
			rt.Fatalf("%s under %q: %v", declared, policy, err)
		}
		changed, aside := int64(0), int64(0)
		rows := map[string]string{}
		for _, r := range lake.Rows(t, m) {
			rows[r[0]] = r[1]
		}
		for id, want := range text {
			switch got, there := rows[id]; {
			case !there:
				aside++
			case !same(declared, want, got):
				changed++
			}
		}
		var counted int64
		for _, u := range m.Fidelity {
			counted += u.Values
		}
		if aside != m.SetAside() || policy == elt.Quarantine && (changed > 0 || counted != aside) || changed > counted {
			rt.Fatalf("%s under %q: %d values changed and %d rows are aside, counted are %v: %v became %v", declared, policy, changed, aside, m.Fidelity, text, rows)
		}
	})
}

// same reports whether a value's text says what its source has: numbers and times may be written otherwise.
func same(declared, want, got string) bool {
	if want == got {
		return true
	}
	a, errA := strconv.ParseFloat(want, 64)
	b, errB := strconv.ParseFloat(got, 64)
	switch declared {
	case "BOOLEAN":
		return want == "1" && got == "true" || want == "0" && got == "false"
	case "DATE", "TIME", "TIMESTAMP":
		return strings.TrimSuffix(got, ":00") == want || strings.HasPrefix(want, got) && strings.Trim(want[len(got):], ".0") == ""
	}
	return errA == nil && errB == nil && a == b
}

func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// texts returns the file's own text of each value by ID.
func texts(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT id, CASE typeof(v) WHEN 'null' THEN 'NULL' WHEN 'blob' THEN '\x' || lower(hex(v)) WHEN 'real' THEN printf('%!.17g', v) ELSE CAST(v AS TEXT) END FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			t.Fatal(err)
		}
		out[id] = text
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
