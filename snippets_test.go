package main

import (
	"cmp"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

var shownSnippet = regexp.MustCompile(`(?s)<details id="wait-(\w+)".*?<pre[^>]*>(.*?)</pre>`)

// stand-ins for what Airflow gives a sensor: enough to run it, to wait as long as it defers for, and to run it again.
const airflowStandIns = `
import importlib, sys, time, types
def module(name, **members):
    m = types.ModuleType(name)
    m.__dict__.update(members)
    sys.modules[name] = m
class AirflowFailException(Exception): pass
class Deferred(BaseException): pass
class TimeDeltaTrigger:
    def __init__(self, delta): self.delta = delta
class BaseSensorOperator:
    def __init__(self, task_id): self.task_id = task_id
    def defer(self, *, trigger, method_name): raise Deferred(trigger, method_name)
for package in ("airflow", "airflow.providers", "airflow.providers.standard", "airflow.providers.standard.triggers"): module(package)
module("airflow.exceptions", AirflowFailException=AirflowFailException)
module("airflow.sdk", BaseSensorOperator=BaseSensorOperator)
module("airflow.providers.standard.triggers.temporal", TimeDeltaTrigger=TimeDeltaTrigger)
sensor, next, event = importlib.import_module("daybreak").DaybreakSensor(task_id="data", need=sys.argv[1]), "execute", {}
while True:
    try:
        getattr(sensor, next)({}, **event)
        break
    except Deferred as deferred:
        trigger, next = deferred.args
        event = {"event": None}
        time.sleep(trigger.delta.total_seconds())
`

// sometimesAway returns the address of a service in front of another: while away is set, it answers the next request that it
// cannot vouch for anything just now.
func sometimesAway(t *testing.T, address string) (front string, away *atomic.Bool) {
	t.Helper()
	behind, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	away = new(atomic.Bool)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.CompareAndSwap(true, false) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, away
}

// Each text that a dataset's page offers to copy does what it says when it is run as it stands: it ends well for a day that
// is ready, and fails for one that waiting cannot help. All but the shortest outlive a service that is away for a moment.
func TestSnippets(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t)
	ready, gone := "mrr@"+date.AddDays(-1).String(), "revenue_by_currency@"+date.String()
	change(t, filepath.Join(dir, "production.db"), "ALTER TABLE invoices RENAME TO bills")
	wantRefusal(t, do(t, dir, nil, "run", "--date", date.String()), 78, "table_missing")
	edit(t, dir, "daybreak.yaml", "public: true ", "public: false")
	token := strings.TrimSpace(must(t, dir, nil, "token", "create", "jobs").out)
	s, stop := start(t, dir, nil, "status-server")
	defer stop()

	front, away := sometimesAway(t, s.url)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front+"/datasets/mrr", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir() // daybreak is this very program; dbt notes that it was begun
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"daybreak": asProgram + "=1 exec " + program + ` "$@"`, "dbt": `echo "$@" > dbt-began`} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := map[string]func(dir, file, need string) *exec.Cmd{
		"shell":  func(_, file, _ string) *exec.Cmd { return exec.Command("sh", file) },
		"curl":   func(_, file, _ string) *exec.Cmd { return exec.Command("bash", "-o", "pipefail", file) },
		"dbt":    func(_, file, _ string) *exec.Cmd { return exec.Command("sh", file) },
		"python": func(_, file, _ string) *exec.Cmd { return exec.Command("python3", file) },
		"go": func(dir, file, _ string) *exec.Cmd {
			cmd := exec.Command("go", "run", file)
			cmd.Dir = here
			return cmd
		},
		"airflow": func(dir, _, need string) *exec.Cmd {
			cmd := exec.Command("python3", "-c", airflowStandIns, need)
			cmd.Env = append(os.Environ(), "PYTHONPATH="+dir)
			return cmd
		},
	}
	file := map[string]string{"go": "wait.go", "airflow": "daybreak.py", "python": "wait.py"}
	needs := regexp.MustCompile(`mrr@\d{4}-\d\d-\d\d`)
	found := shownSnippet.FindAllStringSubmatch(string(page), -1)
	if len(found) != len(run) {
		t.Fatalf("the page shows %d snippets of %d", len(found), len(run))
	}
	for _, m := range found {
		for need, well := range map[string]bool{ready: true, gone: false} {
			t.Run(m[1]+" "+need, func(t *testing.T) {
				dir := t.TempDir()
				name := filepath.Join(dir, cmp.Or(file[m[1]], "snippet.sh"))
				text := needs.ReplaceAllLiteralString(html.UnescapeString(m[2]), need)
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				plain := run[m[1]](dir, name, need)
				cmd := command(t, plain.Path, plain.Args[1:]...)
				cmd.Dir, cmd.Env = plain.Dir, append(plain.Environ(), "DAYBREAK_TOKEN="+token, "PATH="+bin+":"+os.Getenv("PATH"))
				if cmd.Dir == "" {
					cmd.Dir = dir
				}
				away.Store(m[1] != "curl") // which asks once, whatever comes
				out, err := cmd.CombinedOutput()
				if away.Load() && m[1] != "curl" {
					t.Error("it has asked nobody")
				}
				if (err == nil) != well {
					t.Errorf("%v\n%s\n%s", err, out, text)
				}
				if !well && m[1] != "curl" && m[1] != "dbt" && !strings.Contains(strings.ToLower(string(out)), "impossible") && !strings.Contains(string(out), "app.invoices") {
					t.Errorf("it does not say why: %s", out)
				}
				if _, err := os.Stat(filepath.Join(dir, "dbt-began")); m[1] == "dbt" && (err == nil) != well {
					t.Errorf("dbt began: %v, the day is ready: %v", err == nil, well)
				}
			})
		}
	}
}
