package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// digest asks the server for its own digest of a chunk's rows, where one is wanted. The session sees the snapshot that the
// rows came from.
func (w *session) digest(ctx context.Context, chunk chunk, r extract.Request) error {
	if !r.Facts.Digest {
		return nil
	}
	t := chunk.table
	row, err := t.row(r)
	if err != nil {
		return err
	}
	rows, err := w.list(ctx, "SELECT COUNT(*), COALESCE(SUM(COALESCE("+slice(1)+", -1000000000000000000000000000000)), 0), COALESCE(SUM("+slice(17)+"), 0) FROM (SELECT CAST(UNHEX(MD5("+
		row+")) AS BINARY(16)) AS h FROM "+chunk.sql()+w.once(chunk)+") AS d")
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return err
	}
	if strings.HasPrefix(rows[0][1], "-") { // MD5 of a row that got too wide is NULL
		return &elt.Error{
			Code: "row_too_wide", Class: elt.Config,
			What: fmt.Sprintf("table %s of source %s: the server cannot take the digest of rows that are wider than its max_allowed_packet", t.info.Name, w.source.opts.Name),
			Do:   "raise max_allowed_packet on the server, or set verify: columns for the table",
		}
	}
	r.Facts.Rows(elt.RowDigest{Rows: n, A: rows[0][1], B: rows[0][2]})
	return nil
}

// mostHashes is Options.MostHashes when they name none.
const mostHashes = 4 << 20

// once returns what follows the selection of a chunk's hashes: a limit, however high, has the server work them out before it
// takes their slices. Without one it works out every row once for each slice.
func (w *session) once(c chunk) string {
	rows := c.table.info.Rows
	if data := c.table.data; data > 0 && (c.ranged || len(c.partitions) > 0) {
		rows = int64(float64(rows) * min(1, float64(w.source.chunkBytes(*c.table))/float64(data)))
	}
	if rows < 0 || rows > w.source.opts.MostHashes {
		return ""
	}
	return " LIMIT 18446744073709551615"
}

// row returns the expression of a row as parquet.Digest writes it.
func (t *table) row(r extract.Request) (string, error) {
	fields := []string{"''"}
	for _, as := range r.Columns {
		if r.Facts.Leaves(as.Name) {
			continue
		}
		c, ok := t.column(as.Name)
		if !ok {
			return "", fmt.Errorf("table %s has no column %q any more", t.info.Name, as.Name)
		}
		name := identifier(as.Name)
		switch as.Masked {
		case extract.MaskHash: // the key of the hash stays with Daybreak
			fields = append(fields, "IF("+name+" IS NULL, '-', '+')")
		case extract.MaskRedact:
			fields = append(fields, fmt.Sprintf("IF(%s IS NULL, '-', '%d:%s')", name, len(extract.Redacted), extract.Redacted))
		default:
			// Octets, so that texts of different character sets stand beside each other as they come.
			text := "CAST(" + c.canonical() + " AS BINARY)"
			fields = append(fields, "IF("+name+" IS NULL, '-', CONCAT("+c.octets(text)+", ':', "+text+"))")
		}
	}
	return "CONCAT(" + strings.Join(fields, ", ") + ")", nil
}

// epochDays is what TO_DAYS gives for 1970-01-01.
const epochDays = "719528"

// slice is 60 bits of the MD5 h as a number that sums exactly.
func slice(from int) string {
	return "CAST(CONV(SUBSTR(HEX(h), " + strconv.Itoa(from) + ", 15), 16, 10) AS DECIMAL(20, 0))"
}

// octets returns the expression of how long the column's canonical text is. What can be large is not written down for that:
// the server works an expression out as often as it comes, and keeps one only by writing all rows to a table.
func (c column) octets(text string) string {
	name := identifier(c.Name)
	switch {
	case c.utf8:
		return "LENGTH(" + name + ")"
	case c.Type.Kind == elt.Bytes && !c.geometry():
		return "2 * LENGTH(" + name + ")"
	}
	return "LENGTH(" + text + ")"
}

// canonical returns the expression of the column's canonical text, as parquet.Digest describes it.
func (c column) canonical() string {
	name := identifier(c.Name)
	if c.utf8 {
		return name
	}
	switch c.Type.Kind {
	case elt.Bool:
		return "IF(" + name + " + 0 = 0, '0', '1')"
	case elt.Int64, elt.Uint64: // without the zeros before a YEAR, and BIT as a number
		return name + " + 0"
	case elt.Float64:
		return float("(" + c.item + ")")
	case elt.Decimal:
		return "CAST(" + name + " * 1" + strings.Repeat("0", c.Type.Scale) + " AS DECIMAL(65, 0))"
	case elt.DateKind:
		return "TO_DAYS(" + name + ") - " + epochDays
	case elt.Timestamp, elt.LocalTimestamp:
		return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', " + name + ")"
	case elt.Bytes:
		if c.geometry() {
			return "LOWER(HEX(" + extended(name) + "))"
		}
		return "LOWER(HEX(" + name + "))"
	}
	return "CAST(" + c.item + " AS CHAR CHARACTER SET utf8mb4)"
}

// float returns the digits and the exponent of a double's shortest text.
func float(value string) string {
	text := "CAST(ABS(" + value + ") AS CHAR)"
	mantissa := "SUBSTRING_INDEX(" + text + ", 'e', 1)"
	whole := "SUBSTRING_INDEX(" + mantissa + ", '.', 1)"
	digits := "REPLACE(" + mantissa + ", '.', '')"
	exponent := "(IF(LOCATE('e', " + text + "), CAST(SUBSTRING_INDEX(" + text + ", 'e', -1) AS SIGNED), 0) + LENGTH(" + whole + ") - 1 - (LENGTH(" + digits +
		") - LENGTH(TRIM(LEADING '0' FROM " + digits + "))))"
	return "IF(" + value + " = 0, '0', CONCAT(IF(" + value + " < 0, '-', ''), TRIM(BOTH '0' FROM " + digits + "), 'e', " + exponent + "))"
}

// geometry reports whether the column's octets are turned on their way.
func (c column) geometry() bool { return plainTypes[strings.ToLower(c.SourceType)].kind == elt.Bytes }

// extended is a geometry as decodeGeometry gives it: an SRID that is not 0 goes to where extended well-known binary
// has it, after the type, whose highest octet says so.
func extended(name string) string {
	raw := "UNHEX(HEX(" + name + "))"
	return "IF(SUBSTR(" + raw + ", 1, 4) = X'00000000', SUBSTR(" + raw + ", 5), CONCAT(SUBSTR(" + raw + ", 5, 4), CHAR(ORD(SUBSTR(" + raw + ", 9, 1)) | 32), SUBSTR(" +
		raw + ", 1, 4), SUBSTR(" + raw + ", 10)))"
}
