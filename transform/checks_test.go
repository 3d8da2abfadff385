package transform_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// Sample, KeepFailures and Columns make the bench what shows failing rows and checks contracts.
func (b *bench) Sample(ctx context.Context, query string, hide []string, most int) (s elt.Sample, err error) {
	rows, err := b.db.QueryContext(ctx, fmt.Sprintf("select * from (%s) limit %d", query, most))
	if err != nil {
		return s, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return s, err
	}
	for rows.Next() {
		texts, dests := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range texts {
			dests[i] = &texts[i]
		}
		if err := rows.Scan(dests...); err != nil {
			return s, err
		}
		var row []*string
		for i, name := range names {
			if !slices.Contains(hide, strings.ToLower(name)) && texts[i].Valid {
				row = append(row, &texts[i].String)
			} else if !slices.Contains(hide, strings.ToLower(name)) {
				row = append(row, nil)
			}
		}
		s.Rows = append(s.Rows, row)
	}
	for _, name := range names {
		if !slices.Contains(hide, strings.ToLower(name)) {
			s.Columns = append(s.Columns, name)
		}
	}
	return s, rows.Err()
}

func (b *bench) KeepFailures(_ context.Context, name, query string, hide []string, most int) (string, error) {
	b.exec("create schema if not exists failures")
	b.exec(fmt.Sprintf("create or replace table failures.%s as select columns(c -> lower(c) not in ('%s')) from (%s) limit %d", name, strings.Join(append(hide, "-"), "', '"), query, most))
	return "failures." + name, nil
}

func (b *bench) Columns(ctx context.Context, relation string) (docs []elt.ColumnDoc, err error) {
	rows, err := b.db.QueryContext(ctx, "select column_name, column_type from (describe "+relation+")")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d elt.ColumnDoc
		if err := rows.Scan(&d.Name, &d.Type); err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, rows.Err()
}

// checked is an engine that shows failing rows, with what it showed.
type checked struct {
	*transform.Engine
	bench   *bench
	project *transform.Project
	shown   []elt.FailingRows
}

func newChecked(t *testing.T, fsys fs.FS, o transform.Options) *checked {
	t.Helper()
	p, problems := transform.Parse(fsys, o)
	if problems.Err() != nil {
		t.Fatal(lines(problems))
	}
	c := &checked{bench: newBench(t), project: p}
	c.Engine = transform.New(transform.EngineOptions{
		Project: p, Warehouse: c.bench, Dir: t.TempDir(), Failures: c.bench, Columns: c.bench, Rows: 2,
		Keep: func(_ context.Context, f elt.FailingRows) error { c.shown = append(c.shown, f); return nil },
	})
	return c
}

// verdicts returns what every test of a dataset says: "unique(id) passed".
func (c *checked) verdicts(t *testing.T, s transform.Scope, d elt.DatasetName) string {
	t.Helper()
	result, err := c.Test(t.Context(), s, d)
	if err != nil && elt.CodeOf(err) != transform.CodeTestFailed {
		t.Fatal(err)
	}
	var out []string
	for _, n := range result.Notes {
		word := "passed"
		if !n.Passed {
			word = fmt.Sprintf("%s %d", n.Severity, n.Failures)
		}
		out = append(out, n.Name+" "+word)
	}
	return strings.Join(out, "; ")
}

