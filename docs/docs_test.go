// Package docs_test keeps the book true: references that are made from the code, and links that lead somewhere.
package docs_test

import (
	"cmp"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/config"
)

var update = flag.Bool("update", false, "write the generated parts of the book")

// TestConfigurationReference holds configuration.md to the JSON schemas: go test ./docs -update writes it.
func TestConfigurationReference(t *testing.T) {
	b, err := os.ReadFile("configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for part, schema := range map[string][]byte{"daybreak.yaml": config.DaybreakSchema, "schedule": config.ScheduleSchema} {
		reference, err := config.Reference(schema)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(page, "<!-- generated: "+part+" -->\n")
		old, after, closed := strings.Cut(rest, "<!-- /generated -->")
		if !ok || !closed {
			t.Fatalf("configuration.md has no place for %s", part)
		}
		if diff := gocmp.Diff(reference, old); diff != "" && !*update {
			t.Errorf("the reference of %s is not what the schema says; run go test ./docs -update (-schema +page):\n%s", part, diff)
		}
		page = before + "<!-- generated: " + part + " -->\n" + reference + "<!-- /generated -->" + after
	}
	if *update {
		if err := os.WriteFile("configuration.md", []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// code matches where the source gives an error its code.
var code = regexp.MustCompile(`(?:\bCode\s*[:=]\s*|\bverdict\{|^\s*"[0-9A-Z]+":\s*\{|\.wrong\(|\.named\(|\bwarn\()"([a-z]+(?:_[a-z]+)+)"|\bunknown\("([a-z_]+)",`)

// TestEveryCodeIsExplained looks for error codes in the source and wants each in the runbook, under an anchor that
// the API's problem types link to.
func TestEveryCodeIsExplained(t *testing.T) {
	explained := anchors(t, "runbook.md")
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasSuffix(path, "test") || d.Name() == "testenv" || d.Name() == ".git") {
			return cmp.Or(err, fs.SkipDir)
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for line := range strings.Lines(string(b)) {
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				if m[2] != "" { // the ledger's way to say that there is no such thing
					m[1] = m[2] + "_unknown"
				}
				if found++; !explained[m[1]] {
					t.Errorf("%s: the runbook does not explain the code %s", path, m[1])
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 100 {
		t.Errorf("only %d codes were found: does the pattern still match the source?", found)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)"`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks follows every relative link of the book and the README, headings included.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, fragment, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(page), path)
			if path == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
				continue
			}
			if fragment != "" && !anchors(t, target)[fragment] {
				t.Errorf("%s links to %s: there is no such heading", page, m[1])
			}
		}
	}
}

// anchors returns what a page can be linked to at, as GitHub names its headings.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(string(b), -1) {
		slug := notSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(slug, " ", "-")] = true
	}
	for _, m := range anchor.FindAllStringSubmatch(string(b), -1) {
		out[m[1]] = true
	}
	return out
}

// TestTablesAreWhole wants each row of a page's table to have as many cells as the table's head: a page would drop
// what is too much.
func TestTablesAreWhole(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages found: %v", len(pages), err)
	}
	for _, page := range append(pages, "../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		cells := 0
		for i, line := range strings.Split(string(b), "\n") {
			if !strings.HasPrefix(line, "|") {
				cells = 0
				continue
			}
			n := strings.Count(line, "|") - strings.Count(line, `\|`)
			if cells == 0 {
				cells = n
			}
			if n != cells {
				t.Errorf("%s:%d: %d cells in a table of %d", page, i+1, n-1, cells-1)
			}
		}
	}
}

var (
	failpoint = regexp.MustCompile(`failpoint\.Here\("([a-z0-9_.]+)"\)`)
	listed    = regexp.MustCompile("`([a-z0-9]+(?:\\.[a-z0-9_]+)+)`")
)

// TestEveryFailpointIsListed holds reliability.md's table to the places in the code.
func TestEveryFailpointIsListed(t *testing.T) {
	page, err := os.ReadFile("reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| failpoint | where |")
	left := make(map[string]bool)
	for line := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		for _, m := range listed.FindAllStringSubmatch(first, -1) {
			left[m[1]] = true
		}
	}
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range failpoint.FindAllStringSubmatch(string(b), -1) {
			if name := m[1]; !left[name] {
				t.Errorf("%s: the failpoint %s is not listed in reliability.md, or is passed in two places", path, name)
			} else {
				delete(left, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range left {
		t.Errorf("reliability.md lists the failpoint %s, which no code passes", name)
	}
}
