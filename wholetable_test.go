package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A day of a whole table that failed is not brought any more once a newer one is published: what the table held then is
// gone from production. Whoever tries is told so, in one sentence, and nothing changes.
func TestAFailedDayOfAWholeTableGivesWayToANewerOne(t *testing.T) {
	t.Parallel()
	const guard = "    expect_rows: at least 1_000_000\n"
	dir, last := demo(t), lastDate(t)
	failed := last.AddDays(-1)
	edit(t, dir, "schedules/nightly.yaml", "  app.companies:\n", "  app.companies:\n"+guard)
	wantRefusal(t, do(t, dir, nil, "run", "--date", failed.String()), 65, "rows_unexpected")
	edit(t, dir, "schedules/nightly.yaml", guard, "")
	must(t, dir, nil, "run", "--date", last.String())
	before := contents(t, dir)
	for _, args := range [][]string{
		{"run", "--date", failed.String()},
		{"allow", "app.companies", failed.String(), "--reason", "it is right"},
	} {
		wantRefusal(t, do(t, dir, nil, args...), 65, "app.companies of "+failed.String()+" cannot be brought any more", "production has moved on",
			last.String()+" is published", "nothing for it", "run --again", "day_superseded")
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("something changed (-before +after):\n%s", diff)
	}
	if a := must(t, dir, nil, "run", "--date", failed.String(), "--again"); !strings.Contains(a.errors, "left out") {
		t.Errorf("another run of the date says:\n%s", a.errors)
	}
	if diff := cmp.Diff(before["app.companies"], contents(t, dir)["app.companies"]); diff != "" {
		t.Errorf("the companies changed (-before +after):\n%s", diff)
	}
	wantOneTruth(t, dir)
	must(t, dir, nil, "wait", "app.companies@"+last.String())
	if h := do(t, dir, nil, "status", "app.companies"); !strings.Contains(h.out, "with gaps before it") {
		t.Errorf("the status says:\n%s", h.out)
	}
}
