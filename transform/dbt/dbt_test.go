package dbt

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/transform"
)

// shop is the manifest of a project: a source, two models on it, a view on both, tests.
const shop = `{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": "duckdb", "project_name": "p"},
"nodes": {
 "model.p.a": {"name": "a", "resource_type": "model", "package_name": "p", "original_file_path": "models/a.sql", "fqn": ["p", "a"], "schema": "analytics", "alias": "a",
   "config": {"materialized": "table"}, "depends_on": {"nodes": ["source.p.shop.users"]}},
 "model.p.b": {"name": "b", "resource_type": "model", "package_name": "p", "original_file_path": "models/b.sql", "fqn": ["p", "b"], "schema": "analytics", "alias": "b",
   "config": {"materialized": "incremental"}, "depends_on": {"nodes": ["source.p.shop.users"]}},
 "model.p.e": {"name": "e", "resource_type": "model", "package_name": "p", "original_file_path": "models/e.sql", "fqn": ["p", "e"], "schema": "analytics", "alias": "e",
   "config": {"materialized": "ephemeral"}, "depends_on": {"nodes": ["model.p.b"]}},
 "model.p.c": {"name": "c", "resource_type": "model", "package_name": "p", "original_file_path": "models/c.sql", "fqn": ["p", "c"], "schema": "analytics_marts", "alias": "c",
   "config": {"materialized": "view", "tags": ["nightly"], "meta": {"owners": "ada@example.com", "deadline": "07:00"}}, "tags": ["nightly"], "depends_on": {"nodes": ["model.p.a", "model.p.e"]},
   "columns": {"z": {"name": "z", "description": "Last letter, first column."}, "id": {"name": "id"}}},
 "test.p.unique_a": {"name": "unique_a_id", "resource_type": "test", "package_name": "p", "original_file_path": "models/s.yml", "fqn": ["p", "unique_a_id"], "attached_node": "model.p.a", "column_name": "id",
   "test_metadata": {"name": "unique", "kwargs": {}}, "config": {"severity": "ERROR"}, "depends_on": {"nodes": ["model.p.a"]}},
 "test.p.rel": {"name": "relationships_a_c", "resource_type": "test", "package_name": "p", "original_file_path": "models/s.yml", "fqn": ["p", "rel"], "attached_node": "model.p.a", "column_name": "id",
   "test_metadata": {"name": "relationships", "kwargs": {"to": "ref('c')", "field": "id"}}, "config": {"severity": "warn"}, "depends_on": {"nodes": ["model.p.c", "model.p.a"]}}
},
"sources": {"source.p.shop.users": {"name": "users", "source_name": "shop", "resource_type": "source", "package_name": "p", "original_file_path": "models/s.yml", "fqn": ["p", "shop", "users"],
   "database": "dbt_night", "schema": "shop", "identifier": "users", "description": "People."}}}`

var tables = []elt.Dataset{{Name: "shop.users", Kind: elt.TableDataset, Relation: "shop.users"}}

func parsed(t *testing.T, text string) (*Project, elt.Problems) {
	t.Helper()
	m, err := decodeManifest([]byte(text), func(why string) error { return fmt.Errorf("it %s", why) })
	if err != nil {
		t.Fatal(err)
	}
	return newProject(m, Options{Folder: "analytics", Tables: tables, Schema: "analytics", Builder: &bench{}})
}

func TestAManifestBecomesDatasets(t *testing.T) {
	p, problems := parsed(t, shop)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []elt.Dataset{
		{Name: "a", Kind: elt.ModelDataset, Inputs: []elt.DatasetName{"shop.users"}, Relation: "analytics.a", Materialized: "table"},
		{Name: "b", Kind: elt.ModelDataset, Inputs: []elt.DatasetName{"shop.users"}, Relation: "analytics.b", Materialized: "incremental"},
		{Name: "c", Kind: elt.ModelDataset, Inputs: []elt.DatasetName{"a", "b"}, Relation: "analytics_marts.c", Materialized: "table", Tags: []string{"nightly"},
			Owners: []string{"ada@example.com"}, DeadlineTime: "07:00", Columns: []elt.ColumnDoc{{Name: "z", Description: "Last letter, first column."}, {Name: "id"}}},
	}
	if diff := cmp.Diff(want, p.Datasets()); diff != "" {
		t.Errorf("datasets (-want +got):\n%s", diff)
	}
	if doc := p.TableDocs()["shop.users"]; doc.Description != "People." {
		t.Errorf("shop.users is described as %+v", doc)
	}
	// The test that reads what is built later is that one's, so that nothing waits for itself.
	if got := map[string][]string{"a": p.Tests("a"), "c": p.Tests("c")}; !cmp.Equal(got, map[string][]string{"a": {"unique(id)"}, "c": {"relationships(id → c.id)"}}) {
		t.Errorf("tests are %v", got)
	}
	if got := p.TestNeeds("c"); !cmp.Equal(got, []elt.DatasetName{"a"}) {
		t.Errorf("the tests of c read %v", got)
	}
	for selector, want := range map[string][]elt.DatasetName{
		"*": {"a", "b", "c"}, "c": {"c"}, "+c": {"a", "b", "c"}, "a+": {"a", "c"}, "tag:nightly": {"c"}, "path:models/b.sql": {"b"}, "source:shop+": {"a", "b", "c"}, "b+,c": {"c"},
	} {
		if got, err := p.Select([]string{selector}); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s selects %v, %v, want %v", selector, got, err, want)
		}
	}
	if _, err := p.Select([]string{"d"}); elt.CodeOf(err) != transform.CodeUnknownSelector {
		t.Errorf("a selector of nothing: %v", err)
	}
}

