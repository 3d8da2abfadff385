package mysql

import (
	"strconv"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// decoded reads raw for a column of that type and returns it as canonical text.
func decoded(t elt.Type, decode decoder, raw []byte) (string, bool) {
	v := parquet.NewVector(t)
	if err := decode(v, raw); err != nil {
		return "", false
	}
	return v.Texts()[0], true
}

// FuzzIntegers holds integers to strconv's idea of them.
func FuzzIntegers(f *testing.F) {
	for _, s := range []string{"", "-", "0", "-0", "007", "-9223372036854775808", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e3", "+1", "--1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, ok := decoded(elt.Type{Kind: elt.Int64}, decodeInt, raw); ok {
			if want, err := strconv.ParseInt(string(raw), 10, 64); err != nil || got != strconv.FormatInt(want, 10) {
				t.Errorf("%q is %s, not %d, %v", raw, got, want, err)
			}
		}
		if got, ok := decoded(elt.Type{Kind: elt.Uint64}, decodeUint, raw); ok {
			if want, err := strconv.ParseUint(string(raw), 10, 64); err != nil || got != strconv.FormatUint(want, 10) {
				t.Errorf("%q is %s, not %d, %v", raw, got, want, err)
			}
		}
	})
}

// FuzzDecimals holds the short way to read a decimal to the long one.
func FuzzDecimals(f *testing.F) {
	for _, s := range []string{"", ".", "-.5", "0.10", "-1234567890.12", "00001.50", "1.5", "1.234", "x.10", "1-.10", "999999999999999.99", "9999999999999999.99"} {
		f.Add([]byte(s), 2)
		f.Add([]byte(s), 0)
	}
	f.Fuzz(func(t *testing.T, raw []byte, scale int) {
		if scale < 0 || scale > 18 {
			return
		}
		n, ok := shortDecimal(raw, scale)
		if !ok {
			return
		}
		want, ok := parquet.ParseDecimal(string(raw), 18, scale)
		if !ok || want != parquet.ToInt128(n) {
			t.Errorf("%q with scale %d is %d, not %v, %v", raw, scale, n, want, ok)
		}
	})
}

// FuzzTimes holds dates and timestamps to the time package's idea of them.
func FuzzTimes(f *testing.F) {
	for _, s := range []string{"", "0000-00-00", "2000-00-01", "2024-02-29", "1900-02-29", "2000-02-29", "9999-12-31 23:59:59.999999", "0001-01-01 00:00:00", "2026-01-05 24:00:00",
		"2026-01-05 10:20:30.", "2026-01-05 10:20:30.5", "2026-01-05T10:20:30", "2026-01-05 10:20:30.1234567", "2026-1-05 10:20:30"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, ok := decoded(elt.Type{Kind: elt.DateKind}, decodeDate, raw); ok {
			if want, err := time.Parse(time.DateOnly, string(raw)); err != nil || got != want.Format(time.DateOnly) {
				t.Errorf("%q is %s, not %s, %v", raw, got, want, err)
			}
		}
		if got, ok := decoded(elt.Type{Kind: elt.LocalTimestamp}, decodeTimestamp, raw); ok {
			if want, err := time.Parse("2006-01-02 15:04:05.999999", string(raw)); err != nil || got != want.Format("2006-01-02 15:04:05.999999") {
				t.Errorf("%q is %s, not %s, %v", raw, got, want, err)
			}
		}
	})
}

func TestEveryDayHasItsNumber(t *testing.T) {
	for day, want := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), int64(-719162); day.Year() < 10000; day, want = day.AddDate(0, 0, 1), want+1 {
		if got, why := cutDate([]byte(day.Format(time.DateOnly))); got != want || why != "" {
			t.Fatalf("%s is day %d, not %d: %s", day.Format(time.DateOnly), got, want, why)
		}
	}
}

// FuzzNames: what is read as a table's name is written so that it reads the same.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"users", "shop.users", "`sh.op`.`us``ers`", "`", "``", "a..b", ".a", "a.", "`a`b", "a`b", "a.b.c", "```a`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseTableName(s)
		if err != nil {
			return
		}
		if again, err := parseTableName(n.String()); err != nil || again != n {
			t.Errorf("%q is %+v, written %s, and then %+v, %v", s, n, n, again, err)
		}
	})
}

// FuzzGeometry: whatever comes, nothing is read beyond its end, and what is taken keeps its length but for the SRID.
func FuzzGeometry(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f"))
	f.Add([]byte("\xe6\x10\x00\x00\x01\x07\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, ok := decoded(elt.Type{Kind: elt.Bytes}, decodeGeometry, raw)
		if n := (len(text) - 2) / 2; ok && n != len(raw) && n != len(raw)-4 {
			t.Errorf("%x became %s", raw, text)
		}
	})
}
