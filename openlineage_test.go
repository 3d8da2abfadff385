package main

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A night that happens while nobody tells of it is told afterwards. After a kill between telling and recording, that event
// comes again under the same key, and nothing else does.
func TestANightIsToldToMarquez(t *testing.T) {
	t.Parallel()
	marquez, told := mailbox(t)
	dir := t.TempDir()
	write(t, dir, shop)
	write(t, dir, map[string]string{"daybreak.yaml": `
sources: {shop: {sqlite: shop.db}}
status: {public: true}
openlineage: {url: "${env:MARQUEZ}", namespace: shop}
notify: {allow_private: true}
`, "schedules/nightly.yaml": "at: \"00:00\"\ntimezone: UTC\ntables:\n  shop.users: {table: users, mode: full, key: [id]}\n"})
	trusted := filepath.Join(dir, "trusted.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: marquez.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"MARQUEZ=" + marquez.URL, "SSL_CERT_FILE=" + trusted}
	change(t, filepath.Join(dir, "shop.db"), "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')")
	_, stop := serve(t, dir, env) // from now on it is to be told
	stop()
	must(t, dir, env, "run", "--yes", "--date", "2026-01-05")
	killed := do(t, dir, append(env, crashAt+"=notify.sent@3"), "serve", "--listen", "127.0.0.1:0")
	if killed.code >= 0 {
		t.Error("it was not killed")
	}
	change(t, ledgerIn(dir), "UPDATE lineage SET lease_until = claimed_at")
	s, stop := serve(t, dir, env)
	var got []string
	seen, again := make(map[string]string), 0
	for len(got) == 0 || got[len(got)-1] != "COMPLETE nightly" {
		l := await(t, told, "{")[0]
		if body, known := seen[l.key]; known {
			if again++; body != l.body || again > 100 {
				t.Fatalf("%s was told as\n%s\nand then, after %d that came again, as\n%s", l.key, body, again, l.body)
			}
			continue
		}
		seen[l.key] = l.body
		var e struct {
			EventType string
			Job       struct{ Name string }
			Outputs   []struct{ Namespace, Name string }
		}
		if err := json.Unmarshal([]byte(l.body), &e); err != nil {
			t.Fatal(err)
		}
		line := e.EventType + " " + e.Job.Name
		for _, o := range e.Outputs {
			line += " > " + o.Name
		}
		got = append(got, line)
	}
	lake := " > " + filepath.Join(dir, "lake") + "/shop.users"
	want := []string{
		"START nightly", "START nightly.extract.shop.users" + lake, "COMPLETE nightly.extract.shop.users" + lake,
		"START nightly.load.shop.users > warehouse.shop.users", "COMPLETE nightly.load.shop.users > warehouse.shop.users",
		"START nightly.verify.shop.users", "COMPLETE nightly.verify.shop.users",
		"START nightly.transform.crowd > warehouse.analytics.crowd", "COMPLETE nightly.transform.crowd > warehouse.analytics.crowd",
		"START nightly.publish", "COMPLETE nightly.publish", "COMPLETE nightly",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	stop()
	log := killed.errors + strings.Join(slices.Collect(s.says.rest()), "\n")
	if again != 1 && (again == 0 || !strings.Contains(log, "a message is delayed")) { // for want of an answer in ten seconds
		t.Errorf("%d events came again after the kill, want the one that was on its way:\n%s", again, log)
	}
}
