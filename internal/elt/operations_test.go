package elt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

func TestChain(t *testing.T) {
	at := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	v := func(n int, id, restores string) elt.Version {
		return elt.Version{ID: elt.VersionID(id), Restores: elt.VersionID(restores), PublishedAt: at(n)}
	}
	anew := func(v elt.Version) (bool, error) { return strings.HasPrefix(string(v.ID), "whole"), nil }
	for name, tc := range map[string]struct {
		versions []elt.Version
		want     []string
	}{
		"none":                     {nil, nil},
		"merged in order":          {[]elt.Version{v(3, "c", ""), v(1, "whole1", ""), v(2, "b", "")}, []string{"whole1", "b", "c"}},
		"begun anew":               {[]elt.Version{v(1, "whole1", ""), v(2, "b", ""), v(3, "whole2", ""), v(4, "d", "")}, []string{"whole2", "d"}},
		"rolled back":              {[]elt.Version{v(1, "whole1", ""), v(2, "b", ""), v(3, "c", ""), v(4, "r", "b"), v(5, "e", "")}, []string{"whole1", "b", "e"}},
		"forward again":            {[]elt.Version{v(1, "whole1", ""), v(2, "b", ""), v(3, "c", ""), v(4, "r", "b"), v(5, "s", "c"), v(6, "e", "")}, []string{"whole1", "b", "c", "e"}},
		"rolled back twice":        {[]elt.Version{v(1, "whole1", ""), v(2, "b", ""), v(3, "r", "whole1"), v(4, "d", ""), v(5, "s", "r")}, []string{"whole1"}},
		"across a whole one":       {[]elt.Version{v(1, "whole1", ""), v(2, "b", ""), v(3, "whole2", ""), v(4, "r", "b"), v(5, "e", "")}, []string{"whole1", "b", "e"}},
		"of one that nobody knows": {[]elt.Version{v(1, "whole1", ""), v(2, "r", "gone")}, nil},
	} {
		var got []string
		chain, err := elt.Chain(tc.versions, anew)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range chain {
			got = append(got, string(v.ID))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestExpectedRows(t *testing.T) {
	usual := []int64{100, 90, 1000, 110, 105}
	for _, tc := range []struct {
		text     string
		rows     int64
		trailing []int64
		wrong    string
	}{
		{"within 50%", 105, usual, ""},
		{"within 50%", 53, usual, ""},
		{"within 50 %", 52, usual, "52 rows, expected within 50% of 105, the median of the last 5 published"},
		{"Within 50%", 158, usual, "158 rows, expected within 50% of 105, the median of the last 5 published"},
		{"within 12.5%", 0, usual, "0 rows, expected within 12.5% of 105, the median of the last 5 published"},
		{"within 50%", 1, usual[:2], ""}, // too few to know what is usual
		{"at least 1_000", 999, nil, "999 rows, expected at least 1000"},
		{"at least 1,000", 1000, nil, ""},
		{"between 10 and 20", 9, usual, "9 rows, expected between 10 and 20"},
		{"between 10 and 20", 21, nil, "21 rows, expected between 10 and 20"},
		{"between 0 and 20", 0, nil, ""},
	} {
		e, err := elt.ParseExpectedRows(tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		if again, err := elt.ParseExpectedRows(e.String()); err != nil || again != e || !e.Any() {
			t.Errorf("%s becomes %q (%v)", tc.text, e, err)
		}
		if diff := cmp.Diff(tc.wrong, e.Judge(tc.rows, tc.trailing)); diff != "" {
			t.Errorf("%s, %d rows: %s", tc.text, tc.rows, diff)
		}
	}
	for _, bad := range []string{"", "50%", "within", "within 50", "within -5%", "within 0%", "at least", "at least 0", "at least x", "between 2 and 1", "between 0 and 0", "at least 99999999999999999999"} {
		if e, err := elt.ParseExpectedRows(bad); err == nil {
			t.Errorf("%q is read as %q", bad, e)
		}
	}
	if (elt.ExpectedRows{}).Any() || (elt.ExpectedRows{}).Judge(0, usual) != "" || elt.Median(nil) != 0 {
		t.Error("nothing is expected of a table that says nothing")
	}
}

// A day whose version was rolled back is withdrawn, and what was made from it is outdated; what was made from the
// content that came back is not.
func TestRolledBack(t *testing.T) {
	model := func(read elt.VersionID) elt.Version {
		return elt.Version{ID: "revenue@r1", Dataset: "revenue", Date: theDate, Run: "r1", Inputs: map[elt.DatasetName]elt.VersionID{"shop.users": read}}
	}
	facts := func(input elt.Version, read elt.VersionID) elt.Facts {
		input.Dataset, input.Date = "shop.users", theDate
		return elt.Facts{
			Now: now, Datasets: []elt.Dataset{{Name: "shop.users"}, {Name: "revenue", Inputs: []elt.DatasetName{"shop.users"}}},
			Days:     []elt.Day{{Dataset: "shop.users", Date: theDate, Run: "r1"}, {Dataset: "revenue", Date: theDate, Run: "r1"}},
			Versions: []elt.Version{input, model(read)},
		}
	}
	for name, tc := range map[string]struct {
		input     elt.Version
		read      elt.VersionID
		withdrawn string
		outdated  bool
	}{
		"as it was":                  {elt.Version{ID: "shop.users@r1"}, "shop.users@r1", "", false},
		"rolled back":                {elt.Version{ID: "shop.users@r1", RolledBack: "wrong prices"}, "shop.users@r1", "wrong prices", true},
		"restored over what it read": {elt.Version{ID: "shop.users@r2", Restores: "shop.users@r0"}, "shop.users@r1", "", true},
		"made from what came back":   {elt.Version{ID: "shop.users@r2", Restores: "shop.users@r0"}, "shop.users@r0", "", false},
	} {
		b := elt.NewBoard(facts(tc.input, tc.read))
		users, revenue := b.Days[elt.DayKey{Dataset: "shop.users", Date: theDate}], b.Days[elt.DayKey{Dataset: "revenue", Date: theDate}]
		if users.Withdrawn != tc.withdrawn || users.Good() != (tc.withdrawn == "") || users.Impossible() == users.Good() {
			t.Errorf("%s: users is %+v", name, users)
		}
		if (len(revenue.Outdated) > 0) != tc.outdated || !revenue.Good() {
			t.Errorf("%s: revenue is %+v", name, revenue)
		}
	}
	if d := elt.NewVersionID("shop.users", "r1").Dataset(); d != "shop.users" {
		t.Error(d)
	}
}
