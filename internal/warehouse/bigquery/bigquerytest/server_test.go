package bigquerytest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// ask sends a request and returns the status and what the server found wrong with it.
func ask(t *testing.T, s *Server, method, path, body string) (status int, wrong []string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/bigquery/v2/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	wrong, s.violations = s.violations, nil
	return answer.StatusCode, wrong
}

// TestViolations: what the discovery document does not describe is noticed.
func TestViolations(t *testing.T) {
	s := New(t)
	const jobs = "projects/p/jobs"
	for name, c := range map[string]struct{ method, path, body, want string }{
		"unknown property":       {"POST", jobs, `{"configuration": {"load": {"colour": "red"}}}`, "unknown property colour"},
		"wrong type":             {"POST", jobs, `{"configuration": {"load": {"autodetect": "yes"}}}`, "request.configuration.load.autodetect: is string, not a boolean"},
		"a 64-bit number":        {"POST", jobs, `{"configuration": {"query": {"maximumBytesBilled": 5}}}`, "request.configuration.query.maximumBytesBilled: is float64, not a string"},
		"no number":              {"POST", jobs, `{"configuration": {"query": {"maximumBytesBilled": "many"}}}`, `"many" is no int64`},
		"read-only":              {"POST", "projects/p/datasets/d/tables", `{"type": "TABLE"}`, "type is read-only"},
		"unknown parameter":      {"GET", jobs + "/j?where=EU", "", "unknown parameter where"},
		"parameter of no type":   {"GET", "projects/p/queries/j?maxResults=many", "", `parameter maxResults is "many"`},
		"no such method":         {"POST", "projects/p/things", "", "is no method"},
		"a method of no handler": {"PATCH", "projects/p/datasets/d", "", "does not know bigquery.datasets.patch"},
		"no JSON":                {"POST", jobs, "{", "unexpected end of JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			status, wrong := ask(t, s, c.method, c.path, c.body)
			if status < 400 || !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, c.want) }) {
				t.Errorf("status %d and %q, want %q", status, wrong, c.want)
			}
		})
	}
	if status, wrong := ask(t, s, "POST", "projects/p/datasets", `{"datasetReference": {"projectId": "p", "datasetId": "d"}, "location": "EU"}`); status != 200 || wrong != nil {
		t.Errorf("a good request is answered with %d: %v", status, wrong)
	}
	s.conform(s.api.methods[slices.IndexFunc(s.api.methods, func(m *method) bool { return m.ID == "bigquery.jobs.get" })], map[string]any{"numRows": 1})
	if len(s.violations) != 1 {
		t.Errorf("an answer that is no job is not noticed: %v", s.violations)
	}
	s.violations = nil
}

func TestTranslate(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT `a b`.`c` FROM `p.d.t-x` AS `a b`":                 `SELECT "a b"."c" FROM "d"."t-x" AS "a b"`,
		`SELECT "it's", 'a\'b', '\\n' # why`:                       `SELECT 'it''s', 'a''b', '\n' -- why`,
		"SELECT CAST(CAST(x AS BYTES) AS STRING)":                  "SELECT CAST(encode(x) AS VARCHAR)",
		"SELECT CAST(x AS NUMERIC(10, 2)), DATE '2026-01-05'":      "SELECT CAST(x AS DECIMAL(10, 2)), CAST('2026-01-05' AS DATE)",
		"SELECT IF(IS_NAN(x), NULL, x)":                            "SELECT CASE WHEN isnan(x) THEN NULL ELSE x END",
		"SELECT COUNT(*) FROM (\nSELECT 1\n)":                      "SELECT COUNT(*) FROM (\nSELECT 1\n)",
		"SELECT `p`.`d`.`t`.x FROM `p`.`d`.`t`":                    `SELECT "d"."t".x FROM "d"."t"`,
		"create or replace view `p`.`d`.`v` OPTIONS() as select 1": `CREATE OR REPLACE VIEW "d"."v" AS select 1`,
		"create schema if not exists `p`.`d`":                      `CREATE SCHEMA IF NOT EXISTS "d"`,
		"drop table if exists `p`.`d`.`t`":                         `DROP TABLE IF EXISTS "d"."t"`,
		"create or replace table `p`.`d`.`t` partition by date_trunc(x, month) cluster by `a`, b OPTIONS(labels=[('a', 'b')]) as (\nselect 1\n)": "CREATE OR REPLACE TABLE \"d\".\"t\" AS (\nselect 1\n)",
		"TRUNCATE TABLE `p.d.t`": `DELETE FROM "d"."t"`,
		"SELECT TO_JSON_STRING(STRUCT(p.`a` AS `a`)) NOT IN (SELECT 1)": `SELECT CAST(to_json(struct_pack("a" := p."a")) AS VARCHAR) NOT IN (SELECT 1)`,
	} {
		got, err := Translate(query)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s\nis  %q, %v\nnot %q", query, got, err, want)
		}
	}
	for _, query := range []string{
		"CREATE TABLE x (a INT64)", "CREATE OR REPLACE TABLE d.x (a INT64)", "CREATE OR REPLACE VIEW v AS SELECT 1", "CREATE OR REPLACE TABLE d.x PARTITION BY f(x) AS SELECT 1", "DROP SCHEMA s", "SELECT UNNEST([1])", "SELECT * EXCEPT (a) FROM t", "SELECT CAST(x AS BIGNUMERIC)",
		"SELECT CAST(x)", "SELECT COUNT(", "SELECT STRUCT(1, 2)", "SELECT '\\q'", "SELECT 'open", "SELECT IF(1)",
	} {
		if got, err := Translate(query); err == nil {
			t.Errorf("%s is not refused: %q", query, got)
		}
	}
}

func FuzzTranslate(f *testing.F) {
	for _, query := range []string{"SELECT 1", "SELECT CAST(a AS", "SELECT IF(", "`", "'\\", "MERGE INTO `a.b.c` USING (SELECT 1) ON TRUE WHEN MATCHED THEN DELETE; COMMIT TRANSACTION;", "/* x", "SELECT CAST()", "SELECT IF(1), MOD()"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if got, err := Translate(query); err == nil && slices.Contains(got, "") {
			t.Errorf("%q has an empty statement", query)
		}
	})
}
