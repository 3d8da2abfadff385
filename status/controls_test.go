package status

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// What operators do with schedules and maintenance is done, and what cannot be done says why.
func TestScheduleControls(t *testing.T) {
	s, acts, _ := serveTokens(t)
	header := []string{"Authorization", "Bearer " + acts.Add("on-call", elt.Operator, time.Time{})}
	for _, test := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/v1/schedules/nothing/pause", `{"reason":"r"}`, http.StatusNotFound, "schedule_unknown"},
		{"/v1/schedules/nightly/pause", `{}`, http.StatusBadRequest, "reason is missing"},
		{"/v1/schedules/nightly/pause", `{"reason":"r","until":"soon"}`, http.StatusBadRequest, "is no moment"},
		{"/v1/schedules/nightly/pause", `{"reason":"the disk is full","until":"2026-11-22T06:00"}`, http.StatusOK, "nightly rests until Sun 22 Nov 2026, 06:00"},
		{"/v1/schedules/nightly/resume", `{"reason":"mended"}`, http.StatusOK, "nightly starts again."},
		{"/v1/schedules/nightly/resume", `{"reason":"mended"}`, http.StatusOK, "nightly does not rest."},
		{"/v1/schedules/nightly/trigger", `{"date":"2026-11-19","reason":"r"}`, http.StatusOK, "Run run-2026-11-19 brings 2026-11-19."},
		{"/v1/schedules/nightly/trigger", `{"date":"2026-11-20","reason":"r"}`, http.StatusOK, "is there already"},
		{"/v1/schedules/nightly/trigger", `{"date":"x","reason":"r"}`, http.StatusBadRequest, "is not a date"},
		{"/v1/maintenance", `{"reason":"r","sources":"shop"}`, http.StatusBadRequest, "is missing: when it is over"},
		{"/v1/maintenance", `{"reason":"r","to":"4h"}`, http.StatusBadRequest, "covers nothing"},
		{"/v1/maintenance", `{"to":"4h","everything":"true"}`, http.StatusBadRequest, "reason is missing"},
		{"/v1/maintenance", `{"reason":"r","to":"4h","everything":"perhaps"}`, http.StatusBadRequest, "neither true nor false"},
		{"/v1/maintenance", `{"reason":"r","to":"4h","sources":"shop,crm9"}`, http.StatusBadRequest, "o table comes from a source"},
		{"/v1/maintenance", `{"reason":"r","to":"4h","datasets":"nothing"}`, http.StatusNotFound, "dataset_unknown"},
		{"/v1/maintenance", `{"reason":"r","to":"4h","timezone":"Mars/Base"}`, http.StatusBadRequest, "IANA name"},
		{"/v1/maintenance", `{"reason":"the server moves","from":"2026-11-21 20:00","to":"4h","timezone":"Europe/Dublin","sources":"shop"}`, http.StatusOK, "rests from Sat 21 Nov 20:00 to Sun 22 Nov 00:00"},
		{"/v1/maintenance/maintenance-9/end", `{"reason":"r"}`, http.StatusNotFound, "maintenance_unknown"},
		{"/v1/maintenance/maintenance-1/end", `{"reason":"it was quicker"}`, http.StatusOK, "is expected again"},
	} {
		answer, body := post(t, s, test.path, test.body, header...)
		if answer.StatusCode != test.status || !strings.Contains(body, test.says) {
			t.Errorf("%s %s: %d %s", test.path, test.body, answer.StatusCode, body)
		}
	}
	var windows api.MaintenanceWindows
	getJSON(t, s, "/v1/maintenance", &windows, header...)
	if len(windows.Windows) != 1 || windows.Windows[0].EndedBy == "" || windows.Windows[0].Sources[0] != "shop" {
		t.Errorf("%+v", windows.Windows)
	}
	var ticks api.Ticks
	getJSON(t, s, "/v1/schedules/nightly/ticks?limit=2", &ticks, header...)
	if len(ticks.Ticks) != 2 || ticks.Ticks[0].Hold == nil || ticks.Ticks[1].Skipped == "" {
		t.Errorf("%+v", ticks.Ticks)
	}
	if answer, _ := get(t, s, "/v1/schedules/nothing/ticks", header...); answer.StatusCode != http.StatusNotFound {
		t.Errorf("ticks of nothing: %d", answer.StatusCode)
	}
}

// The pages show what is paused, held and announced, with the forms for whoever may act.
func TestSchedulePages(t *testing.T) {
	s, acts, _ := serveTokens(t)
	operator := []string{"Authorization", "Bearer " + acts.Add("on-call", elt.Operator, time.Time{})}
	viewer := []string{"Authorization", "Bearer " + acts.Add("analyst", elt.Viewer, time.Time{})}
	if answer := postForm(t, s, "/schedules/nightly/pause", url.Values{"reason": {"the disk is full"}, "next": {"/schedules/nightly"}}, operator...); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/schedules/nightly" {
		t.Errorf("%d to %s", answer.StatusCode, answer.Header.Get("Location"))
	}
	if answer := postForm(t, s, "/maintenance", url.Values{"reason": {"new disks"}, "to": {"2026-11-22T06:00"}, "timezone": {"UTC"}, "everything": {"on"}, "next": {"/schedules"}}, operator...); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("%d", answer.StatusCode)
	}
	for path, wants := range map[string][]string{
		"/schedules":         {"Paused by on-call", "The disk is full.", "New disks.", "Everything", "/schedules/nightly"},
		"/schedules/nightly": {"nightly is paused.", "Held", "Waits for revenue", "Founders&#39; Day (calendar company).", "/runs/20261121t0500-nightly"},
	} {
		_, body := get(t, s, path, append(operator, "Accept", "text/html")...)
		for _, want := range wants {
			if !strings.Contains(strings.ReplaceAll(strings.ReplaceAll(body, "<wbr>", ""), "\u00a0", " "), want) {
				t.Errorf("%s does not say %q:\n%s", path, want, body)
			}
		}
		if !strings.Contains(body, "<form class=\"act\"") {
			t.Errorf("%s has no form for an operator", path)
		}
		if _, body := get(t, s, path, append(viewer, "Accept", "text/html")...); strings.Contains(body, "<form class=\"act\"") {
			t.Errorf("%s has a form for a viewer", path)
		}
	}
}

// While a window lasts, no gate opens and none says that waiting is in vain; the last expected day is named. A holiday is
// impossible, and names it too.
func TestGatesOfDaysThatAreNotExpected(t *testing.T) {
	w := statustest.Busy()
	day := w.Day("shop.users", elt.Date{Year: 2026, Month: 11, Day: 20})
	day.Date = day.Date.AddDays(1)
	day.Run, day.NotExpected, day.NotExpectedKind = "", "Founders' Day (calendar company)", elt.ByCalendar
	w.SetDay(day)
	s := serve(t, w)
	var gate api.Gate
	getJSON(t, s, "/v1/ready?need=shop.users@2026-11-21", &gate)
	n := gate.Needs[0]
	if n.Verdict != api.Impossible || n.Last == nil || n.Last.String() != "2026-11-20" || !strings.Contains(n.Reason, "Founders' Day") || !strings.Contains(n.Reason, "last day that was expected is Fri 20 Nov") {
		t.Errorf("%+v", n)
	}
}

func triggered(_ context.Context, s elt.ScheduleName, date elt.Date, _, _ string) (elt.Run, bool, error) {
	return elt.Run{ID: elt.RunID(fmt.Sprintf("run-%s", date)), Schedule: s, Date: date, State: elt.RunRunning}, date.Day != 20, nil
}
