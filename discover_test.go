package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// messy is a database as applications leave them.
const messy = `
CREATE TABLE users (id bigint PRIMARY KEY, "e mail" text, email text NOT NULL, vorname text, birth_date date, created_at timestamptz, updated_at timestamptz NOT NULL);
INSERT INTO users SELECT i, 'x', 'x', 'x', '2000-01-01', now(), now() FROM generate_series(1, 150000) i; CREATE INDEX ON users (updated_at); ANALYZE users;
CREATE TABLE visits (id bigint PRIMARY KEY, ip inet, updated_at timestamp); INSERT INTO visits SELECT i, '10.0.0.1', now() FROM generate_series(1, 120000) i; ANALYZE visits;
CREATE TABLE plans (code text PRIMARY KEY, name text, price numeric, updated_at timestamptz NOT NULL); ANALYZE plans;
CREATE TABLE log (at timestamptz, line text, "yes" numeric(60, 20));
CREATE TABLE "Größe" (a int); CREATE TABLE "Users" (id int); CREATE TABLE "with.dot" (id int);
CREATE SCHEMA sales; CREATE TABLE sales.users (id int PRIMARY KEY); CREATE VIEW sales.recent AS SELECT * FROM plans;
CREATE TABLE contacts (email text PRIMARY KEY, phone text);
CREATE TABLE odd ("größe" int); CREATE TABLE readings (sensor int, seen timestamp[], v numeric[]);`

// What discover prints passes check as it is, says why, comes out the same each time, and holds what was asked for.
func TestDiscoverPassesCheck(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t).Database(t)
	if out, err := command(t, "psql", "-XAtqc", messy, url).CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	env := []string{"SHOP_URL=" + url}
	for name, c := range map[string]struct {
		config string
		says   []string
	}{
		"plain": {"", []string{"it has a key, and updated_at seems to say when a row changed", "an index begins with it", "no index begins with it", "small enough to be read whole",
			"looks personal: email, vorname, birth_date", "# hash: ", `"decimal(38,9) or quarantine"`, `no warehouse can name: e mail`, `"yes": `,
			"shop.sales_users: ", "shop.public_users: ", "public.Größe is left out: its name cannot be a dataset's", "public.odd is left out: no warehouse can name its columns"}},
		"decided":         {"require_pii_decision: true\n", []string{`exclude: ["e mail", "email", "vorname", "birth_date"]`, `keep: ["email"]`}},
		"decided, hashed": {"require_pii_decision: true\nmasking: {key: a key of the tests}\n", []string{`hash: ["email", "vorname", "birth_date"]`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, map[string]string{"daybreak.yaml": "sources: {shop: {postgres: \"${env:SHOP_URL}\"}}\nstatus: {public: true}\n" + c.config})
			found := must(t, dir, env, "discover", "shop").out
			for _, text := range c.says {
				if !strings.Contains(found, text) {
					t.Errorf("it does not say %q:\n%s", text, found)
				}
			}
			if again := must(t, dir, env, "discover", "--source", "shop").out; again != found {
				t.Error("the second time it is another")
			}
			if entries, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(entries) != 1 {
				t.Errorf("it wrote %v, %v", entries, err)
			}
			must(t, dir, env, "discover", "-o", "nightly.yaml")
			if a := do(t, dir, env, "discover", "-o", "nightly.yaml"); a.code == 0 || !strings.Contains(a.errors, "file_exists") {
				t.Errorf("it wrote over a file: exit %d %s", a.code, a.errors)
			}
			write(t, dir, map[string]string{"schedules/nightly.yaml": found})
			must(t, dir, env, "check")
			must(t, dir, env, "run", "--yes")
			if only := must(t, dir, env, "discover", "--tables", "sales.*").out; !strings.Contains(only, "shop.recent:") || strings.Contains(only, "public.") {
				t.Errorf("of sales.* it prints\n%s", only)
			}
			wantRefusal(t, do(t, dir, env, "discover", "--tables", "nothing_*"), 78, "none of the", "table_missing")
		})
	}
}

// A database of a thousand tables is no matter.
func TestDiscoverAThousandTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var tables strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&tables, "CREATE TABLE t%04d (id INTEGER PRIMARY KEY, email TEXT, updated_at DATETIME);", i)
	}
	change(t, filepath.Join(dir, "many.db"), tables.String())
	write(t, dir, map[string]string{"daybreak.yaml": "sources: {many: {sqlite: many.db}}\nstatus: {public: true}\n"})
	write(t, dir, map[string]string{"schedules/nightly.yaml": must(t, dir, nil, "discover").out})
	if a := must(t, dir, nil, "check"); !strings.Contains(a.out, "ok: 1,000 datasets") {
		t.Errorf("check says %s", a.out[max(0, len(a.out)-300):])
	}
}
