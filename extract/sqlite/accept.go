package sqlite

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

func acceptBool(to *parquet.Vector, value driver.Value) *extract.Misfit {
	if n, ok := value.(int64); ok && (n == 0 || n == 1) {
		to.AppendBool(n == 1)
		return nil
	}
	return refuse(value, "is neither 0 nor 1")
}

func acceptInt(to *parquet.Vector, value driver.Value) *extract.Misfit {
	if n, ok := value.(int64); ok {
		to.AppendInt(n)
		return nil
	}
	if f, ok := value.(float64); ok {
		return refuseFor(value, "is no integer", func(to *parquet.Vector) { to.AppendInt(nearestInt(f)) })
	}
	return refuse(value, "is no integer")
}

// nearestInt returns the integer nearest to f; halves go away from zero.
func nearestInt(f float64) int64 {
	switch f = math.Round(f); {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

func acceptFloat(to *parquet.Vector, value driver.Value) *extract.Misfit {
	const exact = 1 << 53
	switch v := value.(type) {
	case float64:
		to.AppendFloat(v)
		return nil
	case int64:
		if -exact <= v && v <= exact {
			to.AppendFloat(float64(v))
			return nil
		}
		return refuseFor(value, "has no exact place among floating-point numbers", func(to *parquet.Vector) { to.AppendFloat(float64(v)) })
	}
	return refuse(value, "is no floating-point number")
}

func acceptDecimal(t elt.Type) acceptor {
	return func(to *parquet.Vector, value driver.Value) *extract.Misfit {
		text := ""
		switch v := value.(type) {
		case int64:
			text = strconv.FormatInt(v, 10)
		case string:
			text = v
		case float64:
			text = strconv.FormatFloat(v, 'e', -1, 64) // infinities are +Inf and -Inf
		}
		n, ok := parquet.ParseDecimal(text, t.Precision, t.Scale)
		if !ok {
			m := refuse(value, "is no "+t.String())
			if nearest, ok := parquet.NearestDecimal(text, t.Precision, t.Scale); ok {
				m.Nearest = func(to *parquet.Vector) { to.AppendDecimal(nearest) }
			}
			return m
		}
		to.AppendDecimal(n)
		return nil
	}
}

func acceptDate(to *parquet.Vector, value driver.Value) *extract.Misfit {
	text, ok := value.(string)
	if ok {
		if days, rest, ok := cutDate(text); ok && rest == "" {
			to.AppendDays(int32(days))
			return nil
		}
	}
	return refuse(value, "is no date such as 2026-01-05")
}

func acceptTime(to *parquet.Vector, value driver.Value) *extract.Misfit {
	text, ok := value.(string)
	if ok {
		if micros, rest, ok := cutClock(text); ok && rest == "" {
			to.AppendInt(micros)
			return nil
		}
		if strings.TrimRight(text, "0:.") == "24" {
			return refuseFor(value, "is no time of a day", func(to *parquet.Vector) { to.AppendInt(dayMicros - 1) })
		}
	}
	return refuse(value, "is no time of a day such as 10:20:30")
}

func acceptStamp(zoned bool) acceptor {
	return func(to *parquet.Vector, value driver.Value) *extract.Misfit {
		micros, bad := stamp(value, zoned)
		if bad != nil {
			return bad
		}
		to.AppendInt(micros)
		return nil
	}
}

// stamp reads a timestamp in microseconds since 1970-01-01.
func stamp(value driver.Value, zoned bool) (int64, *extract.Misfit) {
	text, ok := value.(string)
	if !ok {
		return 0, refuse(value, "is no text of a timestamp such as 2026-01-05 10:20:30")
	}
	if short, up, fine := tooFine(text); fine {
		micros, bad := stamp(short, zoned)
		if bad != nil {
			return 0, bad
		}
		micros = min(micros+up, maxMicros)
		return 0, refuseFor(value, "is finer than a microsecond", func(to *parquet.Vector) { to.AppendInt(micros) })
	}
	micros, zone, ok := cutStamp(text)
	if !ok {
		return 0, refuse(value, "is no timestamp such as 2026-01-05 10:20:30")
	}
	switch {
	case zoned && zone == "":
		return 0, refuse(value, "carries no zone, which its column declares")
	case !zoned && zone != "":
		return 0, refuse(value, "carries a zone, which its column does not declare: TIMESTAMPTZ would")
	case !zoned:
		return micros, nil
	}
	offset, ok := zoneOffset(zone)
	if micros -= offset; !ok || micros < minMicros || micros > maxMicros {
		nearest := min(max(micros, minMicros), maxMicros)
		return 0, refuseFor(value, "is no instant of the years 1 to 9999", func(to *parquet.Vector) { to.AppendInt(nearest) })
	}
	return micros, nil
}

func acceptUUID(to *parquet.Vector, value driver.Value) *extract.Misfit {
	switch v := value.(type) {
	case []byte:
		if len(v) == 16 {
			h := hex.EncodeToString(v)
			to.AppendString(strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"))
			return nil
		}
	case string:
		plain := strings.ReplaceAll(v, "-", "")
		if _, err := hex.DecodeString(plain); err == nil && len(plain) == 32 && len(v) == 36 &&
			v[8] == '-' && v[13] == '-' && v[18] == '-' && v[23] == '-' {
			to.AppendString(strings.ToLower(v))
			return nil
		}
	}
	return refuse(value, "is no UUID")
}

func acceptBytes(to *parquet.Vector, value driver.Value) *extract.Misfit {
	if v, ok := value.([]byte); ok {
		to.AppendOctets(v)
		return nil
	}
	return refuse(value, "is no BLOB")
}

func acceptText(to *parquet.Vector, value driver.Value) *extract.Misfit {
	switch v := value.(type) {
	case string:
		if !utf8.ValidString(v) {
			return extract.Refuse(fmt.Sprintf(`the text \x%x`, v[:min(len(v), 50)]), "is not UTF-8")
		}
		to.AppendString(v)
		return nil
	case int64:
		to.AppendString(strconv.FormatInt(v, 10))
		return nil
	case float64:
		to.AppendString(parquet.FormatFloat(v))
		return nil
	}
	return refuse(value, "is no text")
}
