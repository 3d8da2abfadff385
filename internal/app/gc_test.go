package app

import (
	"testing"
	"time"
)

func TestNextTime(t *testing.T) {
	dublin, err := time.LoadLocation("Europe/Dublin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ now, at, want string }{
		{"2026-01-05T08:00:00Z", "12:30", "2026-01-05T12:30:00Z"},
		{"2026-01-05T12:30:00Z", "12:30", "2026-01-06T12:30:00Z"},
		{"2026-01-31T23:59:59Z", "00:00", "2026-02-01T00:00:00Z"},
		{"2026-03-28T12:00:00Z", "11:00", "2026-03-29T10:00:00Z"}, // the clocks went forward
		{"2026-10-24T12:00:00Z", "12:30", "2026-10-25T12:30:00Z"}, // and back
	} {
		now, err := time.Parse(time.RFC3339, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := nextTime(now.In(dublin), tc.at).UTC().Format(time.RFC3339); got != tc.want {
			t.Errorf("%s after %s is %s, want %s", tc.at, tc.now, got, tc.want)
		}
	}
}
