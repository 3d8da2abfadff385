package mysql

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// decoder appends one value that is not NULL, as the text protocol has it, to the vector.
type decoder func(to *parquet.Vector, raw []byte) error

// column is a column of a table and how it is read.
type column struct {
	elt.Column
	item   string // of the select list
	decode decoder
	// charset is set where the server converts the text to UTF-8 and might not be able to.
	charset string
	utf8    bool   // a text that is stored in UTF-8
	name    string // DATA_TYPE
}

// catalogType is a column's type as the catalog has it.
type catalogType struct {
	name             string // DATA_TYPE: "decimal"
	full             string // COLUMN_TYPE: "decimal(12,2) unsigned"
	precision, scale int
	charset          string // empty for what is no text
	json             bool   // MariaDB's JSON is a text that is checked to be one
}

// plain is how values of a type without parameters are read.
type plain struct {
	kind   elt.Kind
	decode decoder
}

// plainTypes are by DATA_TYPE.
var plainTypes = map[string]plain{
	"tinyint": {elt.Int64, decodeInt}, "smallint": {elt.Int64, decodeInt}, "mediumint": {elt.Int64, decodeInt}, "int": {elt.Int64, decodeInt},
	"integer": {elt.Int64, decodeInt}, "bigint": {elt.Int64, decodeInt}, "year": {elt.Int64, decodeInt},
	"date": {elt.DateKind, decodeDate}, "datetime": {elt.LocalTimestamp, decodeTimestamp}, "timestamp": {elt.Timestamp, decodeTimestamp},
	"float": {elt.Float64, decodeFloat}, "double": {elt.Float64, decodeFloat}, "real": {elt.Float64, decodeFloat},
	"time": {elt.String, extract.AppendText}, "json": {elt.JSON, extract.AppendText}, "uuid": {elt.UUID, extract.AppendText},
	"inet4": {elt.String, extract.AppendText}, "inet6": {elt.String, extract.AppendText},
	"geometry": {elt.Bytes, decodeGeometry}, "point": {elt.Bytes, decodeGeometry}, "linestring": {elt.Bytes, decodeGeometry},
	"polygon": {elt.Bytes, decodeGeometry}, "multipoint": {elt.Bytes, decodeGeometry}, "multilinestring": {elt.Bytes, decodeGeometry},
	"multipolygon": {elt.Bytes, decodeGeometry}, "geometrycollection": {elt.Bytes, decodeGeometry}, "geomcollection": {elt.Bytes, decodeGeometry},
}

// newColumn works out how a column of that type is read.
func newColumn(name string, t catalogType, nullable bool) column {
	c := column{Column: elt.Column{Name: name, Nullable: nullable, SourceType: t.full}, item: identifier(name), name: t.name}
	kind := func(k elt.Kind, d decoder) column {
		c.Type, c.decode = elt.Type{Kind: k}, d
		return c
	}
	p, isPlain := plainTypes[t.name]
	switch {
	case t.json && strings.HasPrefix(t.charset, "utf8"):
		c.utf8 = true
		return kind(elt.JSON, extract.AppendText)
	case t.charset != "" && !isPlain:
		c.convert(t.charset)
		return kind(elt.String, extract.AppendText)
	case t.name == "bigint" && strings.Contains(t.full, "unsigned"):
		return kind(elt.Uint64, decodeUint)
	case t.name == "bit" && t.precision == 1:
		return kind(elt.Bool, decodeBool)
	case t.name == "bit":
		return kind(elt.Uint64, decodeBits)
	case t.name == "decimal" && t.precision <= parquet.MaxPrecision:
		c.Type, c.decode = elt.Type{Kind: elt.Decimal, Precision: t.precision, Scale: t.scale}, decodeDecimal(t.precision, t.scale)
		return c
	case t.name == "decimal":
		return kind(elt.String, extract.AppendText)
	case !isPlain:
		return kind(elt.Bytes, decodeBytes)
	}
	if p.kind == elt.Float64 {
		c.item += " * 1e0" // alone it would be rounded to what is shown of its type: 16777217 as 16777200
	}
	return kind(p.kind, p.decode)
}

// convert has the server convert a text that is not in UTF-8. What is in UTF-8 comes as it is stored, and is checked here.
func (c *column) convert(charset string) {
	switch charset {
	case "utf8mb4", "utf8mb3", "utf8":
		c.utf8 = true
		return
	case "latin1": // each of its 256 characters has its place
	default:
		c.charset = charset
	}
	c.item = "CONVERT(" + c.item + " USING utf8mb4)"
}

// lossy is the condition under which a text does not come to UTF-8 and back.
func (c column) lossy() string {
	return "NOT CAST(CONVERT(" + c.item + " USING " + c.charset + ") AS BINARY) <=> CAST(" + identifier(c.Name) + " AS BINARY)"
}

// read returns the column's item of the select list and the decoder of what it gives, masks and other types applied.
func (c column) read(as elt.Column, policy elt.Policy, mask *extract.Masker) (string, decoder) {
	switch {
	case as.Absent: // every value is NULL
		return "NULL", extract.AppendText
	case as.Masked == extract.MaskRedact: // the values stay where they are
		return "CASE WHEN " + identifier(c.Name) + " IS NOT NULL THEN '" + extract.Redacted + "' END", extract.AppendText
	case as.Masked == extract.MaskHash:
		hasher, text := mask.Hasher(), c.asText(false)
		scratch := parquet.NewVector(elt.Type{Kind: elt.String})
		return c.item, func(to *parquet.Vector, raw []byte) error {
			scratch.Reset()
			if err := text(scratch, raw); err != nil {
				return err
			}
			to.AppendOctets(hasher.Hex([]byte(scratch.Texts()[0])))
			return nil
		}
	case as.Type.Equal(c.Type):
		return c.item, c.decode
	case as.Type.Kind == elt.Decimal && c.name == "bit":
		return identifier(c.Name) + " + 0", decodeDeclared(as.Type.Precision, as.Type.Scale)
	case as.Type.Kind == elt.Decimal:
		return c.item, decodeDeclared(as.Type.Precision, as.Type.Scale)
	}
	return c.item, c.asText(policy == elt.AsText)
}

// asText reads values as their own type and appends their canonical text. Values that their type cannot hold are
// misfits when those are counted, and else the text that they came as.
func (c column) asText(counted bool) decoder {
	scratch := parquet.NewVector(c.Type)
	return func(to *parquet.Vector, raw []byte) error {
		scratch.Reset()
		err := c.decode(scratch, raw)
		switch {
		case err == nil:
			to.AppendString(scratch.Texts()[0])
		case counted:
			return err
		default:
			to.AppendString(plainText(raw))
		}
		return nil
	}
}

// plainText writes a value as it came: octets that are no text in hexadecimal.
func plainText(raw []byte) string {
	if !utf8.Valid(raw) {
		return fmt.Sprintf(`\x%x`, raw)
	}
	return string(raw)
}

// number reads a number of the catalog; nothing is 0.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
