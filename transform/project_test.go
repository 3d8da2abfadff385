package transform_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

var update = flag.Bool("update", false, "write the golden files")

func options() transform.Options {
	return transform.Options{
		Vars:   map[string]any{"countries": []any{"se", "no"}},
		Target: "prod", Excluded: map[elt.DatasetName][]string{"shop.users": {"password_hash"}},
		Tables: []elt.Dataset{
			{Name: "shop.users", Kind: elt.TableDataset, Relation: "shop.users"},
			{Name: "shop.orders", Kind: elt.TableDataset, Relation: "shop.orders"},
		},
	}
}

func shop(t *testing.T) *transform.Project {
	t.Helper()
	p, problems := transform.Parse(os.DirFS("testdata/shop"), options())
	if len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	return p
}

func lines(problems elt.Problems) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + " [" + string(p.Code) + "]\n")
	}
	return b.String()
}

// golden compares a text with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", file, diff)
	}
}

func TestBrokenProjects(t *testing.T) {
	cases, err := os.ReadDir("testdata/broken")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 50 {
		t.Errorf("only %d broken projects", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name(), func(t *testing.T) {
			dir := filepath.Join("testdata/broken", c.Name())
			_, problems := transform.Parse(os.DirFS(dir), options())
			if len(problems) == 0 {
				t.Error("nothing is found to be wrong")
			}
			for _, p := range problems {
				if p.Code == "" || p.What == "" || p.Do == "" || !strings.HasPrefix(p.File, "sql/") {
					t.Errorf("a problem lacks something: %+v", p)
				}
			}
			golden(t, filepath.Join(dir, "want"), lines(problems))
		})
	}
}

func TestDatasets(t *testing.T) {
	var got strings.Builder
	for _, d := range shop(t).Datasets() {
		got.WriteString(cmpText(d))
	}
	golden(t, "testdata/shop/datasets.golden", got.String())
}

func TestAnEmptyFolderIsAProject(t *testing.T) {
	p, problems := transform.Parse(os.DirFS(t.TempDir()), transform.Options{})
	if len(problems) > 0 || len(p.Datasets()) > 0 {
		t.Errorf("got %v, %v", p.Datasets(), problems)
	}
}

func TestAnUnreadableFileIsAProblem(t *testing.T) {
	_, problems := transform.Parse(failingFS{os.DirFS("testdata/shop")}, options())
	if !strings.Contains(lines(problems), "sql/models/marts/revenue.sql: cannot be read: the disk is gone") {
		t.Error(lines(problems))
	}
}

// failingFS cannot read one file.
type failingFS struct{ fs.FS }

func (f failingFS) Open(name string) (fs.File, error) {
	if name == "models/marts/revenue.sql" {
		return nil, errors.New("the disk is gone")
	}
	return f.FS.Open(name)
}

