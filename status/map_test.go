package status

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// TestABigGraphIsAMap: beyond one picture the page draws groups; a group lists its datasets, and a dataset its
// neighbourhood.
func TestABigGraphIsAMap(t *testing.T) {
	w := statustest.Warren(240)
	s := serve(t, w)
	v, _ := s.current()
	var names []elt.DatasetName
	for _, set := range v.sets {
		names = append(names, set.Name)
	}
	groups := v.groups(names)
	members, perColumn := 0, map[int]int{}
	for _, g := range groups {
		members += len(g.members)
		perColumn[g.depth]++
	}
	if members != len(names) || len(groups) > 40 {
		t.Errorf("%d groups of %d datasets, want all %d", len(groups), members, len(names))
	}
	for depth, n := range perColumn {
		if n > mostGroups {
			t.Errorf("%d boxes %d steps from production", n, depth)
		}
	}
	svg := v.drawMap(groups, "")
	if len(svg.Nodes) != len(groups) || len(svg.Paths) == 0 {
		t.Errorf("%d boxes and %d lines for %d groups", len(svg.Nodes), len(svg.Paths), len(groups))
	}
	_, page := get(t, s, "/lineage")
	for _, g := range groups {
		href := "/lineage?" + url.Values{"group": {g.key}}.Encode()
		if !strings.Contains(page, strings.ReplaceAll(href, "&", "&amp;")) {
			t.Errorf("the map has no box for %s", g.key)
		}
	}
	if strings.Contains(page, "As a table") || !strings.Contains(page, `<option value="revenue">`) {
		t.Error("the map lists datasets, or cannot look for one")
	}
	chosen := groups[len(groups)-1]
	_, page = get(t, s, "/lineage?"+url.Values{"group": {chosen.key}}.Encode())
	for _, set := range chosen.members {
		if !strings.Contains(page, fmt.Sprintf(`href="%s"`, datasetHref(set.Name))) {
			t.Errorf("%s is not listed in its group", set.Name)
		}
	}
	_, page = get(t, s, "/lineage?focus=revenue")
	for _, want := range []string{"Around revenue.", `href="/lineage?focus=board_report"`, `aria-current="page"`, "The whole map"} {
		if !strings.Contains(page, want) {
			t.Errorf("the neighbourhood lacks %q", want)
		}
	}
	if answer, page := get(t, s, "/lineage?focus="+url.QueryEscape(`"><script>`)+"&group=nope"); answer.StatusCode != 200 || strings.Contains(page, "<script>\"") || strings.Contains(page, `"><script>`) {
		t.Errorf("%d for names that nobody has", answer.StatusCode)
	}
}
