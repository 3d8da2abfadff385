package sqlite

import (
	"testing"
	"time"
)

func FuzzStamp(f *testing.F) {
	for _, s := range []string{"2026-01-05 10:20:30.123456+02:00", "0001-01-01T00:00Z", "9999-12-31 23:59:59.999999", "2024-02-29 00:00:00 -0330"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		micros, zone, ok := cutStamp(s)
		if !ok {
			return
		}
		// What was taken can be written and read again, and is the same moment.
		again := time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.000000")
		if got, rest, ok := cutStamp(again); !ok || rest != "" || got != micros {
			t.Errorf("%q is %d, written %q and read %d, %q, %v", s, micros, again, got, rest, ok)
		}
		if _, ok := zoneOffset(zone); zone != "" && !ok {
			t.Errorf("%q has the zone %q, which has no offset", s, zone)
		}
	})
}
