// Package docs_test keeps the book true: references that are made from the code, and links that lead somewhere.
package docs_test

import (
	"cmp"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	named     = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`|\\bin `(\\.[\\w/]*)`")
	runOption = regexp.MustCompile(` -(?:run|bench) '?([\w^][\w$^|]*)`)
)

// testsIn returns the tests of each folder of the tree, with those of build tags, by the folder's path from the root.
func testsIn(t *testing.T) map[string]map[string]bool {
	t.Helper()
	folders := make(map[string]map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		folder, _ := filepath.Rel("..", filepath.Dir(path))
		for _, m := range testFunc.FindAllStringSubmatch(string(b), -1) {
			if folders[folder] == nil {
				folders[folder] = make(map[string]bool)
			}
			folders[folder][m[1]] = true
		}
		return err
	})
	if err != nil || len(folders) < 20 {
		t.Fatalf("tests were found in %d folders: %v", len(folders), err)
	}
	return folders
}

// TestEveryNamedTestExists holds reliability.md to the tests that it names, each in the folder that it says.
func TestEveryNamedTestExists(t *testing.T) {
	page, err := os.ReadFile("reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	folders, found := testsIn(t), 0
	var here []string // named, and not yet said where
	for i, line := range strings.Split(string(page), "\n") {
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			if m[1] != "" {
				here = append(here, m[1])
				continue
			}
			for _, name := range here {
				if found++; !folders[filepath.Clean(m[2])][name] {
					t.Errorf("reliability.md:%d: there is no %s in %s", i+1, name, m[2])
				}
			}
			here = nil
		}
		for _, name := range here { // elsewhere than in the tables, anywhere will do
			if strings.HasPrefix(line, "| ") || !slices.ContainsFunc(slices.Collect(maps.Values(folders)), func(tests map[string]bool) bool { return tests[name] }) {
				t.Errorf("reliability.md:%d: where is %s?", i+1, name)
			}
		}
		here = nil
	}
	if found < 80 {
		t.Errorf("only %d tests were found: do the patterns still match the page?", found)
	}
}

// TestCommandsRunTests wants each test that a page has people run to be there.
func TestCommandsRunTests(t *testing.T) {
	var all []string
	for _, tests := range testsIn(t) {
		all = slices.AppendSeq(all, maps.Keys(tests))
	}
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../README.md", "../CONTRIBUTING.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(b), `\|`, "|")) {
			for _, m := range runOption.FindAllStringSubmatch(line, -1) {
				for part := range strings.SplitSeq(m[1], "|") {
					if !strings.Contains(line, "go test") || part == "^$" || part == "NAME" {
						continue // another program's option, or no test at all
					}
					pattern, err := regexp.Compile(part)
					if found++; err != nil || !slices.ContainsFunc(all, pattern.MatchString) {
						t.Errorf("%s has people run %q, which matches no test", page, part)
					}
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands were found: does the pattern still match the pages?", found)
	}
}
