package transform_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// bench is a DuckDB in memory that stages and publishes just enough to run models on it for real.
type bench struct {
	t      *testing.T
	db     *sql.DB
	builds []elt.Build
	refuse error // returned by Build and Count instead of doing anything
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	db.SetMaxOpenConns(1)
	b := &bench{t: t, db: db}
	b.exec(`create schema shop; create schema analytics; set timezone = 'UTC';
		create table shop.users as select * from (values (1, 'A@x.se', 'se'), (2, 'b@x.no', 'no'), (3, 'c@x.de', 'de'), (4, null, 'se')) t(id, email, country);
		create table shop.orders as select * from (values
			(1, 1, 'paid', 1000, timestamp '2026-11-19 10:00:00'), (2, 2, 'paid', 250, timestamp '2026-11-20 11:00:00'),
			(3, 2, 'refunded', 99, timestamp '2026-11-20 12:00:00'), (4, 1, 'test', 5, timestamp '2026-11-20 13:00:00')) t(id, user_id, status, amount, created_at)`)
	return b
}

func (b *bench) exec(query string) {
	b.t.Helper()
	if _, err := b.db.Exec(query); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
}

// text returns a query's rows as text.
func (b *bench) text(query string) string {
	b.t.Helper()
	rows, err := b.db.Query("select columns(*)::varchar from (" + query + ")")
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		b.t.Fatal(err)
	}
	var out strings.Builder
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			b.t.Fatal(err)
		}
		for i, v := range values {
			if i > 0 {
				out.WriteString("|")
			}
			out.WriteString(v.String)
		}
		out.WriteString("\n")
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return out.String()
}

func schemaOf(run elt.RunID) string { return `"run_` + string(run) + `"` }

func (b *bench) Staged(run elt.RunID, d elt.DatasetName) string {
	return schemaOf(run) + `."` + string(d) + `"`
}

func (b *bench) Published(relation string) string {
	schema, table, _ := strings.Cut(relation, ".")
	return `"` + schema + `"."` + table + `"`
}

func (b *bench) Build(ctx context.Context, build elt.Build) (built elt.BuiltModel, err error) {
	b.builds = append(b.builds, build)
	if b.refuse != nil {
		return built, b.refuse
	}
	kind := "table"
	if build.Materialized == elt.AsView {
		kind = "view"
	}
	name := b.Staged(build.Run, build.Dataset)
	b.exec("create schema if not exists " + schemaOf(build.Run))
	if _, err := b.db.ExecContext(ctx, fmt.Sprintf("create or replace %s %s as (\n%s\n)", kind, name, build.SQL)); err != nil {
		// Like the real one: the line counts in the SQL that it was given.
		line := 0
		if _, rest, ok := strings.Cut(err.Error(), "LINE "); ok {
			if _, scanErr := fmt.Sscanf(rest, "%d:", &line); scanErr != nil {
				b.t.Error(scanErr)
			}
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		return built, &elt.Error{Code: "sql_refused", Class: elt.Data, What: fmt.Sprintf("the warehouse refuses the SQL of %s, line %d: %s", build.Dataset, line-1, first)}
	}
	return built, b.db.QueryRowContext(ctx, "select count(*) from "+name).Scan(&built.Rows)
}

func (b *bench) SeedCSV(ctx context.Context, run elt.RunID, d elt.DatasetName, path string, types map[string]string) (rows int64, err error) {
	var list []string
	for column, as := range types {
		list = append(list, fmt.Sprintf("'%s': '%s'", column, as))
	}
	if _, err := b.db.ExecContext(ctx, fmt.Sprintf("create schema if not exists %s; create or replace table %s as select * from read_csv('%s', header=true, types={%s})",
		schemaOf(run), b.Staged(run, d), path, strings.Join(list, ", "))); err != nil {
		return 0, err
	}
	return rows, b.db.QueryRowContext(ctx, "select count(*) from "+b.Staged(run, d)).Scan(&rows)
}

func (b *bench) Count(ctx context.Context, query string) (n int64, err error) {
	if b.refuse != nil {
		return 0, b.refuse
	}
	return n, b.db.QueryRowContext(ctx, "select count(*) from (\n"+query+"\n)").Scan(&n)
}

func scope(run elt.RunID) transform.Scope {
	date := elt.Date{Year: 2026, Month: time.November, Day: 20}
	return transform.Scope{Run: run, Date: date, Window: date.Window(time.UTC), Staged: map[elt.DatasetName]bool{}}
}

func engine(t *testing.T, b *bench, p *transform.Project) *transform.Engine {
	t.Helper()
	return transform.New(transform.EngineOptions{Project: p, Warehouse: b, Dir: "testdata/shop"})
}

// build transforms every model and seed in order.
func build(t *testing.T, e *transform.Engine, p *transform.Project, s transform.Scope) {
	t.Helper()
	for _, d := range p.Datasets() {
		if _, err := e.Transform(t.Context(), s, d.Name); err != nil {
			t.Fatal(err)
		}
		s.Staged[d.Name] = true
	}
}

func TestCompiledSQL(t *testing.T) {
	p := shop(t)
	e := engine(t, newBench(t), p)
	first, later := scope("first"), scope("later")
	later.Published = func(elt.DatasetName) bool { return true }
	full := later
	full.FullRefresh = true
	staged := later
	staged.Staged = map[elt.DatasetName]bool{"shop.users": true, "stg_users": true}
	var got strings.Builder
	show := func(title string, s transform.Scope, d elt.DatasetName) {
		sql, err := e.Compile(s, d)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "---- %s: %s\n%s\n", d, title, sql)
	}
	show("nothing staged", first, "stg_users")
	show("its table staged", staged, "stg_users")
	show("with ephemeral models inlined", staged, "revenue")
	show("first night", first, "daily_orders")
	show("later night", later, "daily_orders")
	show("full refresh", full, "daily_orders")
	show("later night", later, "order_log")
	for _, d := range []elt.DatasetName{"shop.users", "shop.orders", "stg_users", "revenue", "daily_orders"} {
		for _, name := range p.Tests(d) {
			sql, err := e.TestSQL(staged, d, name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "---- test %s of %s\n%s\n", name, d, sql)
		}
	}
	for _, d := range []elt.DatasetName{"stg_users", "revenue", "order_log", "countries"} {
		item, err := e.Item(later, d)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "---- %s is published as %s, strategy %q, key %v\n%s\n", d, item.Relation, item.Strategy, item.Key, item.ViewSQL)
	}
	golden(t, "testdata/shop/compiled.golden", got.String())
}