func TestOptionsOfTests(t *testing.T) {
	for _, c := range []struct{ options, want string }{
		{"", "error 3"},
		{"severity: warn", "warn 3"},
		{"severity: WARN, error_if: '> 0'", "warn 3"},
		{"limit: 2", "error 2"},
		{"error_if: '> 3', warn_if: '>= 3'", "warn 3"},
		{"error_if: between 4 and 9, warn_if: '= 3'", "warn 3"},
		{"error_if: between 1 and 3", "error 3"},
		{"error_if: not between 1 and 3, warn_if: not in (3)", "passed"},
		{"error_if: 'in (1, 2, 3)'", "error 3"},
		{"error_if: 'NOT IN (1,2,3)', warn_if: '!= 3'", "passed"},
		{"where: \"x is not null and x <> '{{ data_date }}'\"", "passed"},
		{"where: y > 1", "error 2"},
		{"enabled: false", ""},
		{"severity: warn, store_failures: true", "warn 3"},
	} {
		for _, place := range []string{"config: {%s}", "%s"} {
			declaration := "\n"
			if c.options != "" {
				declaration = ":\n              " + strings.Join(strings.Split(fmt.Sprintf(place, c.options), "\n"), "\n") + "\n"
				if place == "%s" {
					declaration = ": {" + c.options + "}\n"
				}
			}
			p := newChecked(t, folder(t, map[string]string{
				"models/a.sql":      "select * from (values (null, 1), (null, 2), (null, 3), ('b', 4)) t(x, y)",
				"models/schema.yml": "version: 2\nmodels:\n  - name: a\n    columns:\n      - name: x\n        data_tests:\n          - not_null" + declaration,
			}), options())
			s := scope("r")
			build(t, p.Engine, p.project, s)
			want := c.want
			if want != "" {
				want = "not_null(x) " + want
			}
			if got := p.verdicts(t, s, "a"); got != want {
				t.Errorf("%s: got %q, want %q", fmt.Sprintf(place, c.options), got, want)
			}
		}
	}
}

const positive = `
{% test positive(model, column_name, least=0, parent=none) %}
{{ config(severity='warn') }}
select * from {{ model }} where {{ column_name }} <= {{ least }}
{%- if parent is not none %} and {{ column_name }} not in (select y from {{ parent }}){% endif %}
{% endtest %}
{% test never(model) %}select * from {{ model }} limit 1{% endtest %}
`

