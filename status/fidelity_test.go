package status

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// What is not as in the source, and how columns changed, is told by the API and in words on the pages of the dataset and
// of the day.
func TestFidelityIsTold(t *testing.T) {
	s := serve(t, statustest.Calm(95))
	var set api.OneDataset
	getJSON(t, s, "/v1/datasets/shop.companies", &set)
	uses := []elt.PolicyUse{{Column: "credit_limit", Policy: elt.Clamp, Values: 3}, {Column: "founded_on", Policy: elt.Quarantine, Values: 2}}
	if diff := cmp.Diff(uses, set.Fidelity); diff != "" || set.Quarantined != 2 {
		t.Errorf("quarantined %d: %s", set.Quarantined, diff)
	}
	if len(set.SchemaChanges) != 1 || len(set.SchemaChanges[0].Changes) != 2 {
		t.Fatalf("changes: %+v", set.SchemaChanges)
	}
	last, changed := set.Headline.LatestReady.String(), set.SchemaChanges[0].Date.String()
	var day api.Day
	getJSON(t, s, "/v1/datasets/shop.companies/days/"+last, &day)
	if day.Source == nil || !cmp.Equal(day.Source.Fidelity, uses) || day.Source.Quarantined != 2 || day.Source.MaskKey == "" {
		t.Errorf("the day's source is %+v", day.Source)
	}
	for path, says := range map[string][]string{
		"/datasets/shop.companies": {"3 values are not as in the source and 2 rows are left out", "3 values of credit_limit became the nearest that can be held.",
			"2 rows were quarantined because of founded_on.", "daybreak quarantine shop.companies --date " + last, "Column vat_number (string) is new and was added."},
		"/datasets/shop.companies/" + last:    {"3 values are not as in the source", "with the key 9f86d081"},
		"/datasets/shop.companies/" + changed: {"Columns that changed", "Column credit_limit was widened from decimal(10,2) to decimal(12,2)."},
	} {
		_, body := get(t, s, path)
		for _, text := range says {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not say %q", path, text)
			}
		}
	}
	if _, body := get(t, s, "/datasets/shop.users"); strings.Contains(body, "Not as in the source") || strings.Contains(body, "How its columns changed") {
		t.Error("a dataset that is as its source says otherwise")
	}
}