func TestANightOnDuckDB(t *testing.T) {
	p, b := shop(t), newBench(t)
	e := engine(t, b, p)
	s := scope("one")
	build(t, e, p, s)
	for query, want := range map[string]string{
		`select * from run_one.revenue order by country`:      "no|Norway|1|2.5\nse|Sweden|1|10.0\n",
		`select * from run_one.stg_users order by user_id`:    "1|a@x.se|se\n2|b@x.no|no\n4||se\n",
		`select * from run_one.daily_orders order by day`:     "2026-11-19|1|10.0|0.0\n2026-11-20|2|2.5|0.99\n",
		`select * from run_one.order_log order by order_id`:   "1|1000|2026-11-20|prod\n2|250|2026-11-20|prod\n3|99|2026-11-20|prod\n",
		`select typeof(since) from run_one.countries limit 1`: "DATE\n",
	} {
		if diff := cmp.Diff(want, b.text(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	// A second night sees what is published and takes its own window only.
	b.exec(`create table analytics.daily_orders as from run_one.daily_orders; create table analytics.order_log as from run_one.order_log`)
	s = scope("two")
	s.Published = func(d elt.DatasetName) bool { return d == "daily_orders" || d == "order_log" }
	build(t, e, p, s)
	if got, want := b.text("select * from run_two.daily_orders"), "2026-11-20|2|2.5|0.99\n"; got != want {
		t.Errorf("the second night's rows: %q", got)
	}
	for _, build := range b.builds {
		incremental := build.Run == "two" && build.Materialized == elt.AsIncremental
		if (build.Strategy != "") != incremental {
			t.Errorf("%s in %s has the strategy %q", build.Dataset, build.Run, build.Strategy)
		}
	}
	item, err := e.Item(s, "daily_orders")
	want := elt.PublicationItem{Relation: "analytics.daily_orders", Strategy: elt.Merge, Key: []string{"day", "user_id"}}
	if diff := cmp.Diff(want, item); diff != "" || err != nil {
		t.Error(diff, err)
	}
	// A view is published over published names.
	item, err = e.Item(s, "stg_users")
	if err != nil {
		t.Fatal(err)
	}
	b.exec("create view analytics.stg_users as " + item.ViewSQL)
	if got := b.text("select count(*) from analytics.stg_users"); got != "3\n" {
		t.Errorf("the published view has %s", got)
	}
}

func TestTestsOnDuckDB(t *testing.T) {
	p, b := shop(t), newBench(t)
	e := engine(t, b, p)
	s := scope("one")
	build(t, e, p, s)
	result, err := e.Test(t.Context(), s, "stg_users")
	if err != nil {
		t.Fatal(err)
	}
	want := elt.Result{Checks: elt.ChecksWarned, Notes: []elt.Check{
		{Name: "unique(user_id)", Severity: "error", Passed: true},
		{Name: "not_null(user_id)", Severity: "error", Passed: true},
		{Name: "unique(email)", Severity: "warn", Passed: true},
		{Name: "not_null(email)", Severity: "warn", Failures: 1, Message: "not_null(email) of stg_users found 1 row, which is a warning"},
	}}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Error(diff)
	}
	for d, want := range map[elt.DatasetName]elt.Checks{
		"shop.users": elt.ChecksPassed, "shop.orders": elt.ChecksPassed, "revenue": elt.ChecksPassed, "daily_orders": elt.ChecksPassed, "order_log": elt.ChecksNone,
	} {
		if result, err := e.Test(t.Context(), s, d); err != nil || result.Checks != want {
			t.Errorf("%s: %+v %v", d, result, err)
		}
	}
	// Now everything is wrong.
	b.exec(`insert into shop.orders values (9, 77, 'lost', 1, timestamp '2026-11-20 10:00:00'), (10, 77, null, 1, null), (11, null, 'lost', 1, null), (12, 1, 'stolen', 1, null);
		insert into shop.users values (1, 'a@x.se', 'se'), (null, 'n', 'se');
		insert into run_one.revenue values ('se', null, 1, -5), ('fi', 'Finland', 0, 0), (null, null, 0, 0)`)
	for d, want := range map[elt.DatasetName]string{
		"shop.orders": "2 of 2 tests of shop.orders failed: accepted_values(status) found 2 rows; relationships(user_id → shop.users.id) found 2 rows",
		"shop.users":  "2 of 2 tests of shop.users failed: unique(id) found 1 row; not_null(id) found 1 row",
		"revenue":     "3 of 4 tests of revenue failed: accepted_values(country) found 1 row; unique(country) found 1 row; revenue_is_positive found 3 rows",
	} {
		result, err := e.Test(t.Context(), s, d)
		var failed *elt.Error
		if !errors.As(err, &failed) || failed.Code != transform.CodeTestFailed || failed.Class != elt.Data || failed.What != want {
			t.Errorf("%s: %v", d, err)
		}
		if len(result.Notes) != len(p.Tests(d)) {
			t.Errorf("%s: the result has %d tests", d, len(result.Notes))
		}
	}
}

// project writes a small project and parses it.
func project(t *testing.T, files map[string]string) *transform.Project {
	t.Helper()
	p, problems := transform.Parse(folder(t, files), options())
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheWarehousesRefusalNamesTheLine(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"plain", "select\n  1 as x,\n  nothing as y", "sql/models/m.sql:3: "},
		{"after config", "{{ config(\n  materialized='table'\n) }}\n\nselect 1 as x,\n  nothing as y", "sql/models/m.sql:6: "},
		{"after a loop", "select\n{% for c in ['a', 'b', 'c'] %}\n  1 as {{ c }},\n{% endfor %}\n  nothing as y", "sql/models/m.sql:5: "},
		{"in a loop", "select\n{% for c in ['a', 'b', 'c'] %}\n  1 as {{ c }},\n  not{{ c }} as y,\n{% endfor %}\n  1 as z", "sql/models/m.sql:4: "},
		{"trimmed", "select\n{%- for c in ['a', 'b'] %}\n  1 as {{ c }},\n{%- endfor %}\n\n  nothing as y", "sql/models/m.sql:6: "},
		{"behind an inlined model", "with t as (\n  select * from {{ ref('eph') }}\n)\nselect\n  nothing as y from t", "sql/models/m.sql:5: "},
		{"in an expression", "select\n  1 as x,\n  {{ 'nothing' }} as y", "sql/models/m.sql:3: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := project(t, map[string]string{"models/m.sql": c.source, "models/eph.sql": "{{ config(materialized='ephemeral') }}\nselect\n1 as x"})
			_, err := engine(t, newBench(t), p).Transform(t.Context(), scope("one"), "m")
			var refused *elt.Error
			if !errors.As(err, &refused) || refused.Code != transform.CodeModelRefused || !strings.HasPrefix(refused.What, c.want) || !strings.Contains(refused.What, "not") {
				t.Errorf("want %s, got %v", c.want, err)
			}
		})
	}
}