func TestWhatCannotBeBroughtIsSaid(t *testing.T) {
	for name, c := range map[string]struct{ old, now, want string }{
		"a source of nobody's":    {`"source_name": "shop"`, `"source_name": "bank"`, `analytics/models/s.yml: no schedule extracts the table "bank.users", which is a source of the project; `},
		"another database":        {`"database": "dbt_night"`, `"database": "raw"`, `analytics/models/s.yml: the source shop.users names the database "raw", and Daybreak puts its tables into the one that dbt builds in; remove database: from it`},
		"a name that is none":     {`"name": "b", "resource_type": "model"`, `"name": "b-1", "resource_type": "model"`, `analytics/models/b.sql: the model b-1 cannot be a dataset: "b-1" is not a name of letters, digits and _; rename it`},
		"two of one name":         {`"name": "b", "resource_type": "model"`, `"name": "A", "resource_type": "model"`, `analytics/models/b.sql: the model A and the model a of models/a.sql would be the same dataset a; rename one of the two`},
		"two in one place":        {`"alias": "b"`, `"alias": "A"`, `analytics/models/b.sql: the model b would be published as analytics.A, which is the model a; give it another alias or schema`},
		"in a table's place":      {`"schema": "analytics", "alias": "b"`, `"schema": "shop", "alias": "users"`, `analytics/models/b.sql: the model b would be published as shop.users, which is an extracted table; give it another alias or schema`},
		"a deadline that is none": {`"deadline": "07:00"`, `"deadline": "7 o'clock"`, `analytics/models/c.sql: the deadline "7 o'clock" of the model c is not a time of day; write it under meta as "07:00"`},
		"a test of nothing":       {`"depends_on": {"nodes": ["model.p.c", "model.p.a"]}`, `"depends_on": {"nodes": []}`, `analytics/models/s.yml: warning: the test relationships_a_c reads no dataset, and is not run; have it read the model that it is about`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(shop, c.old, c.now, 1)
			if text == shop {
				t.Fatal("nothing was changed")
			}
			_, problems := parsed(t, text)
			if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), c.want) {
				t.Errorf("got %q, want %q", problems, c.want)
			}
		})
	}
}

const allWell = `says model.p.a success; says model.p.b success; says test.p.unique_a pass; says model.p.c success; says test.p.rel warn "" 3
results model.p.a success model.p.b success test.p.unique_a pass model.p.c success test.p.rel warn`

func TestOneProcessServesEveryStep(t *testing.T) {
	o := fake(t, `[ "$COMMAND" = parse ] && exit; `+allWell)
	e := engineOf(t, o)
	s := nightOf(nil)
	s.Published = func(d elt.DatasetName) bool { return d == "b" }
	for _, d := range []elt.DatasetName{"a", "b", "c"} {
		if _, err := e.Transform(t.Context(), s, d); err != nil {
			t.Fatal(err)
		}
	}
	r, err := e.Test(t.Context(), s, "c")
	want := elt.Result{Checks: elt.ChecksWarned, Notes: []elt.Check{{Name: "relationships(id → c.id)", Severity: "warn", Failures: 3, Message: "relationships(id → c.id) of c found 3 rows, which is a warning"}}}
	if diff := cmp.Diff(want, r); diff != "" || err != nil {
		t.Errorf("the tests of c: %v\n%s", err, diff)
	}
	if got := calls(t, o); !cmp.Equal(got, []string{"parse ", "build fqn:p.a fqn:p.b fqn:p.c fqn:p.unique_a_id fqn:p.rel"}) {
		t.Errorf("dbt was called as %q", got)
	}
	done := nightOf(map[elt.StepID]elt.StepState{"r/transform/a": elt.StepSucceeded, "r/transform/b": elt.StepSucceeded, "r/transform/c": elt.StepSucceeded})
	rows, err := e.Settle(t.Context(), done)
	if err != nil || !cmp.Equal(rows, map[elt.DatasetName]int64{"a": 7, "b": 7, "c": 7}) {
		t.Errorf("settled %v, %v", rows, err)
	}
	b := o.Builder.(*bench)
	slices.Sort(b.lent)
	if !cmp.Equal(b.lent, []string{"published analytics.b as analytics.b", "staged shop.users as shop.users"}) {
		t.Errorf("dbt was lent %q", b.lent)
	}
	if !cmp.Equal(b.collected, []string{"a", "b", "c"}) {
		t.Errorf("collected %q", b.collected)
	}
	if _, err := e.Settle(t.Context(), done); err != nil || len(b.collected) != 3 {
		t.Errorf("settling twice collects %q, %v", b.collected, err)
	}
}

