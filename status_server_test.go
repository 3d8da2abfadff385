package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/api"
)

// The status outlives the pipeline: a server of its own answers while nothing else runs, beside one that works, and
// while the ledger is away, when it shows what it knew with its age and opens no gate.
func TestStatusOutlivesThePipeline(t *testing.T) {
	t.Parallel()
	dir := demo(t)
	ledger := testenv.Postgres(t).Database(t)
	file := filepath.Join(dir, "daybreak.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "ledger: sqlite:state/ledger.db", "ledger: ${env:LEDGER}", 1)
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := do(t, dir, []string{"LEDGER=" + ledger}, "status-server", "--listen", "127.0.0.1:0"); a.code == 0 {
		t.Errorf("it serves a ledger that was never made: %s%s", a.out, a.errors)
	}
	must(t, dir, []string{"LEDGER=" + ledger}, "run", "--yes")

	proxy := testenv.Toxiproxy(t).Before(t, ledger)
	s, stop := start(t, dir, []string{"LEDGER=" + proxy.URL}, "status-server")
	defer stop()
	date := get[api.OneDataset](t, s, "/v1/datasets/mrr").Headline.LatestReady.String()
	ask := func(path string) (int, string) {
		t.Helper()
		answer, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	gate := "/v1/ready?need=mrr@" + date
	until(t, "the gate is open", func() bool {
		status, body := ask(gate)
		return status == http.StatusOK && strings.Contains(body, `"ready":true`)
	})
	proxy.Cut(t)
	until(t, "the gate closes", func() bool { status, _ := ask(gate); return status == http.StatusServiceUnavailable })
	if status, page := ask("/"); status != http.StatusOK || !strings.Contains(page, "mrr") || !strings.Contains(page, "UNKNOWN") {
		t.Errorf("while the ledger is away the overview is %d", status)
	}
	proxy.Restore(t)
	until(t, "the gate opens again", func() bool { status, _ := ask(gate); return status == http.StatusOK })
	until(t, "the ledger was read within 30 s", func() bool { return get[api.Summary](t, s, "/v1/summary").EvaluatorLag <= 30 })
}