func TestOtherFailuresKeepTheirCodes(t *testing.T) {
	p, b := shop(t), newBench(t)
	e := engine(t, b, p)
	full := &elt.Error{Code: "disk_full", Class: elt.Quota, What: "the disk is full"}
	for _, refuse := range []error{full, context.Canceled} {
		b.refuse = refuse
		if _, err := e.Transform(t.Context(), scope("one"), "stg_users"); !errors.Is(err, refuse) || elt.NewFailure(err).Code == transform.CodeModelRefused {
			t.Errorf("transform: %v", err)
		}
		if _, err := e.Test(t.Context(), scope("one"), "stg_users"); !errors.Is(err, refuse) || elt.NewFailure(err).Code == transform.CodeTestRefused {
			t.Errorf("test: %v", err)
		}
	}
	b.refuse = nil
	if _, err := e.Transform(t.Context(), scope("one"), "revenu"); elt.NewFailure(err).Code != transform.CodeUnknownModel {
		t.Error(err)
	}
}

func TestATestOfAColumnThatDoesNotExist(t *testing.T) {
	for _, decl := range []string{"not_null", "unique", "accepted_values: {values: [1]}", "relationships: {to: ref('b'), field: gone}"} {
		p := project(t, map[string]string{
			"models/a.sql": "select 1 as gone, 2 as x", "models/b.sql": "select 1 as id",
			"models/schema.yml": "version: 2\nmodels:\n  - name: a\n    columns:\n      - name: " + column(decl) + "\n        tests:\n          - " + decl + "\n",
		})
		e, s := engine(t, newBench(t), p), scope("one")
		build(t, e, p, s)
		_, err := e.Test(t.Context(), s, "a")
		var refused *elt.Error
		if !errors.As(err, &refused) || refused.Code != transform.CodeTestRefused || !strings.HasPrefix(refused.What, "sql/models/schema.yml:7: the test ") {
			t.Errorf("%s: %v", decl, err)
		}
	}
}

