package sqlite

import (
	"strings"
	"time"
)

// The first and the last moment that every warehouse holds, in microseconds since 1970-01-01.
const (
	minMicros = -62135596800 * 1_000_000 // 0001-01-01
	maxMicros = 253402300800*1_000_000 - 1
	dayMicros = 86400 * 1_000_000
)

// cutDate reads the date at the beginning of s as days since 1970-01-01.
func cutDate(s string) (days int64, rest string, ok bool) {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return 0, "", false
	}
	year, y := digits(s[:4])
	month, m := digits(s[5:7])
	day, d := digits(s[8:10])
	if !y || !m || !d || year < 1 {
		return 0, "", false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Month() != time.Month(month) || t.Day() != day {
		return 0, "", false
	}
	return floorDays(t.Unix()), s[10:], true
}

func floorDays(seconds int64) int64 {
	days := seconds / 86400
	if seconds%86400 < 0 {
		days--
	}
	return days
}

// cutClock reads the time of day at the beginning of s in microseconds: 10:20, 10:20:30 or 10:20:30.123456;
// digits after the sixth must be zeros.
func cutClock(s string) (micros int64, rest string, ok bool) {
	if len(s) < 5 || s[2] != ':' {
		return 0, "", false
	}
	hour, h := digits(s[:2])
	minute, m := digits(s[3:5])
	second, rest := 0, s[5:]
	if len(rest) >= 3 && rest[0] == ':' {
		var ok bool
		if second, ok = digits(rest[1:3]); !ok {
			return 0, "", false
		}
		rest = rest[3:]
		if micros, rest, ok = cutFraction(rest); !ok {
			return 0, "", false
		}
	}
	if !h || !m || hour > 23 || minute > 59 || second > 59 {
		return 0, "", false
	}
	return micros + int64((hour*60+minute)*60+second)*1_000_000, rest, true
}

func cutFraction(s string) (micros int64, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	end := 1
	for unit := int64(100_000); end < len(s) && '0' <= s[end] && s[end] <= '9'; end, unit = end+1, unit/10 {
		if unit == 0 && s[end] != '0' {
			return 0, "", false
		}
		micros += unit * int64(s[end]-'0')
	}
	return micros, s[end:], end > 1
}

// tooFine reports whether a timestamp has digits below a microsecond, and returns it without them; up is the microsecond
// that they are rounded to.
func tooFine(s string) (short string, up int64, fine bool) {
	point := strings.IndexByte(s, '.')
	if point < 0 {
		return s, 0, false
	}
	end := point + 1
	for end < len(s) && '0' <= s[end] && s[end] <= '9' {
		end++
	}
	first := point + 7 // below the microsecond
	if end <= first || strings.Trim(s[first:end], "0") == "" {
		return s, 0, false
	}
	if s[first] >= '5' {
		up = 1
	}
	return s[:first] + s[end:], up, true
}

// cutStamp reads a date and a time of day, in microseconds since 1970-01-01 as a clock shows them, and
// returns the zone behind them as it is written.
func cutStamp(s string) (micros int64, zone string, ok bool) {
	days, rest, ok := cutDate(s)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != 'T' {
		return 0, "", false
	}
	clock, rest, ok := cutClock(rest[1:])
	if !ok {
		return 0, "", false
	}
	if rest != "" {
		if rest[0] == ' ' {
			rest = rest[1:]
		}
		if _, ok := zoneOffset(rest); !ok {
			return 0, "", false
		}
	}
	return days*dayMicros + clock, rest, true
}

// zoneOffset reads Z, +02:00, +0200 or +02 in microseconds.
func zoneOffset(s string) (int64, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, ok := digits(s[1:3])
	minute := 0
	switch rest := s[3:]; {
	case len(rest) == 3 && rest[0] == ':':
		var m bool
		minute, m = digits(rest[1:])
		ok = ok && m
	case len(rest) == 2:
		var m bool
		minute, m = digits(rest)
		ok = ok && m
	case rest != "":
		return 0, false
	}
	offset := int64(hour*60+minute) * 60 * 1_000_000
	if s[0] == '-' {
		offset = -offset
	}
	return offset, ok && hour <= 15 && minute <= 59
}

// digits reads a number that consists of digits alone.
func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}
