package postgres_test

import (
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
)

// TestPolicies holds every value that a PostgreSQL column can have and no warehouse can hold, under every policy.
func TestPolicies(t *testing.T) {
	url, conn := database(t)
	const last = "9999-12-31 23:59:59.999999"
	for _, c := range []struct {
		extracttest.PolicyCase
		fits string
	}{
		{extracttest.PolicyCase{Declaration: "numeric(12,2)", Value: "'NaN'", Text: "NaN", Nearest: "-"}, "1.10"},
		{extracttest.PolicyCase{Declaration: "date", Value: "'infinity'", Text: "infinity", Nearest: "9999-12-31"}, "2026-01-05"},
		{extracttest.PolicyCase{Declaration: "date", Value: "'-infinity'", Text: "-infinity", Nearest: "0001-01-01"}, "2026-01-05"},
		{extracttest.PolicyCase{Declaration: "date", Value: "'5874897-12-31'", Text: "5874897-12-31", Nearest: "9999-12-31"}, "2026-01-05"},
		{extracttest.PolicyCase{Declaration: "date", Value: "'4713-01-01 BC'", Text: "4713-01-01 BC", Nearest: "0001-01-01"}, "2026-01-05"},
		{extracttest.PolicyCase{Declaration: "timestamp", Value: "'infinity'", Text: "infinity", Nearest: last}, "2026-01-05 10:00:00"},
		{extracttest.PolicyCase{Declaration: "timestamp", Value: "'294276-12-31 23:59:59.999999'", Text: "294276-12-31 23:59:59.999999", Nearest: last}, "2026-01-05 10:00:00"},
		{extracttest.PolicyCase{Declaration: "timestamp", Value: "'4713-01-01 BC'", Text: "4713-01-01 00:00:00 BC", Nearest: "0001-01-01 00:00:00"}, "2026-01-05 10:00:00"},
		{extracttest.PolicyCase{Declaration: "timestamptz", Value: "'-infinity'", Text: "-infinity", Nearest: "0001-01-01 00:00:00+00"}, "2026-01-05 10:00:00+00"},
		{extracttest.PolicyCase{Declaration: "timestamptz", Value: "'10000-01-01 00:00:00+00'", Text: "10000-01-01 00:00:00+00", Nearest: last + "+00"}, "2026-01-05 10:00:00+00"},
		{extracttest.PolicyCase{Declaration: "time", Value: "'24:00:00'", Text: "24:00:00", Nearest: "23:59:59.999999"}, "10:00:00"},
		{extracttest.PolicyCase{Declaration: "int[]", Value: "'{{1,2},{3,NULL}}'", Text: "{{1,2},{3,NULL}}", Nearest: "!"}, "{1}"},
		{extracttest.PolicyCase{Declaration: "int[]", Value: "'[0:1]={1,2}'", Text: "[0:1]={1,2}", Nearest: "!"}, "{1}"},
		{extracttest.PolicyCase{Declaration: "numeric(4,1)[]", Value: "'{1,NaN}'", Text: "{1.0,NaN}", Nearest: "!"}, "{1.5}"},
		{extracttest.PolicyCase{Declaration: "timestamp[]", Value: "'{2026-01-01,infinity}'", Text: `{"2026-01-01 00:00:00",infinity}`, Nearest: "!"}, "{}"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "numeric", Value: "'NaN'", Text: "NaN", Nearest: "-"}, "1.10"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "numeric", Value: "'Infinity'", Text: "Infinity", Nearest: "999.99"}, "1.10"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "numeric", Value: "'-Infinity'", Text: "-Infinity", Nearest: "-999.99"}, "1.10"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "numeric", Value: "1000", Text: "1000", Nearest: "999.99"}, "999.99"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "numeric", Value: "-1.005", Text: "-1.005", Nearest: "-1.01"}, "-999.99"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "numeric", Value: "0.0000001", Text: "0.0000001", Nearest: "0.00"}, "0.01"},
		{extracttest.PolicyCase{As: "decimal(38,2) or ", Declaration: "numeric", Value: "1" + strings.Repeat("0", 2000), Text: "1" + strings.Repeat("0", 2000),
			Nearest: strings.Repeat("9", 36) + ".99"}, "12345678901234567890.12"},
		{extracttest.PolicyCase{As: "decimal(38,9) or ", Declaration: "numeric(60,20)", Value: "1234.12345678912345678901", Text: "1234.12345678912345678901", Nearest: "1234.123456789"}, "10000.5"},
		{extracttest.PolicyCase{As: "decimal(3,0) or ", Declaration: "bigint", Value: "9223372036854775807", Text: "9223372036854775807", Nearest: "999"}, "-999"},
		{extracttest.PolicyCase{As: "decimal(6,2) or ", Declaration: "money", Value: "'92233720368547758.07'", Text: "92233720368547758.07", Nearest: "9999.99"}, "12.30"},
	} {
		t.Run(c.Declaration+" "+c.Value[:min(len(c.Value), 30)], func(t *testing.T) {
			exec(t, conn, `DROP TABLE IF EXISTS t`, `CREATE TABLE t (id int PRIMARY KEY, v `+c.Declaration+`)`,
				`INSERT INTO t VALUES (1, '`+c.fits+`'), (2, `+c.Value+`), (3, NULL)`)
			extracttest.Policies(t, c.PolicyCase, "public.t", func(t *testing.T, lake *extracttest.Lake) *extract.Extractor {
				return extracttest.New(t, newSource(t, url), lake)
			})
		})
	}
}

// A value of a masked column is not told by the server's own message either.
func TestServerMessagesAreHidden(t *testing.T) {
	url, _ := database(t, `CREATE TABLE v (id int PRIMARY KEY, email text)`, `INSERT INTO v VALUES (1, 'a@example.com')`,
		`CREATE VIEW w AS SELECT id, email, email::int AS n FROM v`)
	e := extracttest.Table("public.w")
	for hash, shown := range map[string]bool{"": true, "email": false} {
		if e.Hash = nil; hash != "" {
			e.Hash = []string{hash}
		}
		_, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), extracttest.Job(e, 1))
		extracttest.Fails(t, err, "source_value_error", "public.w")
		if strings.Contains(err.Error(), "a@example.com") != shown {
			t.Errorf("hashed %q: %v", hash, err)
		}
	}
}
