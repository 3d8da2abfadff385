package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
)

// errShort says that a value has not the length of its type: the stream is not what it was taken for.
var errShort = errors.New("a value of an unexpected length")

// PostgreSQL counts from 2000-01-01.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86400 * 1_000_000
)

// The first and the last moment that every warehouse holds, counted from 1970-01-01.
const (
	minMicros = -62135596800 * 1_000_000 // 0001-01-01
	maxMicros = 253402300800*1_000_000 - 1
	minDays   = -719162
	maxDays   = 2932896 // 9999-12-31
	dayMicros = 86400 * 1_000_000
)

// beyond writes a moment that is before the year 1 or after 9999 as PostgreSQL does.
func beyond(t time.Time, clock string) string {
	t = t.UTC()
	if year := t.Year(); year < 1 {
		return fmt.Sprintf("%04d%s BC", 1-year, t.Format("-01-02"+clock))
	}
	return t.Format("2006-01-02" + clock)
}

func decodeBool(to *parquet.Vector, raw []byte) error {
	if len(raw) != 1 {
		return errShort
	}
	to.AppendBool(raw[0] != 0)
	return nil
}

func decodeInt2(to *parquet.Vector, raw []byte) error {
	if len(raw) != 2 {
		return errShort
	}
	to.AppendInt(int64(int16(binary.BigEndian.Uint16(raw))))
	return nil
}

func decodeInt4(to *parquet.Vector, raw []byte) error {
	if len(raw) != 4 {
		return errShort
	}
	to.AppendInt(int64(int32(binary.BigEndian.Uint32(raw))))
	return nil
}

func decodeInt8(to *parquet.Vector, raw []byte) error {
	if len(raw) != 8 {
		return errShort
	}
	to.AppendInt(int64(binary.BigEndian.Uint64(raw)))
	return nil
}

func decodeOID(to *parquet.Vector, raw []byte) error {
	if len(raw) != 4 {
		return errShort
	}
	to.AppendInt(int64(binary.BigEndian.Uint32(raw)))
	return nil
}

func decodeFloat4(to *parquet.Vector, raw []byte) error {
	if len(raw) != 4 {
		return errShort
	}
	to.AppendFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(raw))))
	return nil
}

func decodeFloat8(to *parquet.Vector, raw []byte) error {
	if len(raw) != 8 {
		return errShort
	}
	to.AppendFloat(math.Float64frombits(binary.BigEndian.Uint64(raw)))
	return nil
}

func decodeBytes(to *parquet.Vector, raw []byte) error {
	to.AppendOctets(raw)
	return nil
}

func decodeJSONB(to *parquet.Vector, raw []byte) error {
	if len(raw) < 1 || raw[0] != 1 {
		return fmt.Errorf("a jsonb of an unknown version")
	}
	return extract.AppendText(to, raw[1:])
}

func decodeUUID(to *parquet.Vector, raw []byte) error {
	if len(raw) != 16 {
		return errShort
	}
	var text [36]byte
	hex.Encode(text[:8], raw[:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	to.AppendOctets(text[:])
	return nil
}

func decodeDate(to *parquet.Vector, raw []byte) error {
	if len(raw) != 4 {
		return errShort
	}
	days := int32(binary.BigEndian.Uint32(raw))
	if since := int64(days) + epochDays; since < minDays || since > maxDays {
		return farDate(days)
	}
	to.AppendDays(days + epochDays)
	return nil
}

// farDate is the misfit of a date that is out of range, or none.
func farDate(days int32) *extract.Misfit {
	m := extract.Refuse(beyond(time.Unix((int64(days)+epochDays)*86400, 0), ""), "is outside of the years 1 to 9999")
	nearest := int32(minDays)
	if days > 0 {
		nearest = maxDays
	}
	m.Nearest = func(to *parquet.Vector) { to.AppendDays(nearest) }
	switch days {
	case math.MaxInt32:
		m.Value, m.Why = "infinity", "is no date"
	case math.MinInt32:
		m.Value, m.Why = "-infinity", "is no date"
	}
	return m
}

func decodeTime(to *parquet.Vector, raw []byte) error {
	if len(raw) != 8 {
		return errShort
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	if micros >= dayMicros {
		m := extract.Refuse("24:00:00", "is no time of a day")
		m.Nearest = func(to *parquet.Vector) { to.AppendInt(dayMicros - 1) }
		return m
	}
	to.AppendInt(micros)
	return nil
}

func decodeTimestamp(to *parquet.Vector, raw []byte) error {
	if len(raw) != 8 {
		return errShort
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	if micros < minMicros-epochMicros || micros > maxMicros-epochMicros {
		return farTimestamp(micros)
	}
	to.AppendInt(micros + epochMicros)
	return nil
}

// farTimestamp is the misfit of a timestamp that is out of range, or none.
func farTimestamp(micros int64) *extract.Misfit {
	at := time.UnixMicro(micros).Add(epochDays * 24 * time.Hour)
	m := extract.Refuse(beyond(at, " 15:04:05.999999"), "is outside of the years 1 to 9999")
	nearest := int64(minMicros)
	if micros > 0 {
		nearest = maxMicros
	}
	m.Nearest = func(to *parquet.Vector) { to.AppendInt(nearest) }
	switch micros {
	case math.MaxInt64:
		m.Value, m.Why = "infinity", "is no timestamp"
	case math.MinInt64:
		m.Value, m.Why = "-infinity", "is no timestamp"
	}
	return m
}

// decodeArray reads arrays of at most one dimension that begins at 1.
func decodeArray(element decoder) decoder {
	return decoder{one: func(to *parquet.Vector, raw []byte) error {
		err := appendArray(to, raw, element)
		if misfit, ok := errors.AsType[*extract.Misfit](err); ok && misfit.Nearest != nil { // of an element, not of the array
			return extract.Refuse(misfit.Value, misfit.Why)
		}
		return err
	}}
}

// appendArray appends an array, or nothing when it returns an error.
func appendArray(to *parquet.Vector, raw []byte, element decoder) (err error) {
	if len(raw) < 12 {
		return errShort
	}
	dimensions := binary.BigEndian.Uint32(raw)
	raw = raw[12:]
	if dimensions > 1 {
		return extract.Refuse(fmt.Sprintf("an array of %d dimensions", dimensions), "has no place in a list")
	}
	to.BeginList()
	defer func() {
		if to.EndList(); err != nil {
			to.DropRow()
		}
	}()
	if dimensions == 0 {
		return nil
	}
	if len(raw) < 8 {
		return errShort
	}
	n, first := binary.BigEndian.Uint32(raw), int32(binary.BigEndian.Uint32(raw[4:]))
	if first != 1 {
		return extract.Refuse(fmt.Sprintf("an array that begins at index %d", first), "would lose its index in a list")
	}
	raw = raw[8:]
	for range n {
		if len(raw) < 4 {
			return errShort
		}
		size := int32(binary.BigEndian.Uint32(raw))
		raw = raw[4:]
		if size < 0 {
			to.AppendNull()
			continue
		}
		if len(raw) < int(size) {
			return errShort
		}
		if err := element.one(to, raw[:size]); err != nil {
			return err
		}
		raw = raw[size:]
	}
	return nil
}
