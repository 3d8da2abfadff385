package postgres

import (
	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// decoder appends one binary value that is not NULL to the vector.
type decoder func(to *parquet.Vector, raw []byte) error

// column is a column of a table and how it is read.
type column struct {
	elt.Column
	cast   string // appended to the column's name in the select list
	blank  bool   // char(n): its blanks belong to it
	decode decoder
}

// plain is how values of a built-in type are read.
type plain struct {
	kind   elt.Kind
	decode decoder
}

// plainTypes are the types without parameters, by OID, that are read in their binary form.
var plainTypes = map[uint32]plain{
	16:   {elt.Bool, decodeBool},
	17:   {elt.Bytes, decodeBytes},
	19:   {elt.String, extract.AppendText}, // name
	20:   {elt.Int64, decodeInt8},
	21:   {elt.Int64, decodeInt2},
	23:   {elt.Int64, decodeInt4},
	25:   {elt.String, extract.AppendText},
	26:   {elt.Int64, decodeOID},
	114:  {elt.JSON, extract.AppendText},
	700:  {elt.Float64, decodeFloat4},
	701:  {elt.Float64, decodeFloat8},
	1042: {elt.String, extract.AppendText}, // char(n), blank-padded as it is stored
	1043: {elt.String, extract.AppendText},
	1082: {elt.DateKind, decodeDate},
	1083: {elt.TimeKind, decodeTime},
	1114: {elt.LocalTimestamp, decodeTimestamp},
	1184: {elt.Timestamp, decodeTimestamp},
	2950: {elt.UUID, decodeUUID},
	3802: {elt.JSON, decodeJSONB},
}

const (
	oidNumeric = 1700
	oidMoney   = 790
	oidBlank   = 1042
)

// catalogType is a column's type as the catalog has it, domains resolved.
type catalogType struct {
	oid      uint32
	modifier int32
	element  uint32 // of an array, else 0
}

// newColumn works out how a column of that type is read.
func newColumn(name string, t catalogType, notNull bool, sourceType string) column {
	c := column{Column: elt.Column{Name: name, Nullable: !notNull, SourceType: sourceType}}
	c.blank = t.oid == oidBlank || t.element == oidBlank
	if t.element != 0 {
		element, decode, ok := binaryType(t.element, t.modifier)
		if !ok {
			element, decode, c.cast = elt.Type{Kind: elt.String}, extract.AppendText, "::text[]"
		}
		c.Type, c.decode = elt.Type{Kind: elt.List, Elem: &element}, decodeArray(decode)
		return c
	}
	var ok bool
	if c.Type, c.decode, ok = binaryType(t.oid, t.modifier); ok {
		return c
	}
	c.Type, c.decode, c.cast = elt.Type{Kind: elt.String}, extract.AppendText, "::text"
	if t.oid == oidMoney { // its text depends on the locale
		c.cast = "::numeric::text"
	}
	return c
}

// binaryType returns how values of a type are read in their binary form, if they are.
func binaryType(oid uint32, modifier int32) (elt.Type, decoder, bool) {
	if p, ok := plainTypes[oid]; ok {
		return elt.Type{Kind: p.kind}, p.decode, true
	}
	if oid != oidNumeric || modifier < 0 {
		return elt.Type{}, nil, false
	}
	precision := int(((modifier - 4) >> 16) & 0xffff)
	scale := int(((modifier-4)&0x7ff)^1024) - 1024
	if scale < 0 { // numeric(3,-2) holds multiples of 100 below 100000
		precision, scale = precision-scale, 0
	}
	precision = max(precision, scale) // numeric(2,4) holds 0.0099 at most
	if precision > parquet.MaxPrecision {
		return elt.Type{}, nil, false
	}
	return elt.Type{Kind: elt.Decimal, Precision: precision, Scale: scale}, decodeNumeric(precision, scale), true
}
