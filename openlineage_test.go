package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A night that happens while nobody serves, and while Marquez is not asked at all, is told to it afterwards; after a kill
// between telling and recording, the same event comes again under the same key, and nothing else does.
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
`, "schedules/nightly.yaml": "at: \"00:00\"\ntimezone: UTC\nstart: 2099-01-01\ntables:\n  shop.users: {table: users, mode: full, key: [id]}\n"})
	trusted := filepath.Join(dir, "trusted.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: marquez.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"MARQUEZ=" + marquez.URL, "SSL_CERT_FILE=" + trusted}
	production(t, dir, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')")
	_, stop := serve(t, dir, env)
	stop()
	must(t, dir, env, "run", "--yes", "--date", elt.Date{Year: 2026, Month: 1, Day: 5}.String())

	_, stop = serve(t, dir, env)
	var got []string
	keys := make(map[string]bool)
	for _, l := range await(t, told, `"COMPLETE","producer":"https://github.com/daybreak-data/daybreak/tree/v0.1.0","schemaURL":"https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent","run":{"runId":"`) {
		var e struct {
			EventType string
			Job       struct{ Name string }
		}
		if err := json.Unmarshal([]byte(l.body), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(e.EventType, " ", e.Job.Name))
		keys[l.key] = true
	}
	stop()
	if diff := cmp.Diff([]string{"START nightly", "START nightly.extract.shop.users", "COMPLETE nightly.extract.shop.users"}, got); diff != "" {
		t.Error(diff)
	}
}
