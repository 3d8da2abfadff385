package mysql_test

import (
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
)

// TestPolicies holds every value that a MySQL column can have and no warehouse can hold, under every policy.
func TestPolicies(t *testing.T) {
	server, db := database(t)
	for _, c := range []struct {
		extracttest.PolicyCase
		fits string
	}{
		{extracttest.PolicyCase{Declaration: "DATE", Value: "'0000-00-00'", Text: "0000-00-00", Nearest: "0001-01-01"}, "'2026-01-05'"},
		{extracttest.PolicyCase{Declaration: "DATE", Value: "'2000-00-01'", Text: "2000-00-01", Nearest: "2000-01-01"}, "'2026-01-05'"},
		{extracttest.PolicyCase{Declaration: "DATE", Value: "'2000-02-00'", Text: "2000-02-00", Nearest: "2000-02-01"}, "'2026-01-05'"},
		{extracttest.PolicyCase{Declaration: "DATETIME(6)", Value: "'0000-00-00 00:00:00'", Text: "0000-00-00 00:00:00.000000", Nearest: "0001-01-01 00:00:00"}, "'2026-01-05 10:20:30'"},
		{extracttest.PolicyCase{Declaration: "DATETIME", Value: "'2000-00-01 10:20:30'", Text: "2000-00-01 10:20:30", Nearest: "2000-01-01 10:20:30"}, "'2026-01-05 10:20:30'"},
		{extracttest.PolicyCase{Declaration: "TIMESTAMP NULL", Value: "'0000-00-00 00:00:00'", Text: "0000-00-00 00:00:00", Nearest: "0001-01-01 00:00:00+00"}, "'2026-01-05 10:20:30'"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "DECIMAL(65,30)", Value: "1000", Text: "1000." + strings.Repeat("0", 30), Nearest: "999.99"}, "'1.1'"},
		{extracttest.PolicyCase{As: "decimal(5,2) or ", Declaration: "DECIMAL(65,30)", Value: "'-1.005'", Text: "-1.005" + strings.Repeat("0", 27), Nearest: "-1.01"}, "'1.1'"},
		{extracttest.PolicyCase{As: "decimal(19,0) or ", Declaration: "BIGINT UNSIGNED", Value: "18446744073709551615", Text: "18446744073709551615", Nearest: "9999999999999999999"}, "1"},
		{extracttest.PolicyCase{Declaration: "VARCHAR(20) CHARACTER SET greek", Value: "CONVERT(x'41d2ff' USING greek)", Text: `\x41d2ff`, Nearest: "!"}, "'a'"},
	} {
		t.Run(c.Declaration+" "+c.Value, func(t *testing.T) {
			exec(t, db, "DROP TABLE IF EXISTS t", "CREATE TABLE t (id INT PRIMARY KEY, v "+c.Declaration+")",
				"SET sql_mode='ALLOW_INVALID_DATES'", "INSERT INTO t VALUES (1, "+c.fits+"), (2, "+c.Value+"), (3, NULL)")
			extracttest.Policies(t, c.PolicyCase, "t", func(t *testing.T, lake *extracttest.Lake) *extract.Extractor {
				return extracttest.New(t, newSource(t, server.URL), lake)
			})
		})
	}
}
