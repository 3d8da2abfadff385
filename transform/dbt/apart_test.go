package dbt

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// cloud is the manifest of a project on BigQuery as dbt parses it for Daybreak: a source and a model.
const cloud = `{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": "bigquery", "project_name": "p"},
"nodes": {"model.p.a": {"name": "a", "resource_type": "model", "package_name": "p", "original_file_path": "models/a.sql", "fqn": ["p", "a"], "database": "acme", "schema": "daybreak_night_marts", "alias": "a",
   "config": {"materialized": "table"}, "depends_on": {"nodes": ["source.p.shop.users"]}}},
"sources": {"source.p.shop.users": {"name": "users", "source_name": "shop", "resource_type": "source", "package_name": "p", "original_file_path": "models/s.yml", "fqn": ["p", "shop", "users"],
   "database": "acme", "schema": "shop", "identifier": "users", "meta": {}}},
"macros": {"macro.dbt.source": {"original_file_path": "macros/source.sql"}}}`

func parsedInCloud(t *testing.T, text string) (*Project, elt.Problems) {
	t.Helper()
	m, err := decodeManifest([]byte(text), func(why string) error { return fmt.Errorf("it %s", why) })
	if err != nil {
		t.Fatal(err)
	}
	return newProject(m, Options{Folder: "analytics", Tables: tables, Schema: "analytics", Target: "prod", Builder: InDatasets{Project: "acme", Schema: "analytics"}})
}

