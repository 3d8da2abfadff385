package status

import (
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// TestBilled: what a warehouse billed is on the pages of the run, the dataset and the day, and in the API; where
// nothing is billed, nothing is said.
func TestBilled(t *testing.T) {
	w := statustest.Calm(3)
	run := statustest.RunOf("nightly", w.Night)
	pages := []string{"/runs/" + string(run), "/datasets/shop.conversations", "/datasets/shop.conversations/" + w.Night.String(), "/v1/runs/" + string(run), "/v1/runs/" + string(run) + "/steps"}
	says := func(path string) bool {
		_, body := get(t, serve(t, w), path)
		return strings.Contains(body, "1.3 GB") && strings.Contains(body, "slot time") || strings.Contains(body, `"bytes_billed":`)
	}
	for _, path := range pages {
		if says(path) {
			t.Errorf("%s says that something was billed", path)
		}
	}
	steps, err := w.Steps(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, st := range steps {
		found = found || st.Dataset == "shop.conversations"
		if st.Dataset == "shop.conversations" && st.Kind == elt.VerifyStep {
			st.Usage = elt.Usage{Jobs: 3, BytesBilled: 1_300_000_000, SlotTime: 90 * time.Second}
			w.SetStep(st)
		}
	}
	if !found {
		t.Fatalf("no step of shop.conversations among %v", steps)
	}
	for _, path := range pages {
		if !says(path) {
			t.Errorf("%s does not say what was billed", path)
		}
	}
}