func TestTests(t *testing.T) {
	p := shop(t)
	got := map[elt.DatasetName][]string{}
	needs := map[elt.DatasetName][]elt.DatasetName{}
	for _, d := range []elt.DatasetName{"shop.users", "shop.orders", "stg_users", "stg_orders", "revenue", "daily_orders", "order_log", "countries"} {
		if names := p.Tests(d); names != nil {
			got[d] = names
		}
		if n := p.TestNeeds(d); n != nil {
			needs[d] = n
		}
	}
	want := map[elt.DatasetName][]string{
		"shop.users":   {"unique(id)", "not_null(id)"},
		"shop.orders":  {"accepted_values(status)", "relationships(user_id → shop.users.id)"},
		"stg_users":    {"unique(user_id)", "not_null(user_id)", "unique(email)", "not_null(email)"},
		"revenue":      {"accepted_values(country)", "not_null(country_name)", "unique(country)", "revenue_is_positive"},
		"daily_orders": {"relationships(user_id → stg_users.user_id)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantNeeds := map[elt.DatasetName][]elt.DatasetName{"shop.orders": {"shop.users"}, "revenue": {"countries"}, "daily_orders": {"stg_users"}}
	if diff := cmp.Diff(wantNeeds, needs); diff != "" {
		t.Error(diff)
	}
}

func TestTableDocs(t *testing.T) {
	want := map[elt.DatasetName]transform.TableDoc{
		"shop.users": {Description: "Everybody who ever signed up.", Owners: []string{"platform@example.com"},
			Columns: []elt.ColumnDoc{{Name: "id", Description: "Number.", Tests: []string{"unique", "not_null"}}}},
		"shop.orders": {Owners: []string{"platform@example.com"}, Tags: []string{"money"}, Deadline: "06:30",
			Columns: []elt.ColumnDoc{{Name: "status", Tests: []string{"accepted_values"}}, {Name: "user_id", Tests: []string{"relationships"}}}},
	}
	if diff := cmp.Diff(want, shop(t).TableDocs()); diff != "" {
		t.Error(diff)
	}
}

func TestSelect(t *testing.T) {
	p := shop(t)
	for _, c := range []struct{ selectors, want string }{
		{"", "countries daily_orders stg_users revenue order_log"},
		{"*", "countries daily_orders stg_users revenue order_log"},
		{"revenue", "revenue"},
		{"+revenue", "countries stg_users revenue"},
		{"stg_users+", "stg_users revenue order_log"},
		{"+stg_users+", "stg_users revenue order_log"},
		{"shop.users+", "stg_users revenue order_log"},
		{"stg_orders+", "daily_orders revenue order_log"},
		{"tag:nightly", "revenue"},
		{"tag:marts", "revenue"},
		{"tag:staging", "stg_users"},
		{"tag:reference+", "countries revenue order_log"},
		{"tag:money+", "daily_orders revenue order_log"},
		{"path:marts", "daily_orders revenue order_log"},
		{"path:staging", "stg_users"},
		{"path:models/marts", "daily_orders revenue order_log"},
		{"path:marts/revenue.sql", "revenue"},
		{"path:seeds", "countries"},
		{"path:marts,tag:finance", "revenue"},
		{"path:staging revenue", "stg_users revenue"},
		{"path:mart", `the selector "path:mart" selects nothing`},
		{"revenu", `the selector "revenu" selects nothing`},
		{"+", `the selector "+" selects nothing`},
		{"state:modified", `the selector "state:modified" is not supported: Daybreak keeps no earlier state to compare files with; to build again what newer inputs left behind, use daybreak run --outdated`},
		{"package:dbt_utils", `the selector "package:dbt_utils" is not supported: there are no packages`},
		{"colour:red", `the selector "colour:red" is not supported: there is no method "colour"`},
		{"resource_type:exposure", `the selector "resource_type:exposure" is not supported: "exposure" is not model, seed or source`},
		{"1+order_log", "revenue order_log"},
		{"2+order_log", "countries stg_users revenue order_log"},
		{"stg_users+1", "stg_users revenue"},
		{"0+revenue+0", "revenue"},
		{"@stg_users", "countries stg_users revenue order_log"},
		{"stg_*", "stg_users"},
		{"*_log", "order_log"},
		{"config.materialized:incremental", "daily_orders order_log"},
		{"config.materialized:seed", "countries"},
		{"resource_type:seed", "countries"},
		{"source:shop.users+1", "stg_users"},
		{"source:shop+,config.materialized:view", "stg_users"},
		{"marts/revenue.sql", "revenue"},
		{"file:revenue.sql", "revenue"},
	} {
		names, err := p.Select(strings.Fields(c.selectors))
		got := make([]string, len(names))
		for i, n := range names {
			got[i] = string(n)
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%q: got %q, want %q", c.selectors, text, c.want)
		}
	}
}

func TestPick(t *testing.T) {
	p := shop(t)
	for _, c := range []struct{ chosen, without, want string }{
		{"", "", "countries shop.orders shop.users daily_orders stg_users revenue order_log"},
		{"", "source:* config.materialized:incremental", "countries stg_users revenue"},
		{"+stg_users", "", "shop.users stg_users"},
		{"+stg_users", "source:shop", "stg_users"},
		{"source:shop.users", "", "shop.users"},
		{"revenue", "revenue", ""},
	} {
		names, err := p.Pick(transform.Selection{Select: strings.Fields(c.chosen), Exclude: strings.Fields(c.without)})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]string, len(names))
		for i, n := range names {
			got[i] = string(n)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%q without %q: got %q, want %q", c.chosen, c.without, text, c.want)
		}
	}
}
