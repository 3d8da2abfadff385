package status

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// TestFailingRowsAreForOperators: rows of production are on no page and in no answer for anybody else.
func TestFailingRowsAreForOperators(t *testing.T) {
	w := statustest.Calm(10)
	const secret = "a value of production"
	text := secret
	run := w.Published("revenue", w.Night).Run
	w.KeepFailing(elt.FailingRows{Run: run, Dataset: "revenue", Date: w.Night, Test: "unique(id)", Table: "_daybreak_failures.revenue__unique_id",
		Sample: elt.Sample{Columns: []string{"id", "plan"}, Rows: [][]*string{{&text, nil}}}})
	day := "/datasets/revenue/" + w.Night.String()
	for name, change := range map[string]func(*Options){
		"public":   func(o *Options) {},
		"viewer":   func(o *Options) { o.Public, o.Token = false, testToken },
		"operator": forOperators,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, w, change)
			var header []string
			if name != "public" {
				header = []string{"Authorization", "Bearer " + testToken}
			}
			operator := name == "operator"
			for _, r := range s.routes() {
				if r.method != http.MethodGet || r.path == "/v1/events" || r.path == "/v1/wait" {
					continue
				}
				path := strings.NewReplacer(":dataset", "revenue", ":date", w.Night.String(), ":run", string(run)).Replace(r.path)
				answer, body := get(t, s, path, header...)
				shows := strings.Contains(body, secret)
				if want := operator && (path == day || strings.HasSuffix(path, "failing-rows")); shows != want {
					t.Errorf("%s (%d): shows the row is %v, want %v", path, answer.StatusCode, shows, want)
				}
				if shows && path == day && answer.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s may be kept: %s", path, answer.Header.Get("Cache-Control"))
				}
				if sql := strings.Contains(body, "one()"); sql && !operator {
					t.Errorf("%s shows SQL", path)
				}
			}
		})
	}
	_, body := get(t, serve(t, w, forOperators), day, "Authorization", "Bearer "+testToken)
	for _, want := range []string{"Rows that failed <code>unique(id)</code>", `<span class="sub">NULL</span>`, "_daybreak_failures.revenue__unique_id"} {
		if !strings.Contains(body, want) {
			t.Errorf("the day's page lacks %q", want)
		}
	}
}

// TestADatasetsTestsAndSQL: a model's page tells how its tests ended last, and to operators the SQL.
func TestADatasetsTestsAndSQL(t *testing.T) {
	w := statustest.Calm(10)
	_, body := get(t, serve(t, w, forOperators), "/datasets/revenue", "Authorization", "Bearer "+testToken)
	for _, want := range []string{`<code>unique(id)</code>`, `<span class="mark ready" title="Passed">✓</span> unique`, "select {{ one() }}", "sql/models/revenue.sql", `href="/lineage"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestLineageIsDrawnInLayers: every line leads to the right, no box covers another, and long lines keep clear of boxes.
func TestLineageIsDrawnInLayers(t *testing.T) {
	w := statustest.Calm(3)
	s := serve(t, w)
	v, _ := s.current()
	var names []elt.DatasetName
	for _, set := range v.sets {
		names = append(names, set.Name)
	}
	g := v.newGraph(names)
	at := g.layers()
	for to, inputs := range g.inputs {
		for _, from := range inputs {
			if at[from] >= at[to] {
				t.Errorf("%s is not left of %s", from, to)
			}
		}
	}
	svg := v.draw(g, "revenue")
	edges := 0
	for _, inputs := range g.inputs {
		edges += len(inputs)
	}
	if len(svg.Nodes) != len(names) || len(svg.Paths) != edges {
		t.Errorf("%d boxes and %d lines, want %d and %d", len(svg.Nodes), len(svg.Paths), len(names), edges)
	}
	for i, a := range svg.Nodes {
		for _, b := range svg.Nodes[:i] {
			if a.X == b.X && a.Y < b.Y+boxHeight && b.Y < a.Y+boxHeight {
				t.Errorf("%s covers %s", a.Name, b.Name)
			}
		}
		if a.Y < 0 || a.Y+boxHeight > svg.Height || a.X+boxWidth > svg.Width {
			t.Errorf("%s lies outside of the picture", a.Name)
		}
	}
	for _, p := range svg.Paths { // a level piece of a long line crosses a column: no box may be there
		for piece := range strings.SplitSeq(p.D, "L") {
			var x, y int
			if n, _ := fmt.Sscanf(piece, "%d %d", &x, &y); n != 2 || strings.HasPrefix(piece, "M") {
				continue
			}
			for _, b := range svg.Nodes {
				if b.X+boxWidth == x && b.Y <= y && y <= b.Y+boxHeight {
					t.Errorf("a line passes behind %s", b.Name)
				}
			}
		}
	}
}

// TestAWideGraphIsThinned: what is furthest away is left out, and the dataset itself never is.
func TestAWideGraphIsThinned(t *testing.T) {
	w := statustest.Calm(1)
	hub := elt.Dataset{Name: "hub", Kind: elt.ModelDataset, Schedule: "early", Zone: "Europe/Dublin", Materialized: "table"}
	sets := []elt.Dataset{hub}
	for i := range 30 {
		sets = append(sets, elt.Dataset{Name: elt.DatasetName(fmt.Sprintf("m%02d", i)), Kind: elt.ModelDataset, Schedule: "early", Zone: "Europe/Dublin", Inputs: []elt.DatasetName{"hub"}, Materialized: "view"})
	}
	w.AddDatasets(sets...)
	s := serve(t, w)
	v, _ := s.current()
	svg := v.drawLineage(v.byName["hub"])
	if len(svg.Nodes) != 1+boxesInColumn || svg.Hidden != "21 datasets further away are not drawn." || len(svg.Rows) != 31 {
		t.Errorf("%d boxes, %q, %d rows", len(svg.Nodes), svg.Hidden, len(svg.Rows))
	}
	svg = v.drawLineage(v.byName["m29"])
	var drawn []string
	for _, n := range svg.Nodes {
		drawn = append(drawn, n.Name)
	}
	if diff := cmp.Diff([]string{"hub", "m29"}, drawn); diff != "" {
		t.Error(diff)
	}
}