// What an earlier process has built is not built again; what failed is, with what depends on it.
func TestARetrySelectsWhatRemains(t *testing.T) {
	o := fake(t, `[ "$COMMAND" = parse ] && exit
if [ -e "$HERE/mended" ]; then `+allWell+`; else
says model.p.a error "Runtime Error in model a (models/a.sql)\\n  Binder Error: no such thing\\n  LINE 1: x"; says model.p.b success; says model.p.c skipped
results model.p.a error model.p.b success model.p.c skipped; exit 1; fi`)
	e := engineOf(t, o)
	_, err := e.Transform(t.Context(), nightOf(nil), "a")
	if elt.CodeOf(err) != CodeModelFailed || err.Error() != "analytics/models/a.sql: dbt could not build the model a: Binder Error: no such thing" {
		t.Errorf("a fails as %v", err)
	}
	if _, err := e.Transform(t.Context(), nightOf(nil), "b"); err != nil {
		t.Error(err)
	}
	if err := writeFile(filepath.Join(filepath.Dir(o.Command.Program), "mended"), nil); err != nil {
		t.Fatal(err)
	}
	s := nightOf(map[elt.StepID]elt.StepState{"r/transform/b": elt.StepSucceeded})
	again := engineOf(t, o) // another process of Daybreak's
	again.warehouse = e.warehouse
	for _, d := range []elt.DatasetName{"a", "c"} {
		if _, err := again.Transform(t.Context(), s, d); err != nil {
			t.Error(err)
		}
	}
	if got := calls(t, o); !cmp.Equal(got[len(got)-1], "build fqn:p.a fqn:p.c fqn:p.unique_a_id fqn:p.rel") {
		t.Errorf("dbt was called again as %q", got)
	}
	if b := o.Builder.(*bench); !slices.Contains(b.lent, "staged b as analytics.b") || !b.staged["b"] {
		t.Errorf("dbt was lent %q, staged are %v", b.lent, b.staged)
	}
}

// A project is parsed once, until a file, an option or a variable that a file names changes.
func TestAProjectIsParsedOnce(t *testing.T) {
	o := fake(t, "exit 0")
	load := func(want int) {
		t.Helper()
		if _, problems := Load(t.Context(), o); problems.Err() != nil {
			t.Fatal(problems)
		}
		if got := len(calls(t, o)); got != want {
			t.Errorf("dbt was called %d times, want %d", got, want)
		}
	}
	load(1)
	load(1)
	if err := writeFile(filepath.Join(o.Command.Project, "models", "a.sql"), []byte("select '{{ env_var('COUNTRY') }}'")); err != nil {
		t.Fatal(err)
	}
	load(2)
	o.Command.Env = append(slices.Clone(o.Command.Env), "OTHER=1")
	load(2)
	o.Command.Env = append(slices.Clone(o.Command.Env), "COUNTRY=DE")
	load(3)
	o.Vars = map[string]any{"x": 1}
	load(4)
}