// column is the tested column: one that exists for relationships, whose other side is wrong there.
func column(decl string) string {
	if strings.HasPrefix(decl, "relationships") {
		return "gone"
	}
	return "missing"
}

func TestARefOfSomeNightsOnly(t *testing.T) {
	p := project(t, map[string]string{
		"models/a.sql": "select 1 as x",
		"models/b.sql": "select 1 as x\n{% if data_date > '2020' %}from {{ ref('a') }}{% endif %}",
	})
	_, err := engine(t, newBench(t), p).Compile(scope("one"), "b")
	if got := elt.NewFailure(err); got.Code != transform.CodeRefUndeclared || !strings.HasPrefix(got.Message, "sql/models/b.sql:2: the model b refers to a on some nights only") {
		t.Errorf("%+v", got)
	}
}

func TestEphemeralModelsAreInlined(t *testing.T) {
	eph := "{{ config(materialized='ephemeral') }}\n"
	p := project(t, map[string]string{
		"models/e1.sql": eph + "select 1 as x -- one;",
		"models/e2.sql": eph + "with e as (select * from {{ ref('e1') }}) select x + 1 as x from e;\n",
		"models/a.sql":  "-- a comment\n/* another */ WITH recursive r as (select x from {{ ref('e2') }} union all select x + 1 from r where x < 4)\nselect * from r, {{ ref('e1') }} as e1 -- end",
		"models/b.sql":  "(select * from {{ ref('e2') }})",
		"models/c.sql":  "from {{ ref('e2') }}",
		"models/d.sql":  "withheld as (select 1)",
	})
	b := newBench(t)
	e, s := engine(t, b, p), scope("one")
	for model, want := range map[elt.DatasetName]string{"a": "2|1\n3|1\n4|1\n", "b": "2\n", "c": "2\n"} {
		if _, err := e.Transform(t.Context(), s, model); err != nil {
			t.Fatal(err)
		}
		if got := b.text("select * from run_one." + string(model) + " order by 1"); got != want {
			t.Errorf("%s: %q", model, got)
		}
	}
	for _, d := range p.Datasets() {
		if strings.HasPrefix(string(d.Name), "e") || len(d.Inputs) > 0 {
			t.Errorf("%s with the inputs %v", d.Name, d.Inputs)
		}
	}
}

func TestParsingIsDeterministic(t *testing.T) {
	first := ""
	for range 20 {
		p, problems := transform.Parse(os.DirFS("testdata/broken/many_at_once"), options())
		text := lines(problems)
		for _, d := range p.Datasets() {
			text += cmpText(d)
		}
		if first == "" {
			first = text
		}
		if text != first {
			t.Fatalf("%s\n%s", first, text)
		}
	}
}
