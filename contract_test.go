package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/api"
)

// The served API is what its description says: requests that the description allows and ones that it forbids, made by
// schemathesis from the document alone and always the same, find no answer that is not described, nothing accepted
// that is forbidden, nothing refused that is allowed, and no failure of the service. The ledger is PostgreSQL's, which is
// stricter than SQLite about what a text may hold.
func TestTheServedAPIKeepsItsContract(t *testing.T) {
	t.Parallel()
	program := testenv.Schemathesis(t)
	dir := demo(t)
	edit(t, dir, "daybreak.yaml", "ledger: sqlite:state/ledger.db", "ledger: ${env:LEDGER}")
	env := []string{"LEDGER=" + testenv.Postgres(t).Database(t)}
	must(t, dir, env, "run", "--yes")
	change(t, filepath.Join(dir, "production.db"), "ALTER TABLE invoices RENAME TO bills")
	if a := do(t, dir, env, "run", "--again", "--yes"); a.code == 0 {
		t.Fatalf("a night without its table went well:\n%s%s", a.out, a.errors)
	}
	token := strings.TrimSpace(must(t, dir, env, "token", "create", "contract", "--role", "admin").out)
	s, stop := start(t, dir, env, "status-server")
	defer stop()
	run := get[api.Runs](t, s, "/v1/runs").Runs[0]

	config := filepath.Join(t.TempDir(), "schemathesis.toml")
	// What exists is given, so that more than refusals is seen; a token that exists would end the test's own.
	text := fmt.Sprintf(`seed = 20261122
[auth.openapi.token]
bearer = "%[1]s"
[parameters]
"path.dataset" = "mrr"
"path.run" = "%[2]s"
"path.date" = "%[3]s"
"path.file" = "mrr.svg"
"path.token" = "nobody"
"query.from" = "%[3]s"
"query.to" = "%[3]s"
"query.need" = "mrr@%[3]s"
"query.as_of" = "%[4]s"

# Of these the document says which fields there are, and not which of them go together.
[[operations]]
include-path-regex = "^/v1/(backfills|maintenance)"
[operations.checks.positive_data_acceptance]
enabled = false
`, token, run.ID, run.Date, time.Now().UTC().Format(time.RFC3339))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The stream of events does not end, and the pages are for people: other tests hold both against the document.
	cmd := command(t, program, "--config-file", config, "run", s.url+"/openapi.json",
		"--exclude-path", "/v1/events", "--exclude-tag", "pages", "--phases", "coverage,fuzzing", "--max-examples", "5",
		"--request-timeout", "120", "--suppress-health-check", "too_slow", "--generation-database", "none", "--no-color")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("schemathesis: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "passed") || strings.Contains(string(out), "Authentication failed") {
		t.Errorf("schemathesis did not try what it should:\n%s", out)
	}
	t.Logf("%s", out[max(0, len(out)-400):])
}
