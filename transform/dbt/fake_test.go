package dbt

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// bench is a place to build that keeps files only in a list, and a warehouse that stages by name.
type bench struct {
	mu        sync.Mutex
	lent      []string
	collected []string
	staged    map[elt.DatasetName]bool
	prepare   error
}

func (b *bench) Profile() map[string]any {
	return map[string]any{"type": "duckdb", "path": "{{ env_var('DAYBREAK_DBT_FILE') }}"}
}
func (b *bench) Idle(folder string, _ bool, _ []Input) Site {
	return Site{Env: map[string]string{"DAYBREAK_DBT_FILE": folder}}
}
func (b *bench) Prepare(_ context.Context, p Place, inputs []Input) (Site, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range inputs {
		b.lent = append(b.lent, fmt.Sprintf("%s as %s.%s", x.From, x.Schema, x.Name))
	}
	return Site{Env: map[string]string{"DAYBREAK_DBT_FILE": p.Folder}}, b.prepare
}
func (b *bench) Collect(_ context.Context, _ Place, built []elt.Exchange) (map[elt.DatasetName]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range built {
		b.staged[x.Dataset] = true
		b.collected = append(b.collected, string(x.Dataset))
	}
	return nil, nil
}
func (b *bench) Discard(context.Context, Place) error         { return nil }
func (b *bench) Staged(_ elt.RunID, d elt.DatasetName) string { return "staged " + string(d) }
func (b *bench) Published(relation string) string             { return "published " + relation }
func (b *bench) Count(context.Context, string) (int64, error) { return 7, nil }
func (b *bench) HasStaged(_ context.Context, _ elt.RunID, d elt.DatasetName) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.staged[d], nil
}
func (b *bench) Unstage(_ context.Context, _ elt.RunID, ds []elt.DatasetName) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range ds {
		delete(b.staged, d)
	}
	return nil
}

// fake is a dbt that does what a script says. $OUT is its target folder; says NODE STATUS MESSAGE writes what dbt's log
// would say of a node, results lines of NODE STATUS make a run_results.json.
func fake(t *testing.T, script string) Options {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "dbt")
	project := filepath.Join(dir, "analytics")
	for file, content := range map[string]string{
		filepath.Join(project, "dbt_project.yml"): "name: p\n",
		filepath.Join(dir, "manifest.json"):       shop,
		program: `#!/bin/bash
while [ $# -gt 0 ]; do
	case $1 in
	--target-path) OUT=$2 ;;
	--profiles-dir) PROFILES=$2 ;;
	--vars) VARS=$2 ;;
	parse | build | test) COMMAND=$1 ;;
	--select) shift; SELECTED="$*" ;;
	esac
	shift
done
mkdir -p "$OUT"
HERE=` + dir + `
echo "$COMMAND $SELECTED" >>"$HERE/calls"
says() { printf '{"info": {"name": "NodeFinished"}, "data": {"node_info": {"unique_id": "%s"}, "run_result": {"status": "%s", "message": "%s", "num_failures": %d}}}\n' "$1" "$2" "$3" "${4:-0}"; }
wrong() { printf '{"info": {"name": "MainEncounteredError", "msg": "Encountered an error:\\n%s"}, "data": {}}\n' "$1"; }
results() {
	{ printf '{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}, "results": ['
	sep=
	while [ $# -gt 1 ]; do printf '%s{"unique_id": "%s", "status": "%s", "message": "", "failures": null}' "$sep" "$1" "$2"; sep=,; shift 2; done
	printf ']}'; } >"$OUT/run_results.json"
}
if [ "$COMMAND" = parse ]; then cp "$HERE/manifest.json" "$OUT/manifest.json"; fi
` + script,
	} {
		if err := writeFile(file, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	return Options{
		Command: Command{Program: program, Project: project, Env: os.Environ(), Log: slog.New(slog.DiscardHandler)},
		Folder:  "analytics", State: filepath.Join(dir, "state"), Builder: &bench{staged: make(map[elt.DatasetName]bool)},
		Target: "prod", Schema: "analytics", Threads: 2, Tables: tables, Now: time.Now,
	}
}

// calls returns how the fake dbt was called.
func calls(t *testing.T, o Options) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(o.Command.Program), "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// night is a run of the project whose table is loaded; states are those of other steps.
func nightOf(states map[elt.StepID]elt.StepState) transform.Scope {
	s := transform.Scope{Run: "r", Date: elt.Date{Year: 2026, Month: time.January, Day: 5}, Staged: map[elt.DatasetName]bool{"shop.users": true}}
	s.Window = s.Date.Window(time.UTC)
	for _, st := range []elt.StepID{"r/verify/shop.users", "r/transform/a", "r/test/a", "r/transform/b", "r/transform/c", "r/test/c"} {
		state := elt.StepPending
		if st == "r/verify/shop.users" {
			state = elt.StepSucceeded
		}
		if given, ok := states[st]; ok {
			state = given
		}
		parts := strings.SplitN(string(st), "/", 3)
		s.Steps = append(s.Steps, elt.Step{ID: st, Run: "r", Kind: elt.StepKind(parts[1]), Dataset: elt.DatasetName(parts[2]), State: state})
		if parts[1] == "transform" && state == elt.StepSucceeded {
			s.Staged[elt.DatasetName(parts[2])] = true
		}
	}
	return s
}

func engineOf(t *testing.T, o Options) *Engine {
	t.Helper()
	p, problems := Load(t.Context(), o)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	e := New(o, p, o.Builder.(*bench))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