func TestGenericTests(t *testing.T) {
	files := map[string]string{
		"models/a.sql":             "select * from (values (1, 1), (2, 2), (3, 3)) t(x, y)",
		"models/b.sql":             "select y from (values (2)) t(y)",
		"models/c.sql":             "{{ config(materialized='ephemeral') }}select 1 as y",
		"tests/generic/checks.sql": positive,
		"models/schema.yml": `version: 2
models:
  - name: a
    tests:
      - never
      - never: {name: never_in_march, where: x > 3}
    columns:
      - name: x
        tests:
          - positive
          - positive: {least: 2}
          - positive: {arguments: {least: 2}, config: {severity: error}, name: x_is_large}
          - positive: {least: 3, parent: ref('b')}
          - positive: {least: "{{ 1 + 1 }}", parent: "{{ ref('c') }}"}
          - name: alternative
            test_name: positive
            least: 7
`,
	}
	p := newChecked(t, folder(t, files), options())
	s := scope("r")
	build(t, p.Engine, p.project, s)
	want := "positive(x) passed; positive(x, 2) warn 2; x_is_large error 2; positive(x, 3, ref('b')) warn 2; positive(x, {{ 1 + 1 }}, {{ ref('c') }}) warn 1; alternative warn 3; never error 1; never_in_march passed"
	if got := p.verdicts(t, s, "a"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if diff := cmp.Diff([]elt.DatasetName{"b"}, p.project.TestNeeds("a")); diff != "" {
		t.Error(diff)
	}
}

func TestFailingRowsAreShownWithoutWhatIsMasked(t *testing.T) {
	o := options()
	o.Masked = map[elt.DatasetName][]string{"shop.users": {"Email"}}
	p := newChecked(t, folder(t, map[string]string{
		"models/a.sql": "select id, email, country, 'Anna' as name, null as nothing from {{ source('shop', 'users') }}",
		"models/b.sql": "select id, lower(email) as email, name from {{ ref('a') }}",
		"models/schema.yml": `version: 2
models:
  - name: a
    columns:
      - name: name
        meta: {pii: true}
      - name: email
        tests: [unique, {relationships: {to: "source('shop', 'orders')", field: status}}]
      - name: nothing
        tests:
          - not_null: {config: {store_failures: true}}
  - name: b
    columns:
      - name: id
        tests:
          - accepted_values: {values: [9]}
    tests:
      - not_null: {column_name: "nullif(name, 'Anna')"}
`,
	}), o)
	s := scope("r")
	build(t, p.Engine, p.project, s)
	p.verdicts(t, s, "a")
	p.verdicts(t, s, "b")
	got := map[string]string{}
	for _, f := range p.shown {
		got[f.Test] = fmt.Sprint(f.Sample.Columns, len(f.Sample.Rows), f.Table)
	}
	want := map[string]string{
		"relationships(email → shop.orders.status)": "[] 2",
		"not_null(nothing)":                         "[id country nothing] 2failures.a__not_null_nothing",
		"accepted_values(id)":                       "[id n] 2",
		"not_null(nullif(name, 'Anna'))":            "[id] 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, want := p.bench.text("select * from failures.a__not_null_nothing order by id limit 1"), p.bench.text("select 1, 'se', null"); got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
}

func TestFreshness(t *testing.T) {
	source := func(block string) map[string]string {
		return map[string]string{"models/a.sql": "select 1 as x", "models/schema.yml": "version: 2\nsources:\n  - name: shop\n    loaded_at_field: created_at\n    freshness: {warn_after: {count: 6, period: hour}}\n    tables:\n      - name: orders\n" + block}
	}
	for _, c := range []struct{ block, at, want string }{
		{"", "2026-11-20T18:00:00Z", "freshness(created_at) passed"}, // the newest order came at 13:00
		{"", "2026-11-20T19:30:00Z", "freshness(created_at) warn 1"},
		{"        freshness: {error_after: {count: 30, period: minute}}", "2026-11-20T13:20:00Z", "freshness(created_at) passed"},
		{"        freshness: {error_after: {count: 30, period: minute}}", "2026-11-20T13:31:00Z", "freshness(created_at) error 1"},
		{"        freshness: {warn_after: {count: 1, period: day}, error_after: {count: 2, period: day}}", "2026-11-22T12:59:00Z", "freshness(created_at) warn 1"},
		{"        freshness: {warn_after: {count: 1, period: day}, filter: status = 'paid'}", "2026-11-21T11:30:00Z", "freshness(created_at) warn 1"},
		{"        freshness: null", "2027-01-01T00:00:00Z", ""},
		{"", "", "freshness(created_at) warn 1"}, // counted from the end of the night
	} {
		p := newChecked(t, folder(t, source(c.block)), options())
		s := scope("r")
		if c.at != "" {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			s.ReadAt = at
		}
		if got := p.verdicts(t, s, "shop.orders"); got != c.want {
			t.Errorf("%q at %s: got %q, want %q", c.block, c.at, got, c.want)
		}
	}
	p := newChecked(t, folder(t, source("")), options())
	result, err := p.Test(t.Context(), scope("r"), "shop.orders")
	if err != nil || len(result.Notes) != 1 || result.Notes[0].Message != "the newest created_at of shop.orders is more than 6 hours before it was read: 2026-11-20T13:00:00Z" {
		t.Errorf("got %v %+v", err, result.Notes)
	}
}

func TestContracts(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"select 1::bigint as id, 'x' as name, 1.5::decimal(12,2) as amount", ""},
		{"select 'x' as name, 1.5::numeric(12, 2) as amount, 1::int8 as id", ""},
		{"select 1 as id, 'x' as name", "sql/models/a.sql: the model a breaks its contract: id is INTEGER, not int64; amount is missing"},
		{"select 1::bigint as id, 'x' as name, 1.5::decimal(12,2) as amount, 1 as more", "sql/models/a.sql: the model a breaks its contract: more is not declared"},
	} {
		p := newChecked(t, folder(t, map[string]string{
			"models/a.sql":      c.sql,
			"models/schema.yml": "version: 2\nmodels:\n  - name: a\n    config: {materialized: table, contract: {enforced: true}}\n    columns:\n      - {name: id, data_type: int64}\n      - {name: name, data_type: string}\n      - {name: amount, data_type: 'numeric(12,2)'}\n",
		}), options())
		_, err := p.Transform(t.Context(), scope("r"), "a")
		if (err == nil) != (c.want == "") || err != nil && (err.Error() != c.want || elt.CodeOf(err) != transform.CodeContract) {
			t.Errorf("%s: got %v, want %q", c.sql, err, c.want)
		}
	}
}

