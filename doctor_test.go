package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// Doctor finds what is wrong around a workspace, one line each, and changes nothing.
func TestDoctor(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	before := contents(t, dir)
	a := must(t, dir, nil, "doctor")
	for _, want := range []string{"ledger's clock", "writes once, reads back bit by bit, deletes", "6 tables can be read", "Europe/Dublin", "nobody_told", "0 failed"} {
		if !strings.Contains(a.out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, a.out)
		}
	}
	_, stop := serve(t, dir, nil)
	must(t, dir, nil, "doctor") // beside everything else
	stop()

	found := func(env ...string) map[string]string {
		t.Helper()
		a := do(t, dir, env, "doctor", "--output", "json")
		var list []struct{ Check, Result, Code, What, Do string }
		if err := json.Unmarshal([]byte(a.out), &list); err != nil {
			t.Fatalf("%v in %s", err, a.out)
		}
		out, failed := make(map[string]string), false
		for _, f := range list {
			out[f.Check] = f.Result + " " + f.Code
			failed = failed || f.Result == "fail"
			if f.Result == "fail" && (f.What == "" || f.Do == "") {
				t.Errorf("%s fails without a word: %+v", f.Check, f)
			}
		}
		if (a.code == 69) != failed {
			t.Errorf("exit %d: %v", a.code, out)
		}
		return out
	}
	move(t, filepath.Join(dir, "production.db"), filepath.Join(dir, "gone.db"))
	schema := ask(t, filepath.Join(dir, "state", "ledger.db"), "SELECT value FROM counters WHERE name = 'schema'")[0][0]
	change(t, filepath.Join(dir, "state", "ledger.db"), "UPDATE counters SET value = 999 WHERE name = 'schema'")
	edit(t, dir, "daybreak.yaml", "ledger:", "notify: {allow_private: true, webhooks: [{name: ops, url: 'http://127.0.0.1:1/hook', secret: 'a-secret-of-32-characters-at-least'}]}\nledger:")
	remove(t, filepath.Join(dir, "read", "warehouse.duckdb"))
	got := found()
	for check, want := range map[string]string{
		"files": "ok ", "ledger": "fail ledger_newer", "source app": "fail source_unreachable", "webhook ops": "fail destination_unreachable", "warehouse": "fail read_copy_missing", "lake": "ok ",
	} {
		if got[check] != want {
			t.Errorf("%s: %q, want %q", check, got[check], want)
		}
	}
	edit(t, dir, "daybreak.yaml", "sources:", "source:")
	if got := found(); got["files"] == "ok " || !strings.HasPrefix(got["files"], "fail ") {
		t.Errorf("a workspace that cannot be read: %v", got)
	}
	move(t, filepath.Join(dir, "gone.db"), filepath.Join(dir, "production.db"))
	edit(t, dir, "daybreak.yaml", "source:", "sources:")
	change(t, filepath.Join(dir, "state", "ledger.db"), "UPDATE counters SET value = "+schema+" WHERE name = 'schema'")
	must(t, dir, nil, "run", "--date", lastDate(t).AddDays(-1).String())
	if after := contents(t, dir); len(after) != len(before) {
		t.Errorf("%d relations are published, %d were", len(after), len(before))
	}
}
