package sqlite_test

import (
	"testing"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
)

// TestPolicies holds values of another type than their SQLite column declares, under every policy.
func TestPolicies(t *testing.T) {
	const last = "9999-12-31 23:59:59.999999"
	for _, c := range []struct {
		extracttest.PolicyCase
		fits string
	}{
		{extracttest.PolicyCase{Declaration: "INTEGER", Value: "'abc'", Text: "abc", Nearest: "-"}, "1"},
		{extracttest.PolicyCase{Declaration: "INTEGER", Value: "1.5", Text: "1.5", Nearest: "2"}, "1"},
		{extracttest.PolicyCase{Declaration: "INTEGER", Value: "-1e300", Text: "-1e+300", Nearest: "-9223372036854775808"}, "1"},
		{extracttest.PolicyCase{Declaration: "INTEGER", Value: "x'00ff'", Text: `\x00ff`, Nearest: "-"}, "1"},
		{extracttest.PolicyCase{Declaration: "BOOLEAN", Value: "2", Text: "2", Nearest: "!"}, "1"},
		{extracttest.PolicyCase{Declaration: "BLOB", Value: "'text'", Text: "text", Nearest: "!"}, "x'00'"},
		{extracttest.PolicyCase{Declaration: "TEXT", Value: "x'80'", Text: `\x80`, Nearest: "!"}, "'a'"},
		{extracttest.PolicyCase{Declaration: "TEXT", Value: "CAST(x'ff' AS TEXT)", Text: `\xff`, Nearest: "!"}, "'a'"},
		{extracttest.PolicyCase{Declaration: "UUID", Value: "'no'", Text: "no", Nearest: "!"}, "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"},
		{extracttest.PolicyCase{Declaration: "DECIMAL(5,2)", Value: "1000", Text: "1000", Nearest: "999.99"}, "'1.10'"},
		{extracttest.PolicyCase{Declaration: "DECIMAL(5,2)", Value: "1.005", Text: "1.005", Nearest: "1.01"}, "1.5"},
		{extracttest.PolicyCase{Declaration: "DECIMAL(5,2)", Value: "-9e999", Text: "-inf", Nearest: "-999.99"}, "1.5"},
		{extracttest.PolicyCase{Declaration: "DECIMAL(5,2)", Value: "'1/3'", Text: "1/3", Nearest: "-"}, "1.5"},
		{extracttest.PolicyCase{Declaration: "DATE", Value: "'2026-02-30'", Text: "2026-02-30", Nearest: "-"}, "'2026-01-05'"},
		{extracttest.PolicyCase{Declaration: "DATE", Value: "20260105", Text: "20260105", Nearest: "-"}, "'2026-01-05'"},
		{extracttest.PolicyCase{Declaration: "TIME", Value: "'24:00:00'", Text: "24:00:00", Nearest: "23:59:59.999999"}, "'10:00'"},
		{extracttest.PolicyCase{Declaration: "TIMESTAMP", Value: "'2026-01-05 10:20:30.1234565'", Text: "2026-01-05 10:20:30.1234565", Nearest: "2026-01-05 10:20:30.123457"}, "'2026-01-05 10:20:30'"},
		{extracttest.PolicyCase{Declaration: "TIMESTAMP", Value: "'9999-12-31 23:59:59.9999999'", Text: "9999-12-31 23:59:59.9999999", Nearest: last}, "'2026-01-05 10:20:30'"},
		{extracttest.PolicyCase{Declaration: "TIMESTAMP", Value: "'2026-01-05 10:20:30Z'", Text: "2026-01-05 10:20:30Z", Nearest: "-"}, "'2026-01-05 10:20:30'"},
		{extracttest.PolicyCase{Declaration: "TIMESTAMPTZ", Value: "'9999-12-31 23:59:59-05:00'", Text: "9999-12-31 23:59:59-05:00", Nearest: last + "+00"}, "'2026-01-05 10:20:30Z'"},
		{extracttest.PolicyCase{Declaration: "TIMESTAMPTZ", Value: "0", Text: "0", Nearest: "-"}, "'2026-01-05 10:20:30Z'"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "NUMERIC", Value: "12345", Text: "12345", Nearest: "999.99"}, "1.5"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "NUMERIC", Value: "'abc'", Text: "abc", Nearest: "-"}, "1.5"},
	} {
		t.Run(c.Declaration+" "+c.Value, func(t *testing.T) {
			path, _ := file(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, v `+c.Declaration+`)`,
				`INSERT INTO t VALUES (1, `+c.fits+`), (2, `+c.Value+`), (3, NULL)`)
			extracttest.Policies(t, c.PolicyCase, "t", func(t *testing.T, lake *extracttest.Lake) *extract.Extractor {
				return extracttest.New(t, newSource(t, path), lake)
			})
		})
	}
}
