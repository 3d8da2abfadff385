package mysql

import "github.com/daybreak-data/daybreak/extract/parquet"

const dayMicros = 86400 * 1_000_000

func decodeDate(to *parquet.Vector, raw []byte) error {
	days, why := cutDate(raw)
	if why == "" && len(raw) != 10 {
		why = "is no date"
	}
	if why != "" {
		m := refuse(raw, why)
		if len(raw) == 10 {
			if days, ok := nearestDate(raw); ok {
				m.Nearest = func(to *parquet.Vector) { to.AppendDays(int32(days)) }
			}
		}
		return m
	}
	to.AppendDays(int32(days))
	return nil
}

func decodeTimestamp(to *parquet.Vector, raw []byte) error {
	days, why := cutDate(raw)
	if why != "" {
		m := refuse(raw, why)
		if days, ok := nearestDate(raw); ok {
			micros, ok := cutClock(raw[10:])
			if ok {
				m.Nearest = func(to *parquet.Vector) { to.AppendInt(days*dayMicros + micros) }
			}
		}
		return m
	}
	micros, ok := cutClock(raw[10:])
	if !ok {
		return refuse(raw, "is no timestamp")
	}
	to.AppendInt(days*dayMicros + micros)
	return nil
}

// pair reads two digits; what are none give more than 99.
func pair(a, b byte) int {
	x, y := int(a-'0'), int(b-'0')
	if x > 9 || y > 9 {
		return 100
	}
	return x*10 + y
}

var monthDays = [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// cutDate reads 2026-01-05 at the beginning of raw as days since 1970-01-01, or says why it cannot be.
func cutDate(raw []byte) (days int64, why string) {
	if len(raw) < 10 || raw[4] != '-' || raw[7] != '-' {
		return 0, "is no date"
	}
	century, year, month, day := pair(raw[0], raw[1]), pair(raw[2], raw[3]), pair(raw[5], raw[6]), pair(raw[8], raw[9])
	switch y := century*100 + year; {
	case century > 99 || year > 99 || month > 12 || day > 31:
		return 0, "is no date"
	case month == 0 || day == 0:
		return 0, "has a zero for its month or day, and is no date"
	case y == 0:
		return 0, "is outside of the years 1 to 9999"
	case day > monthDays[month-1] || month == 2 && day == 29 && (y%4 != 0 || y%100 == 0 && y%400 != 0):
		return 0, "is not in the calendar"
	default:
		return dayNumber(y, month, day), ""
	}
}

// nearestDate reads a date that is none, such as 2000-00-01 or 2026-02-31: each part that is too small or too large
// becomes the nearest that can be, the month before the day.
func nearestDate(raw []byte) (days int64, ok bool) {
	if len(raw) < 10 || raw[4] != '-' || raw[7] != '-' {
		return 0, false
	}
	century, year, month, day := pair(raw[0], raw[1]), pair(raw[2], raw[3]), pair(raw[5], raw[6]), pair(raw[8], raw[9])
	if century > 99 || year > 99 || month > 99 || day > 99 {
		return 0, false
	}
	y := century*100 + year
	if y == 0 {
		return dayNumber(1, 1, 1), true
	}
	m := min(max(month, 1), 12)
	last := monthDays[m-1]
	if m == 2 && (y%4 != 0 || y%100 == 0 && y%400 != 0) {
		last = 28
	}
	return dayNumber(y, m, min(max(day, 1), last)), true
}

// dayNumber counts the days since 1970-01-01. The year is taken to begin in March, so that the leap day ends it, and
// months then repeat every five, in 153 days.
func dayNumber(year, month, day int) int64 {
	if month < 3 {
		year, month = year-1, month+12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 719469)
}

// cutClock reads " 10:20:30" with up to six digits more, in microseconds.
func cutClock(raw []byte) (micros int64, ok bool) {
	if len(raw) < 9 || raw[0] != ' ' || raw[3] != ':' || raw[6] != ':' {
		return 0, false
	}
	hour, minute, second := pair(raw[1], raw[2]), pair(raw[4], raw[5]), pair(raw[7], raw[8])
	if hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	micros = int64((hour*60+minute)*60+second) * 1_000_000
	if raw = raw[9:]; len(raw) == 0 {
		return micros, true
	}
	if raw[0] != '.' || len(raw) > 7 {
		return 0, false
	}
	fraction, ok := cutDigits(raw[1:])
	for range 7 - len(raw) {
		fraction *= 10
	}
	return micros + int64(fraction), ok
}