func TestAProjectOfDbt(t *testing.T) {
	o := options()
	o.Vars = map[string]any{"since": "2026-01-01"}
	p := newChecked(t, folder(t, map[string]string{
		"dbt_project.yml": `
name: 'shop'
version: '1.0'
profile: 'shop'
model-paths: ["models"]
target-path: "target"
vars:
  since: 2020-01-01
  shop: {until: '2026-12-31'}
models:
  shop:
    materialized: table
    +tags: all
    staging:
      +materialized: view
      deep: {+enabled: false}
seeds:
  shop: {+quote_columns: true}
tests:
  +severity: warn
`,
		"models/orders.sql":             "select '{{ var('since') }}' as since, '{{ var('until') }}' as until from {{ ref('stg_orders') }}",
		"models/own.sql":                "{{ config(materialized='incremental', unique_key='x', tags='own') }}select 1 as x",
		"models/staging/stg_orders.sql": "select 1 as x",
		"models/staging/deep/off.sql":   "select 1 as x",
		"models/docs.md":                "# Words\n{% docs orders_status %}\nWhat became of it.\n{% enddocs %}",
		"models/schema.yml": `version: 2
models:
  - name: own
    description: '{{ doc("orders_status") }} Always.'
    config: {full_refresh: true, materialized: view, tags: [documented]}
    columns:
      - name: x
        tests: [unique]
exposures: [{name: report, type: dashboard, owner: {email: x@example.com}}]
`,
	}), o)
	var got []string
	for _, d := range p.project.Datasets() {
		got = append(got, fmt.Sprintf("%s %s %v %s", d.Name, d.Materialized, d.Tags, d.Description))
	}
	want := []string{"own incremental [all documented own] What became of it. Always.", "stg_orders view [all] ", "orders table [all] "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s := scope("r")
	s.Published = func(elt.DatasetName) bool { return true }
	build(t, p.Engine, p.project, s)
	for _, b := range p.bench.builds {
		if b.Dataset == "own" && b.Strategy != "" {
			t.Error("full_refresh: true does not build the model whole")
		}
	}
	if got, want := p.bench.text("select * from "+p.bench.Staged("r", "orders")), p.bench.text("select '2026-01-01', '2026-12-31'"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := p.verdicts(t, s, "own"); got != "unique(x) passed" {
		t.Error(got)
	}
}

func TestAFailureThatCannotBeShownChangesNothing(t *testing.T) {
	p, problems := transform.Parse(folder(t, map[string]string{"models/a.sql": "select null as x", "models/schema.yml": "version: 2\nmodels:\n  - name: a\n    columns: [{name: x, tests: [not_null]}]\n"}), options())
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	b := newBench(t)
	e := transform.New(transform.EngineOptions{Project: p, Warehouse: b, Failures: b, Rows: 5, Keep: func(context.Context, elt.FailingRows) error { return errors.New("the ledger is away") }})
	s := scope("r")
	build(t, e, p, s)
	if _, err := e.Test(t.Context(), s, "a"); elt.CodeOf(err) != transform.CodeTestFailed {
		t.Errorf("got %v", err)
	}
}
