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
	// What the server stores is UTF-8 already, unless it says otherwise.
	octets := func(text string) string { return text }
	if in.PgConn().ParameterStatus("server_encoding") != "UTF8" {
		octets = func(text string) string { return "convert_to(" + text + ", 'UTF8')" }
	}
	row, from, err := rowText(d.table, d.request, p.sql(d.request.Range), octets)
	if err != nil {
		return sum, err
	}
	query := "SELECT count(*), coalesce(sum(" + slice(1) + "), 0)::text, coalesce(sum(" + slice(17) + "), 0)::text FROM (SELECT md5(" + octets(row) + ") AS h FROM " + from + " OFFSET 0) AS d"
	if err := in.QueryRow(ctx, query).Scan(&sum.Rows, &sum.A, &sum.B); err != nil {
		return sum, fault(ctx, err, "cannot take a digest of table %s of source %s", d.table.info.Name, d.snapshot.source.opts.Name)
	}
	return sum, nil
}

// slice is 60 bits of the MD5 h as a number.
func slice(from int) string {
	return "('x' || substr(h, " + strconv.Itoa(from) + ", 15))::bit(60)::bigint"
}

// concatenated is how many fields one concat is given, of two arguments each: a function takes at most 100.
const concatenated = 50

// rowText returns the expression of a row's canonical text, as parquet.Digest describes it, and what it is selected from:
// the rows, in which each value's text has been put down once, however often the row's text needs it. OFFSET 0 keeps the
// server from putting it in again.
func rowText(t table, r extract.Request, rows string, octets func(string) string) (text, from string, err error) {
	fields := []string{"''"}
	var values, texts []string
	for i, as := range r.Columns {
		if r.Facts.Leaves(as.Name) {
			continue
		}
		c, ok := t.column(as.Name)
		if !ok {
			return "", "", fmt.Errorf("table %s has no column %q any more", t.info.Name, as.Name)
		}
		name, value, text := pgx.Identifier{as.Name}.Sanitize(), "v"+strconv.Itoa(i), "c"+strconv.Itoa(i)
		values = append(values, name+" AS "+value)
		switch as.Masked {
		case extract.MaskHash: // the key of the hash stays with Daybreak
			texts = append(texts, "CASE WHEN "+value+" IS NULL THEN '-' ELSE '+' END AS "+text)
			fields = append(fields, text)
			continue
		case extract.MaskRedact:
			texts = append(texts, fmt.Sprintf("CASE WHEN %s IS NULL THEN '-' ELSE '%d:%s' END AS %s", value, len(extract.Redacted), extract.Redacted, text))
			fields = append(fields, text)
			continue
		}
		digits := "d" + strconv.Itoa(i)
		if c.Type.Kind == elt.Float64 {
			values = append(values, digitsOf(name)+" AS "+digits)
		}
		if c.Type.Kind == elt.List {
			texts = append(texts, listText(c, value, octets)+" AS "+text)
		} else {
			texts = append(texts, canonical(c.Type, c.cast, c.blank, value, digits)+" AS "+text)
		}
		fields = append(fields, prefix(text, octets)+", "+text) // concat leaves NULLs out
	}
	for len(fields) > concatenated {
		var next []string
		for part := range slices.Chunk(fields, concatenated) {
			next = append(next, "concat("+strings.Join(part, ", ")+")")
		}
		fields = next
	}
	from = "(SELECT " + strings.Join(texts, ", ") + " FROM (SELECT " + strings.Join(values, ", ") + " FROM " + rows + " OFFSET 0) AS v OFFSET 0) AS c"
	return "concat(" + strings.Join(fields, ", ") + ")", from, nil
}

// listText returns the expression of a list's canonical text, NULL for none.
func listText(c column, value string, octets func(string) string) string {
	element := canonical(*c.Type.Elem, "", c.blank, "e", digitsOf("e"))
	return "CASE WHEN " + value + " IS NOT NULL THEN (SELECT coalesce(string_agg(concat(" + prefix("c", octets) + ", c), '' ORDER BY o), '') FROM (SELECT o, " + element +
		" AS c FROM unnest(" + value + c.cast + ") WITH ORDINALITY AS u(e, o) OFFSET 0) AS t) END"
}

// prefix returns the expression of what comes before a text: its length in octets, or for a NULL "-".
func prefix(text string, octets func(string) string) string {
	return "coalesce(octet_length(" + octets(text) + ") || ':', '-')"
}

// canonical returns the expression of a value's canonical text, which is NULL where the value is. cast is that of the
// column's item in a select list, digits what digitsOf has made of a double.
func canonical(t elt.Type, cast string, blank bool, value, digits string) string {
	switch t.Kind {
	case elt.Bool:
		return value + "::int::text"
	case elt.Int64:
		return value + "::bigint::text"
	case elt.Float64:
		return float(value+"::float8", digits)
	case elt.Decimal:
		scaled := value + " * 1" + strings.Repeat("0", t.Scale)
		if t.Precision <= shortDecimal {
			return "(" + scaled + ")::bigint::text"
		}
		return "trunc(" + scaled + ")::numeric(38, 0)::text"
	case elt.DateKind:
		return "(" + value + " - date '1970-01-01')::text"
	case elt.TimeKind:
		return sent("time_send("+value+")", 0)
	case elt.Timestamp:
		return sent("timestamptz_send("+value+")", epochMicros)
	case elt.LocalTimestamp:
		return sent("timestamp_send("+value+")", epochMicros)
	case elt.Bytes:
		return "encode(" + value + ", 'hex')"
	}
	if blank { // a cast to text would take its blanks off
		return "CASE WHEN " + value + " IS NOT NULL THEN concat(" + value + ") END"
	}
	if cast == "" {
		cast = "::text"
	}
	return value + cast
}

// sent returns the text of the integer that a type's binary form is, counted from another beginning. Every version gives
// the microseconds exactly in this way alone, and none costs less.
func sent(octets string, beginning int64) string {
	number := "('x' || encode(" + octets + ", 'hex'))::bit(64)::bigint"
	if beginning != 0 {
		number = "(" + number + " + " + strconv.FormatInt(beginning, 10) + ")"
	}
	return number + "::text"
}

// digitsOf returns the shortest text of a double, without its sign.
func digitsOf(value string) string { return "abs(" + value + "::float8)::text" }

// float returns the digits and the exponent of a double's shortest text.
func float(value, text string) string {
	whole := "split_part(split_part(" + text + ", 'e', 1), '.', 1)"
	digits := "(" + whole + " || split_part(split_part(" + text + ", 'e', 1), '.', 2))"
	exponent := "(coalesce(nullif(split_part(" + text + ", 'e', 2), ''), '0')::int + length(" + whole + ") - 1 - (length(" + digits + ") - length(ltrim(" + digits + ", '0'))))"
	return "CASE WHEN " + value + " = 0 THEN '0' WHEN " + value + " = 'NaN' THEN 'nan' WHEN " + value + " = 'Infinity' THEN 'inf' WHEN " + value + " = '-Infinity' THEN '-inf'" +
		" ELSE CASE WHEN " + value + " < 0 THEN '-' ELSE '' END || trim(" + digits + ", '0') || 'e' || " + exponent + " END"
}
