package duckdb

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func reader(t *testing.T) *Reader {
	t.Helper()
	dir := t.TempDir()
	w := open(t, optionsIn(dir))
	if err := publishNight(t.Context(), w, 1, 3); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(t.Context(), optionsIn(dir).ReadPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestReaderValues(t *testing.T) {
	r := reader(t)
	for _, c := range []struct {
		expr string
		want any
	}{
		{"NULL", nil},
		{"true", true},
		{"1::TINYINT", json.Number("1")},
		{"18446744073709551615::UBIGINT", json.Number("18446744073709551615")},
		{"170141183460469231731687303715884105727::HUGEINT", json.Number("170141183460469231731687303715884105727")},
		{"1.10::DECIMAL(12,2)", json.Number("1.10")},
		{"0.00::DECIMAL(12,2)", json.Number("0.00")},
		{"-0.05::DECIMAL(38,20)", json.Number("-0.05000000000000000000")},
		{"1e300::DOUBLE", 1e300},
		{"'é'", "é"},
		{"'x'::BLOB", []byte("x")},
		{"DATE '2026-01-05'", "2026-01-05"},
		{"TIME '07:30:00.5'", "07:30:00.5"},
		{"TIMESTAMP '2026-01-05 07:30:00'", "2026-01-05 07:30:00"},
		{"TIMESTAMPTZ '2026-01-05 07:30:00.000001+02'", "2026-01-05 05:30:00.000001Z"},
		{"'00112233-4455-6677-8899-aabbccddeeff'::UUID", "00112233-4455-6677-8899-aabbccddeeff"},
		{`' {"a": 1.10, "b": 18446744073709551616} '::JSON`, ` {"a": 1.10, "b": 18446744073709551616} `},
		{`['{"a": 1.10}'::JSON]`, []any{`{"a": 1.10}`}},
		{"[1, NULL]", []any{json.Number("1"), nil}},
		{"['00112233-4455-6677-8899-aabbccddeeff'::UUID]", []any{"00112233-4455-6677-8899-aabbccddeeff"}},
		{"[DATE '2026-01-05']", []any{"2026-01-05"}},
		{"{'a': 1.5::DECIMAL(4,2)}", map[string]any{"a": json.Number("1.50")}},
	} {
		columns, types, rows, err := r.Query(t.Context(), "SELECT "+c.expr+" AS v;")
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		if len(columns) != 1 || columns[0] != "v" || len(types) != 1 || types[0] == "" {
			t.Errorf("%s: columns %v of types %v", c.expr, columns, types)
		}
		for row, err := range rows {
			if err != nil {
				t.Errorf("%s: %v", c.expr, err)
			} else if diff := cmp.Diff(c.want, row[0]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.expr, diff)
			}
		}
	}
}

func TestReaderStatements(t *testing.T) {
	r := reader(t)
	for query, want := range map[string][]string{
		"SELECT night, count(*) FROM shop.users GROUP BY night":                                       {"1|3"},
		"FROM shop.users SELECT id ORDER BY id DESC":                                                  {"2", "1", "0"},
		"SELECT id AS x, '1'::JSON AS x FROM shop.users ORDER BY shop.users.id DESC -- its own order": {"2|1", "1|1", "0|1"},
		"VALUES (1), (2)": {"1", "2"},
		"SELECT column_name FROM (DESCRIBE shop.users)": {"id", "night"},
		"SELECT 1 WHERE false":                          nil,
	} {
		if diff := cmp.Diff(want, readerRows(t, r, query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	for _, query := range []string{"DESCRIBE shop.users", "EXPLAIN SELECT 1", "SHOW TABLES FROM shop"} {
		if got := readerRows(t, r, query); len(got) == 0 {
			t.Errorf("%s returned nothing", query)
		}
	}
	for _, query := range []string{"", "SELEC 1", "SELECT nothing FROM shop.users", "CREATE TABLE x AS SELECT 1", "DROP VIEW shop.users", "DELETE FROM _daybreak.versions"} {
		_, _, _, err := r.Query(t.Context(), query)
		wantCode(t, err, "sql_refused")
	}
	stopped := 0
	_, _, rows, err := r.Query(t.Context(), "SELECT * FROM range(1000000)")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		if stopped++; stopped == 5 {
			break
		}
	}
	_, _, rows, err = r.Query(t.Context(), "SELECT CAST(id || 'x' AS INTEGER) FROM shop.users")
	if err == nil {
		for _, e := range rows {
			err = e
		}
	}
	wantCode(t, err, "sql_refused")
}

func TestReaderMissing(t *testing.T) {
	_, err := OpenReadOnly(t.Context(), t.TempDir()+"/absent.duckdb")
	wantCode(t, err, "read_copy_missing")
}