// What dbt left of a run is removed when it is old, and not before.
func TestOldRunsAreRemoved(t *testing.T) {
	o := fake(t, `[ "$COMMAND" = parse ] && exit; `+allWell)
	e := engineOf(t, o)
	if _, err := e.Transform(t.Context(), nightOf(nil), "a"); err != nil {
		t.Fatal(err)
	}
	if err := e.build("r").atRest(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		kept  bool
	}{{keptFor - time.Hour, true}, {keptFor + time.Hour, false}} {
		e.options.Now = func() time.Time { return time.Now().Add(c.after) }
		if err := e.sweep(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(e.runFolder("r")); (err == nil) != c.kept {
			t.Errorf("after %s the run's folder is there: %v, want %v", c.after, err == nil, c.kept)
		}
	}
}

// Secrets reach dbt by its environment, and no file.
func TestSecretsAreInNoFile(t *testing.T) {
	const secret = "hunter2-hunter2"
	o := fake(t, `[ "$COMMAND" = parse ] && exit; [ "$TOKEN" = `+secret+` ] && [ -z "$PASSWORD" ] || exit 9; `+allWell)
	o.Command.Env = Environment(append(os.Environ(), "PASSWORD=secret-of-daybreak"), []string{"PASSWORD"}, map[string]string{"TOKEN": secret})
	o.Profile = map[string]any{"secrets": []any{map[string]any{"type": "s3", "secret": "{{ env_var('TOKEN') }}"}}, "settings": map[string]any{"threads": 1}}
	e := engineOf(t, o)
	if _, err := e.Transform(t.Context(), nightOf(nil), "a"); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := filepath.WalkDir(o.State, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(file)
		if strings.Contains(string(b), secret) {
			t.Errorf("%s holds the secret", file)
		}
		if filepath.Base(file) == "profiles.yml" && strings.Contains(string(b), "env_var('TOKEN')") {
			found++
		}
		return err
	})
	if err != nil || found != 2 {
		t.Errorf("%d profiles name the variable, %v", found, err)
	}
}

// Batches end as their model does; the model's own end comes last.
func TestABatchIsNotItsModel(t *testing.T) {
	var got []string
	l := listener{
		batched: map[string]bool{"m": true}, concluded: make(map[string]bool), exception: make(map[string]string),
		report: func(id string, r result) { got = append(got, id+" "+r.status+" "+r.message) },
	}
	for _, line := range []string{
		`{"info": {"name": "NodeFinished"}, "data": {"node_info": {"unique_id": "m"}, "run_result": {"status": "success", "message": ""}}}`,
		`{"info": {"name": "GenericExceptionOnRun"}, "data": {"exc": "Binder Error: no", "node_info": {"unique_id": "m"}}}`,
		`{"info": {"name": "LogModelResult"}, "data": {"node_info": {"unique_id": "m"}, "status": "error"}}`,
		`{"info": {"name": "NodeFinished"}, "data": {"node_info": {"unique_id": "m"}, "run_result": {"status": "partial success", "message": "ERROR"}}}`,
	} {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		l.hear(e)
	}
	if !cmp.Equal(got, []string{"m partial success Binder Error: no"}) {
		t.Errorf("heard %q", got)
	}
}

// The last step that stops waiting stops dbt.
func TestAnAbandonedDBTIsStopped(t *testing.T) {
	o := fake(t, `[ "$COMMAND" = parse ] && exit; says model.p.b success; exec sleep 600`)
	e := engineOf(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := e.Transform(ctx, nightOf(nil), "a")
		ended <- err
	}()
	if _, err := e.Transform(t.Context(), nightOf(nil), "b"); err != nil { // dbt is at work
		t.Fatal(err)
	}
	cancel()
	if err := testenv.Receive(t, "the step ends with its context", ended); err == nil {
		t.Error("the step did not end with its context")
	}
	if err := e.build("r").atRest(t.Context()); err != nil { // returns once dbt is gone
		t.Error(err)
	}
}

func FuzzArtifacts(f *testing.F) {
	f.Add([]byte(shop))
	f.Add([]byte(`{"metadata": {"dbt_schema_version": "/dbt/run-results/v6"}, "results": [{"unique_id": "a", "status": "pass", "failures": 1}]}`))
	f.Add([]byte(`{"metadata": {"dbt_schema_version": "/dbt/manifest/v12"}, "nodes": {"a": {"name": "a", "resource_type": "model", "depends_on": {"nodes": ["a"]}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		broken := func(why string) error { return fmt.Errorf("it %s", why) }
		if _, err := decodeResults(b, broken); err != nil && !strings.HasPrefix(err.Error(), "it ") {
			t.Error(err)
		}
		m, err := decodeManifest(b, broken)
		if err != nil {
			return
		}
		p, _ := newProject(m, Options{Folder: "analytics", Tables: tables, Schema: "analytics", Builder: &bench{}})
		names := maps.Collect(func(yield func(elt.DatasetName, bool) bool) {
			for _, d := range p.Datasets() {
				if !yield(d.Name, true) {
					return
				}
			}
		})
		if len(names) != len(p.Datasets()) {
			t.Error("a dataset comes twice")
		}
	})
}
