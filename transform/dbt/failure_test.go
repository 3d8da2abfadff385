package dbt

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

func TestEveryWayInWhichDBTFailsNamesTheModel(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		code   elt.Code
		class  elt.Class
		says   string
	}{
		"a model":             {`says model.p.a error "Runtime Error in model a (models/a.sql)\\n  Binder Error: no"; results model.p.a error; exit 1`, CodeModelFailed, elt.Data, "analytics/models/a.sql: dbt could not build the model a: Binder Error: no"},
		"a template":          {`says model.p.a error "Compilation Error in model a (models/a.sql)\\n  what is this\\n    line 3\\n      {%"; results model.p.a error; exit 1`, CodeModelFailed, elt.Config, "analytics/models/a.sql:3: dbt could not build the model a: what is this line 3 {%"},
		"a full disk":         {`says model.p.a error "IO Error: No space left on device"; results model.p.a error; exit 1`, codeDiskFull, elt.Quota, "model a"},
		"no memory":           {`says model.p.a error "Out of Memory Error: failed to allocate"; results model.p.a error; exit 1`, codeMemory, elt.Quota, "model a"},
		"a server's fault":    {`says model.p.a error "Database Error: backendError"; results model.p.a error; exit 1`, CodeModelFailed, elt.Transient, "model a"},
		"some batches":        {`says model.p.a "partial success" "PARTIAL SUCCESS (2/3)"; results model.p.a "partial success"; exit 1`, CodeModelFailed, elt.Data, "model a: PARTIAL SUCCESS (2/3)"},
		"only in its results": {`results model.p.a error; exit 1`, CodeModelFailed, elt.Data, "model a"},
		"killed":              {`kill -9 $$`, CodeKilled, elt.Transient, "dbt was ended by a signal (killed) before it was done with the model a"},
		"killed in a shell":   {`exit 137`, CodeKilled, elt.Transient, "the model a"},
		"no results":          {`exit 0`, CodeArtifact, elt.Data, "the model a: dbt's"},
		"results are rubbish": {`echo '{"results": [' >"$OUT/run_results.json"`, CodeArtifact, elt.Data, "the model a: dbt's"},
		"results of others":   {`echo '{"metadata": {}, "results": []}' >"$OUT/run_results.json"`, CodeArtifact, elt.Data, "does not say that it holds results"},
		"not a word":          {`results model.p.b success`, CodeIncomplete, elt.Data, "dbt ended well and says nothing of the model a"},
		"badly, not a word":   {`results model.p.b success; echo Oops >&2; exit 3`, CodeFailed, elt.Data, "dbt ended with exit code 3 and says nothing of the model a: Oops"},
		"it cannot begin":     {`wrong "Runtime Error\\n  Could not find profile"; exit 2`, CodeParse, elt.Config, "dbt did not get as far as the model a: Could not find profile"},
		"no adapter":          {`wrong "Runtime Error\\n  Could not find adapter type duckdb!"; exit 2`, CodeAdapterMissing, elt.Config, "the model a"},
		"no room to begin":    {`wrong "[Errno 28] No space left on device"; exit 2`, codeDiskFull, elt.Quota, "the model a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engineOf(t, fake(t, `[ "$COMMAND" = parse ] && exit; `+c.script))
			_, err := e.Transform(t.Context(), nightOf(nil), "a")
			if f := elt.NewFailure(err); err == nil || f.Code != c.code || f.Class != c.class || !strings.Contains(err.Error(), c.says) || f.Do == "" {
				t.Errorf("got %+v, want %s (%s) with %q", f, c.code, c.class, c.says)
			}
		})
	}
}

func TestEveryWayInWhichAParseFailsIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   string
	}{
		"a template":     {`wrong "Compilation Error in model b (models/b.sql)\\n  unexpected end of template\\n    line 4\\n      {{ x"; exit 2`, "analytics/models/b.sql:4: unexpected end of template line 4 {{ x; correct it; dbt parse says the same [dbt_parse_failed]"},
		"yaml":           {`wrong "Parsing Error\\n  Error reading p: bad.yml - Runtime Error\\n    Syntax error near line 7\\n    ------\\n    1 | x"; exit 2`, "analytics/bad.yml:7: Error reading p: bad.yml - Runtime Error Syntax error near line 7; correct it; dbt parse says the same [dbt_parse_failed]"},
		"packages":       {`wrong "Compilation Error\\n  dbt found 1 package(s), but only 0 installed. Run dbt deps to install."; exit 2`, `run dbt deps in analytics [dbt_parse_failed]`},
		"no adapter":     {`wrong "Runtime Error\\n  Could not find adapter type duckdb!"; exit 2`, "install the adapter beside dbt: pip install dbt-duckdb, or dbt-bigquery where the warehouse is BigQuery [dbt_adapter_missing]"},
		"no dbt at all":  {`echo what; exit 1`, "analytics/dbt_project.yml: dbt parse ended with exit code 1: what; check that models.dbt_command is dbt; run dbt parse in analytics [dbt_failed]"},
		"silence":        {`exit 5`, "analytics/dbt_project.yml: dbt parse ended with exit code 5 and says nothing; run dbt parse in analytics and see what it says [dbt_failed]"},
		"no manifest":    {`rm "$OUT/manifest.json"`, "is missing, although dbt says that it parsed the project"},
		"rubbish":        {`echo '{{{' >"$OUT/manifest.json"`, "is not what dbt writes"},
		"another thing":  {`echo '{}' >"$OUT/manifest.json"`, "has no nodes or does not say that it is one"},
		"another engine": {`sed -i 's/"duckdb"/"postgres"/' "$OUT/manifest.json"`, "dbt parsed the project for postgres, but the warehouse is duckdb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(t.Context(), fake(t, c.script))
			if len(problems) != 1 || !strings.Contains(fmt.Sprintf("%s [%s]", problems[0], problems[0].Code), c.want) {
				t.Errorf("got %q, want %q", problems, c.want)
			}
		})
	}
	o := fake(t, "exit 0")
	o.Command.Program = filepath.Join(t.TempDir(), "nowhere", "dbt")
	if _, problems := Load(t.Context(), o); len(problems) != 1 || problems[0].Code != CodeNotFound {
		t.Errorf("a dbt that is not there: %q", problems)
	}
	o.Command.Project = t.TempDir()
	if _, problems := Load(t.Context(), o); len(problems) != 1 || problems[0].Code != CodeProjectMissing {
		t.Errorf("a project that is not there: %q", problems)
	}
}
