package main

import (
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// shop is the workspace of one table and a model of it, with a deadline that every night misses if it is late at all.
var shop = map[string]string{
	"schedules/nightly.yaml": `
at: "00:00"
timezone: UTC
deadline: "00:01"
owners: [growth@example.com, data@example.com]
tables:
  shop.users: {table: users, mode: full, key: [id]}
`,
	"sql/models/crowd.sql": "select count(*) as people from {{ source('shop', 'users') }}\n",
	"sql/models/schema.yml": `
version: 2
models:
  - name: crowd
    meta: {owners: [finance@example.com, data@example.com], deadline: "00:01"}
`,
	"daybreak.yaml": `
sources:
  shop: {sqlite: shop.db}
status: {public: true, base_url: "https://data.example.com"}
notify:
  slack: {webhook: "${env:SLACK_WEBHOOK}"}
  webhooks:
    - {name: pager, url: "${env:PAGER_URL}", secret: "${env:PAGER_SECRET}"}
    - {name: dead, url: "${env:DEAD_URL}", secret: "${env:PAGER_SECRET}"}
  allow_private: true
`,
}

// letter is a message that a destination got.
type letter struct {
	key  string
	body string
}

// mailbox is a server on loopback that takes messages over TLS.
func mailbox(t *testing.T) (s *httptest.Server, letters chan letter) {
	t.Helper()
	letters = make(chan letter, 100)
	s = httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		letters <- letter{r.Header.Get("Idempotency-Key"), string(body)}
	}))
	t.Cleanup(s.Close)
	return s, letters
}

// await returns the letters up to the first one that holds the text.
func await(t *testing.T, letters chan letter, text string) (got []letter) {
	t.Helper()
	for over := time.After(patience); ; {
		select {
		case l := <-letters:
			if got = append(got, l); strings.Contains(l.body, text) {
				return got
			}
		case <-over:
			t.Fatalf("nobody was told %q, but: %v", text, got)
		}
	}
}

// A table disappears from production: whoever must know is told before they ask, and told again when its data is there.
func TestAMissingTableIsToldToSlackUntilItsDataIsThere(t *testing.T) {
	t.Parallel()
	slack, told := mailbox(t)
	pager, paged := mailbox(t)
	over := make(chan struct{})
	dead := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over })) // it never answers, and holds up nobody
	t.Cleanup(func() { close(over); dead.Close() })
	dir := t.TempDir()
	write(t, dir, shop)
	edit(t, dir, "schedules/nightly.yaml", "timezone: UTC", "timezone: "+noon(t).String())
	trusted := filepath.Join(dir, "trusted.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: slack.Certificate().Raw})
	if err := os.WriteFile(trusted, certificate, 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"SLACK_WEBHOOK=" + slack.URL + "/services/hunter2", "PAGER_URL=" + pager.URL + "/hunter2", "PAGER_SECRET=hunter2-0123456789", "DEAD_URL=" + dead.URL + "/hunter2",
		"SSL_CERT_FILE=" + trusted,
	}
	production := func(statements string) {
		t.Helper()
		db, err := sql.Open("sqlite", filepath.Join(dir, "shop.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	production("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')")
	before := lastNoon(t).AddDays(-1)
	must(t, dir, env, "run", "--yes", "--date", before.String()) // who never had data was promised none
	decided(t, dir, before)                                      // the next tick is in the past, and due
	production("ALTER TABLE users RENAME TO renamed")

	s, stop := serve(t, dir, env)
	opened := await(t, told, "table_missing")
	if !strings.HasSuffix(opened[0].key, "/opened/1/slack") || !strings.Contains(opened[0].body, "shop.users") {
		t.Errorf("Slack was told first: %+v", opened[0])
	}
	last := opened[len(opened)-1].body
	for _, want := range []string{"shop.users failed to extract", "holds up crowd", "growth@example.com", "finance@example.com", "tried once to extract it", "https://data.example.com/datasets/shop.users/"} {
		if !strings.Contains(last, want) {
			t.Errorf("Slack was not told %q: %s", want, last)
		}
	}
	pages := await(t, paged, "table_missing")
	var news struct {
		Event    string
		Incident struct {
			ID   string
			Date elt.Date
		}
	}
	if err := json.Unmarshal([]byte(pages[len(pages)-1].body), &news); err != nil {
		t.Fatal(err)
	}
	stop()
	for line := range s.says.rest() {
		if strings.Contains(line, "hunter2") {
			t.Errorf("the log shows a secret: %s", line)
		}
	}

	production("ALTER TABLE renamed RENAME TO users")
	must(t, dir, env, "run", "--yes", "--date", news.Incident.Date.String())
	_, stop = serve(t, dir, env)
	resolved := await(t, told, "is resolved after")
	ledger := filepath.Join(dir, "state", "ledger.db")
	until(t, "everybody who answers was told", func() bool {
		return len(ask(t, ledger, `SELECT id, state, error FROM outbox WHERE state <> 'delivered' AND destination <> 'dead'`)) == 0
	})
	stop()
	end := resolved[len(resolved)-1]
	if !strings.HasPrefix(end.key, news.Incident.ID+"/resolved/") || !strings.Contains(end.body, "crowd and shop.users are no longer late") {
		t.Errorf("Slack was told in the end: %+v", end)
	}
	if waiting := ask(t, ledger, `SELECT id FROM outbox WHERE state <> 'delivered' AND destination = 'dead'`); len(waiting) < 2 {
		t.Errorf("only these messages wait for who never answers: %v", waiting)
	}
	if secrets := ask(t, ledger, `SELECT id, notice, error FROM outbox WHERE notice || COALESCE(error, '') LIKE '%hunter2%'`); len(secrets) > 0 {
		t.Errorf("the ledger holds secrets: %v", secrets)
	}
}
