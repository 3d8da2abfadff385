package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// digest asks the server for its own digest of a piece's rows, where one is wanted. The session sees the snapshot that
// the rows came from.
func (d *reading) digest(ctx context.Context, in *session, p piece) (sum elt.RowDigest, err error) {
	if !d.request.Facts.Digest {
		return sum, nil
	}
	row, err := rowText(d.table, d.request)
	if err != nil {
		return sum, err
	}
	query := "SELECT count(*), coalesce(sum(" + slice(1) + "), 0)::text, coalesce(sum(" + slice(17) + "), 0)::text FROM (SELECT md5(convert_to(" +
		row + ", 'UTF8')) AS h FROM " + p.sql(d.request.Range) + " OFFSET 0) AS d"
	if err := in.QueryRow(ctx, query).Scan(&sum.Rows, &sum.A, &sum.B); err != nil {
		return sum, fault(ctx, err, "cannot take a digest of table %s of source %s", d.table.info.Name, d.snapshot.source.opts.Name)
	}
	return sum, nil
}

// slice is 60 bits of the MD5 h as a number.
func slice(from int) string {
	return "('x' || substr(h, " + strconv.Itoa(from) + ", 15))::bit(60)::bigint"
}

// concatenated is how many arguments one concat is given: a function takes at most 100.
const concatenated = 50

// rowText returns the expression of a row's canonical text, as parquet.Digest describes it.
func rowText(t table, r extract.Request) (string, error) {
	fields := []string{"''"}
	for _, as := range r.Columns {
		if r.Facts.Leaves(as.Name) {
			continue
		}
		c, ok := t.column(as.Name)
		if !ok {
			return "", fmt.Errorf("table %s has no column %q any more", t.info.Name, as.Name)
		}
		name := pgx.Identifier{as.Name}.Sanitize()
		switch as.Masked {
		case extract.MaskHash: // the key of the hash stays with Daybreak
			fields = append(fields, "CASE WHEN "+name+" IS NULL THEN '-' ELSE '+' END")
		case extract.MaskRedact:
			fields = append(fields, fmt.Sprintf("CASE WHEN %s IS NULL THEN '-' ELSE '%d:%s' END", name, len(extract.Redacted), extract.Redacted))
		default:
			fields = append(fields, fieldText(c, name))
		}
	}
	for len(fields) > concatenated {
		var next []string
		for part := range slices.Chunk(fields, concatenated) {
			next = append(next, "concat("+strings.Join(part, ", ")+")")
		}
		fields = next
	}
	return "concat(" + strings.Join(fields, ", ") + ")", nil
}

// fieldText returns the expression of a column's field.
func fieldText(c column, name string) string {
	if c.Type.Kind != elt.List {
		return prefixed(name, canonical(c.Type, c.cast, c.blank, name))
	}
	element := prefixed("e", canonical(*c.Type.Elem, "", c.blank, "e"))
	return prefixed(name, "(SELECT coalesce(string_agg("+element+", '' ORDER BY o), '') FROM unnest("+name+c.cast+") WITH ORDINALITY AS u(e, o))")
}

// prefixed puts the length in octets before a text, unless the value is NULL.
func prefixed(value, text string) string {
	return "CASE WHEN " + value + " IS NULL THEN '-' ELSE octet_length(convert_to(" + text + ", 'UTF8')) || ':' || " + text + " END"
}

// canonical returns the expression of a value's canonical text. cast is that of the column's item in a select list.
func canonical(t elt.Type, cast string, blank bool, value string) string {
	switch t.Kind {
	case elt.Bool:
		return value + "::int::text"
	case elt.Int64:
		return value + "::bigint::text"
	case elt.Float64:
		return float(value)
	case elt.Decimal:
		return "trunc(" + value + " * 1" + strings.Repeat("0", t.Scale) + ")::numeric(38, 0)::text"
	case elt.DateKind:
		return "(" + value + " - date '1970-01-01')::text"
	case elt.TimeKind:
		return micros(value + " - time '00:00'")
	case elt.Timestamp:
		return micros("(" + value + " AT TIME ZONE 'UTC') - timestamp '1970-01-01'")
	case elt.LocalTimestamp:
		return micros(value + " - timestamp '1970-01-01'")
	case elt.Bytes:
		return "encode(" + value + ", 'hex')"
	}
	if blank { // a cast to text would take its blanks off
		return "concat(" + value + ")"
	}
	if cast == "" {
		cast = "::text"
	}
	return value + cast
}

// micros returns the text of an interval that has days and a time of day, in microseconds. The number of seconds as
// such is a double before version 14, which has not the digits.
func micros(interval string) string {
	interval = "(" + interval + ")"
	return "(extract(day FROM " + interval + ")::bigint * 86400000000 + extract(hour FROM " + interval + ")::bigint * 3600000000 + extract(minute FROM " +
		interval + ")::bigint * 60000000 + extract(microseconds FROM " + interval + ")::bigint)::text"
}

// float returns the digits and the exponent of a double's shortest text.
func float(value string) string {
	value = value + "::float8"
	text := "abs(" + value + ")::text"
	whole := "split_part(split_part(" + text + ", 'e', 1), '.', 1)"
	digits := "(" + whole + " || split_part(split_part(" + text + ", 'e', 1), '.', 2))"
	exponent := "(coalesce(nullif(split_part(" + text + ", 'e', 2), ''), '0')::int + length(" + whole + ") - 1 - (length(" + digits + ") - length(ltrim(" + digits + ", '0'))))"
	return "CASE WHEN " + value + " = 0 THEN '0' WHEN " + value + " = 'NaN' THEN 'nan' WHEN " + value + " = 'Infinity' THEN 'inf' WHEN " + value + " = '-Infinity' THEN '-inf'" +
		" ELSE CASE WHEN " + value + " < 0 THEN '-' ELSE '' END || trim(" + digits + ", '0') || 'e' || " + exponent + " END"
}
