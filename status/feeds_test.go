package status

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// The feeds tell each incident and its end once, the latest first, in words that hold whatever an incident is called.
func TestFeeds(t *testing.T) {
	w := statustest.Busy()
	w.SetIncident(elt.Incident{ID: "incident-x", Cause: "shop.users", Date: elt.Date{Year: 2026, Month: 11, Day: 20}, Title: `shop.users <b>is</b> & "late"`, Affected: []elt.DatasetName{"shop.users", "revenue"}, OpenedAt: w.Now()})
	s := serve(t, w)
	answer, body := get(t, s, "/feed.atom")
	var atom struct {
		ID      string `xml:"id"`
		Author  string `xml:"author>name"`
		Updated string `xml:"updated"`
		Entries []struct {
			ID      string `xml:"id"`
			Title   string `xml:"title"`
			Updated string `xml:"updated"`
		} `xml:"entry"`
	}
	if err := xml.Unmarshal([]byte(body), &atom); err != nil || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/atom+xml") {
		t.Fatalf("%s: %v\n%s", answer.Header.Get("Content-Type"), err, body)
	}
	if !strings.HasSuffix(atom.ID, "/feed.atom") || atom.Author == "" || atom.Updated != atom.Entries[0].Updated {
		t.Errorf("the feed is %q by %q of %s", atom.ID, atom.Author, atom.Updated)
	}
	seen := make(map[string]bool)
	for i, e := range atom.Entries {
		if seen[e.ID] || i > 0 && e.Updated > atom.Entries[i-1].Updated {
			t.Errorf("entry %s comes twice, or before a later one", e.ID)
		}
		seen[e.ID] = true
	}
	if len(atom.Entries) < 3 || atom.Entries[0].Title != `Shop.users <b>is</b> & "late".` && atom.Entries[0].Title != `shop.users <b>is</b> & "late".` {
		t.Errorf("entries: %+v", atom.Entries)
	}
	_, body = get(t, s, "/feed.json?dataset=revenue")
	var feed struct {
		Version string `json:"version"`
		Items   []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(body), &feed); err != nil || !strings.Contains(feed.Version, "jsonfeed.org/version/1") {
		t.Fatalf("%v: %s", err, body)
	}
	if len(feed.Items) == 0 || len(feed.Items) >= len(atom.Entries) || !strings.Contains(feed.Items[0].ID, "incident-x") {
		t.Errorf("of revenue: %+v", feed.Items)
	}
	if _, body = get(t, s, "/feed.json?dataset=shop.teammates"); !strings.Contains(body, `"items": []`) || !strings.Contains(body, "/feed.json?dataset=shop.teammates") {
		t.Errorf("a feed without news: %s", body)
	}
	if answer, _ := get(t, s, "/feed.json?dataset=nothing"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("a feed of nothing: %d", answer.StatusCode)
	}
}

// A badge says the state in words, is well-formed whatever the dataset is called, and never good when nobody knows.
func TestBadges(t *testing.T) {
	w := statustest.Busy()
	s := serve(t, w)
	for _, set := range mustView(t, s).sets {
		answer, body := get(t, s, "/badge/"+string(set.Name)+".svg")
		if err := xml.Unmarshal([]byte(body), new(struct{ XMLName xml.Name })); err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "image/svg+xml" {
			t.Errorf("%s: %d %v\n%s", set.Name, answer.StatusCode, err, body)
		}
		if d := set.headline.Latest; strings.Contains(body, ": ready") != d.Good() && d.Deadline != elt.DeadlineMissed {
			t.Errorf("%s is %s, and its badge says %s", set.Name, d.State, body)
		}
	}
	for path, status := range map[string]int{"/badge/nothing.svg": 404, "/badge/shop.users.png": 404, "/badge/shop.users": 404} {
		if answer, _ := get(t, s, path); answer.StatusCode != status {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

func mustView(t *testing.T, s *Service) view {
	t.Helper()
	v, ok := s.current()
	if !ok {
		t.Fatal("nothing is known")
	}
	return v
}
