package status_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// What the API said at a moment it says again when it is asked as of that moment, whatever has happened since: runs,
// retries, lost leases, restated and rolled back days, withdrawals, notes, incidents, another catalogue. And the service
// that merges what events name says at each moment what one says that reads everything.
func TestAsOfSaysWhatWasSaid(t *testing.T) {
	for seed := range uint64(stories) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			st := newStory(t, seed)
			type moment struct {
				at   time.Time
				said map[string]string
			}
			var moments []moment
			for range 8 {
				for range 1 + st.IntN(12) {
					st.act()
				}
				st.clock()
				m := moment{at: st.look(), said: make(map[string]string)}
				for _, path := range st.paths() {
					m.said[path], _ = said(t, st.service, path, time.Time{})
				}
				moments = append(moments, m)
				st.clock()
				fresh := st.serve()
				for _, d := range st.datasets {
					path := "/v1/datasets/" + string(d.Name) + "/days"
					st.must(fresh.Refresh(t.Context()))
					if whole, _ := said(t, fresh, path, time.Time{}); whole != m.said[path] {
						t.Fatalf("%s merged and read whole differ: %s", path, cmp.Diff(whole, m.said[path]))
					}
				}
			}
			for i, m := range moments {
				for path, then := range m.said {
					if now, asOf := said(t, st.service, path, m.at); now != then || strings.HasPrefix(then, "200") && !asOf.Equal(m.at) {
						t.Fatalf("moment %d, %s, as of %s (%s): %s", i, path, m.at, asOf, cmp.Diff(then, now))
					}
				}
			}
		})
	}
}

// A page of the past says so at its top, leads to pages of the same moment, and offers nothing to do; what is about now
// alone refuses to be asked.
func TestPagesOfThePast(t *testing.T) {
	st := newStory(t, 1)
	for len(st.versions) == 0 {
		st.act()
	}
	in, _, err := st.book.OpenIncident(t.Context(), elt.Incident{Cause: "shop.users", Date: st.first, Title: "it failed", Affected: []elt.DatasetName{"shop.users"}})
	st.must(err)
	_, err = st.book.ResumeSchedule(t.Context(), "nightly", "ops@example.com", "mended")
	st.must(err)
	_, err = st.book.PauseSchedule(t.Context(), elt.Pause{Schedule: "nightly", By: "ops@example.com", Reason: "the disk is full"})
	st.must(err)
	st.clock()
	at := st.look()
	st.clock()
	_, err = st.book.AcknowledgeIncident(t.Context(), in.ID, "late@example.com")
	st.must(err)
	_, err = st.book.ResumeSchedule(t.Context(), "nightly", "ops@example.com", "mended")
	st.must(err)
	_, err = st.book.Withdraw(t.Context(), st.versions[0].Dataset, st.versions[0].Date, "ops@example.com", "wrong prices")
	st.must(err)
	st.clock()
	st.look()
	get := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept", "text/html")
		rec := httptest.NewRecorder()
		st.service.Handler().ServeHTTP(rec, r)
		return rec
	}
	moment := url.QueryEscape(at.Format(time.RFC3339Nano))
	day := fmt.Sprintf("/datasets/%s/%s", st.versions[0].Dataset, st.versions[0].Date)
	for _, path := range []string{"/", "/?q=shop", "/datasets/shop.users", day, "/lineage", "/runs", "/runs/" + string(st.runs[0].ID), "/incidents", "/incidents/" + string(in.ID), "/schedules", "/schedules/nightly"} {
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		rec := get(path + join + "as_of=" + moment)
		page := rec.Body.String()
		if rec.Code != http.StatusOK || !strings.Contains(page, "As it was on <strong>") || !strings.Contains(page, "data-past") {
			t.Fatalf("%s: %d %s", path, rec.Code, page)
		}
		for part := range strings.SplitSeq(page, "<a ") {
			_, href, _ := strings.Cut(part, `href="`)
			href, _, _ = strings.Cut(href, `"`)
			if !strings.HasPrefix(part, `class="leave"`) && (strings.HasPrefix(href, "/datasets/") || strings.HasPrefix(href, "/schedules")) && !strings.Contains(href, "as_of=") {
				t.Errorf("%s leads out of the past: %s", path, href)
			}
		}
		if _, leave, _ := strings.Cut(page, `<a class="leave" href="`); !strings.HasPrefix(leave, html.EscapeString(path)+`"`) {
			t.Errorf("%s leads back to %.60s, not to itself as it is now", path, leave)
		}
		if path == "/" && !strings.Contains(page, `<input id="q" type="search" name="q"`) && !strings.Contains(page, `type="search"`) {
			t.Errorf("%s has no field to search: %s", path, page)
		}
		if strings.Contains(page, `method="post"`) {
			t.Errorf("%s offers to change the past", path)
		}
		if now := get(path).Body.String(); strings.Contains(now, "As it was on") || !strings.Contains(now, `type="datetime-local"`) {
			t.Errorf("%s does not offer the past: %s", path, now)
		}
	}
	if page := get(day + "?as_of=" + moment).Body.String(); strings.Contains(page, "wrong prices") {
		t.Error("the past knows of what came later")
	}
	if page := get(day).Body.String(); !strings.Contains(page, "wrong prices") {
		t.Error("now does not know of what came")
	}
	for path, what := range map[string]string{"/schedules": "The disk is full", "/schedules/nightly": "nightly is paused", "/incidents/" + string(in.ID): "nobody looks after it yet"} {
		if then, now := get(path+"?as_of="+moment).Body.String(), get(path).Body.String(); !strings.Contains(then, what) || strings.Contains(now, what) {
			t.Errorf("%s does not say %q then and then alone: %s", path, what, then)
		}
	}
	if page := get("/datasets/shop.users?as_of=" + moment).Body.String(); strings.Contains(page, "Wait for it from a job") {
		t.Error("a page of the past tells how to wait for it")
	}
	if page := get("/?as_of=").Body.String(); strings.Contains(page, "As it was on") {
		t.Error("an empty field is no moment")
	}
	for path, want := range map[string]string{
		"/v1/ready?need=shop.users@2026-01-05&as_of=" + moment: "400 as_of_not_here",
		"/v1/wait?need=shop.users@2026-01-05&as_of=" + moment:  "400 as_of_not_here",
		"/metrics?as_of=" + moment:                             "400 as_of_not_here",
		"/v1/summary?as_of=yesterday":                          "400 bad_request",
		"/v1/summary?as_of=2999-01-01T00:00:00Z":               "400 as_of_ahead",
		"/v1/summary?as_of=2000-01-01T00:00":                   "410 as_of_forgotten",
		"/v1/datasets/none?as_of=" + moment:                    "404 dataset_unknown",
	} {
		rec := get(path)
		var body struct{ Code string }
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || fmt.Sprint(rec.Code, " ", body.Code) != want {
			t.Errorf("%s: %d %s, want %s", path, rec.Code, rec.Body, want)
		}
	}
}

// The past is made of a service that goes on estimating meanwhile: with the race detector, nothing of it is read as it changes.
func TestThePastIsMadeWhileEstimatesAre(t *testing.T) {
	t.Parallel()
	st := newStory(t, 1)
	moment, err := st.book.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		s := st.serve()
		get := func(path string) {
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		get("/v1/summary") // the ledger is read; nothing is estimated yet
		var estimated sync.WaitGroup
		estimated.Go(func() {
			if err := s.Estimate(t.Context()); err != nil {
				t.Error(err)
			}
		})
		get("/v1/summary?as_of=" + moment.Format(time.RFC3339Nano))
		estimated.Wait()
	}
}