// What dbt builds on BigQuery lies apart from what people read, or is refused by its file.
func TestANightIsBuiltApart(t *testing.T) {
	p, problems := parsedInCloud(t, cloud)
	if len(problems) > 0 || p.Datasets()[0].Relation != "analytics_marts.a" {
		t.Fatalf("%v, %+v", problems, p.Datasets())
	}
	for name, c := range map[string]struct {
		old, now, want string
	}{
		"a dataset's bare name": {`"schema": "daybreak_night_marts"`, `"schema": "marts"`, "analytics/models/a.sql: the model a is built in the dataset marts whatever target.schema is, so that people would read it before it is tested; have the project's generate_schema_name begin with target.schema for the target prod"},
		"another project":       {`"database": "acme", "schema": "daybreak_night_marts"`, `"database": "other", "schema": "daybreak_night_marts"`, "analytics/models/a.sql: the model a is built in the project other, and the warehouse is in acme; remove database: (or project:)"},
		"a macro source":        {`"macro.dbt.source"`, `"macro.p.source"`, "analytics/macros/source.sql: the project has a macro source of its own, in whose place Daybreak puts one that reads the night's tables; remove it"},
		"a source of nobody's":  {`"source_name": "shop"`, `"source_name": "bank"`, `analytics/models/s.yml: no schedule extracts the table "bank.users", which is a source of the project; known are shop.users; a source of another name says which dataset it is under meta: {dataset: …}, and one that others bring into BigQuery under meta: {external: true}`},
		"a source that others own": {`"source_name": "shop", "resource_type": "source", "package_name": "p", "original_file_path": "models/s.yml", "fqn": ["p", "shop", "users"],
   "database": "acme", "schema": "shop", "identifier": "users", "meta": {}`, `"source_name": "bank", "resource_type": "source", "package_name": "p", "original_file_path": "models/s.yml", "fqn": ["p", "bank", "users"],
   "database": "acme", "schema": "bank", "identifier": "users", "meta": {"external": true}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(cloud, c.old, c.now, 1)
			if text == cloud {
				t.Fatal("nothing was changed")
			}
			p, problems := parsedInCloud(t, text)
			if c.want == "" {
				if len(problems) > 0 || len(p.Datasets()[0].Inputs) > 0 {
					t.Errorf("%v, inputs %v", problems, p.Datasets()[0].Inputs)
				}
				return
			}
			if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), c.want) {
				t.Errorf("got %q, want %q", problems, c.want)
			}
			if strings.Contains(c.want, "built in") && problems[0].Code != CodeNotApart {
				t.Errorf("the code is %s", problems[0].Code)
			}
		})
	}
}

// fresh is the source of shop with a freshness; more is what else is said of it.
func fresh(more string) string {
	return strings.Replace(shop, `"description": "People."`, `"description": "People.", "freshness": {"warn_after": {"count": 1, "period": "hour"}, "error_after": {"count": 2, "period": "day"}, "filter": null}`+more, 1)
}

// A source's freshness is a test of its table, or is refused by file and line.
func TestFreshnessOfASource(t *testing.T) {
	p, problems := parsed(t, fresh(`, "loaded_at_field": "at"`))
	if len(problems) > 0 || !cmp.Equal(p.Tests("shop.users"), []string{"freshness(at)"}) {
		t.Fatalf("%v, tests %v", problems, p.Tests("shop.users"))
	}
	if diff := cmp.Diff(&transform.Freshness{Field: "at", WarnAfter: time.Hour, ErrorAfter: 48 * time.Hour}, p.Freshness("shop.users")); diff != "" {
		t.Errorf("freshness (-want +got):\n%s", diff)
	}
	none, problems := parsed(t, strings.Replace(shop, `"description": "People."`, `"freshness": {"warn_after": {"count": null, "period": null}, "error_after": {"count": null, "period": null}, "filter": null}`, 1))
	if len(problems) > 0 || none.Tests("shop.users") != nil {
		t.Errorf("what declares nothing: %v, tests %v", problems, none.Tests("shop.users"))
	}
	project := t.TempDir()
	if err := writeFile(filepath.Join(project, "models", "s.yml"), []byte("sources:\n  - name: users\n  - name: shop\n    tables:\n      - name: users_old\n      - name: users\n")); err != nil {
		t.Fatal(err)
	}
	for more, want := range map[string]string{
		"":                                "has no loaded_at_field, and that Daybreak wrote the table tonight says nothing about its rows; add loaded_at_field: with the column that says when a row came; or freshness: null",
		`, "loaded_at_query": "select 1"`: "is asked by a loaded_at_query, which reads what is published and not the night; name the column, or an expression, as its loaded_at_field",
		`, "loaded_at_field": "case when day = '2001-02-03' then at end"`: "depends on the night's date, which dbt does not know when it reads a source; compare with the database's own clock, or leave the date out of it",
	} {
		m, err := decodeManifest([]byte(fresh(more)), func(why string) error { return fmt.Errorf("it %s", why) })
		if err != nil {
			t.Fatal(err)
		}
		_, problems := newProject(m, Options{Folder: "analytics", Tables: tables, Schema: "analytics", Builder: &bench{}, Command: Command{Project: project}})
		if len(problems) != 1 || problems[0].String() != "analytics/models/s.yml:6: the freshness of the source shop.users "+want {
			t.Errorf("got %q, want %q", problems, want)
		}
	}
}

// A table whose newest row is too old holds back what is made from it, and no dbt is started to find that out.
func TestAStaleTableFailsItsTests(t *testing.T) {
	o := fake(t, `exit 0`)
	if err := writeFile(filepath.Join(filepath.Dir(o.Command.Program), "manifest.json"), []byte(fresh(`, "loaded_at_field": "at"`))); err != nil {
		t.Fatal(err)
	}
	e := engineOf(t, o)
	r, err := e.Test(t.Context(), nightOf(nil), "shop.users")
	if elt.CodeOf(err) != transform.CodeTestFailed || len(r.Notes) != 1 || r.Notes[0].Message != "the newest at of shop.users is more than 2 days before it was read" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := calls(t, o); !cmp.Equal(got, []string{"parse"}) {
		t.Errorf("dbt was called as %q", got)
	}
}

// What a killed test of published data left is let go of by the next one, which leaves nothing itself.
func TestPublishedDataIsTestedByDBT(t *testing.T) {
	o := fake(t, `[ "$COMMAND" = parse ] && exit; results test.p.unique_a fail; exit 1`)
	e := engineOf(t, o)
	for _, n := range []time.Duration{testedFor + time.Minute, time.Minute} {
		if err := writeFile(filepath.Join(e.place(testRun, int(time.Now().Add(-n).UnixMicro())).Folder, openMark), nil); err != nil {
			t.Fatal(err)
		}
	}
	s := nightOf(nil)
	s.Staged, s.Published = nil, func(elt.DatasetName) bool { return true }
	found, err := e.TestPublished(t.Context(), s, []elt.DatasetName{"a"})
	if err != nil || len(found["a"]) != 1 || found["a"][0].Passed || found["a"][0].Severity != "error" {
		t.Errorf("%+v, %v", found, err)
	}
	if got := calls(t, o); !cmp.Equal(got[1:], []string{"test fqn:p.unique_a_id"}) {
		t.Errorf("dbt was called as %q", got)
	}
	if b := o.Builder.(*bench); !cmp.Equal(b.lent, []string{"published analytics.a as analytics.a"}) {
		t.Errorf("dbt was lent %q", b.lent)
	}
	if left, err := placeNames(e.runFolder(testRun)); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v; want the one that may still be at work", left, err)
	}
	if _, err := e.TestPublished(t.Context(), s, []elt.DatasetName{"c"}); elt.CodeOf(err) != CodeIncomplete && elt.CodeOf(err) != CodeFailed {
		t.Errorf("a dbt that says nothing of a test: %v", err)
	}
}
