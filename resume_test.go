package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// TestKilledWhileExtracting kills a night in the middle of its second table: the first one's parts serve the next
// process, and the second one, whose snapshot died with its sessions, is read anew and says so.
func TestKilledWhileExtracting(t *testing.T) {
	t.Parallel()
	server := testenv.Postgres(t)
	psql := command(t, filepath.Join(server.Bin, "psql"), "-Xqc",
		"CREATE TABLE small AS SELECT i AS id FROM generate_series(1, 10) i; CREATE TABLE large AS SELECT i AS id, repeat(md5(i::text), 30) AS v FROM generate_series(1, 50000) i", server.URL)
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	proxy := testenv.Toxiproxy(t).Before(t, server.URL)
	proxy.Add(t, testenv.Bandwidth(150), testenv.Answers) // 50 MB take longer than anybody's patience
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml": "sources:\n  shop: {postgres: \"${env:SHOP_URL}\"}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
tables:
  shop.small: {table: public.small, mode: full}
  shop.large: {table: public.large, mode: full}
`,
	})
	night := program(t.Context(), t, dir, []string{"SHOP_URL=" + proxy.URL}, "run", "--yes")
	var said bytes.Buffer
	night.Stdout, night.Stderr = &said, &said
	if err := night.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	env := []string{"SHOP_URL=" + server.URL}
	for deadline := time.After(patience); !strings.Contains(do(t, dir, env, "status", "shop.small").out, "appears when the night is published"); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the small table did not come within %s\n%s", patience, &said)
		}
	}
	if err := night.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := night.Wait(); err == nil {
		t.Fatalf("the night was over before it was killed\n%s", &said)
	}
	must(t, dir, env, "run", "--yes")
	for dataset, want := range map[string]struct {
		attempt    string
		rows       int64
		consistent bool
	}{"shop.small": {"attempt=1", 10, true}, "shop.large": {"attempt=2", 50_000, false}} {
		found, err := filepath.Glob(filepath.Join(dir, "lake", dataset, "*", "*", "*", "manifest.json"))
		if err != nil || len(found) != 1 || filepath.Base(filepath.Dir(found[0])) != want.attempt {
			t.Errorf("%s: the lake has the manifests %v, expected one of %s (%v)", dataset, found, want.attempt, err)
			continue
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		m, err := elt.DecodeManifest(text)
		if err != nil {
			t.Fatal(err)
		}
		if m.Rows() != want.rows || m.Source.CrossTableConsistent != want.consistent {
			t.Errorf("%s: the manifest has %d rows of %+v", dataset, m.Rows(), m.Source)
		}
	}
}
