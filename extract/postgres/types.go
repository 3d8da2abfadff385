package postgres

import (
	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// decoder reads binary values.
type decoder struct {
	// one appends a value that is not NULL to the vector.
	one func(to *parquet.Vector, raw []byte) error
	// many appends those of several rows that lie in data; or nothing, and returns false, where one has to look at each.
	many func(to *parquet.Vector, data []byte, cells []parquet.Cell) bool
}

// column is a column of a table and how it is read.
type column struct {
	elt.Column
	cast   string // appended to the column's name in the select list
	blank  bool   // char(n): its blanks belong to it
	decode decoder
}

// asText reads texts.
var asText = decoder{extract.AppendText, func(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	return extract.AppendTexts(to, data, cells, 0)
}}

// plain is how values of a built-in type are read.
type plain struct {
	kind   elt.Kind
	decode decoder
}

// plainTypes are the types without parameters, by OID, that are read in their binary form.
var plainTypes = map[uint32]plain{
	16:   {elt.Bool, decoder{decodeBool, decodeAllBool}},
	17:   {elt.Bytes, decoder{decodeBytes, decodeAllBytes}},
	19:   {elt.String, asText}, // name
	20:   {elt.Int64, decoder{decodeInt8, decodeAllInts[int64]}},
	21:   {elt.Int64, decoder{decodeInt2, decodeAllInts[int16]}},
	23:   {elt.Int64, decoder{decodeInt4, decodeAllInts[int32]}},
	25:   {elt.String, asText},
	26:   {elt.Int64, decoder{decodeOID, decodeAllInts[uint32]}},
	114:  {elt.JSON, asText},
	700:  {elt.Float64, decoder{decodeFloat4, decodeAllFloat4}},
	701:  {elt.Float64, decoder{decodeFloat8, decodeAllFloat8}},
	1042: {elt.String, asText}, // char(n), blank-padded as it is stored
	1043: {elt.String, asText},
	1082: {elt.DateKind, decoder{decodeDate, decodeAllDate}},
	1083: {elt.TimeKind, decoder{decodeTime, decodeAllTime}},
	1114: {elt.LocalTimestamp, decoder{decodeTimestamp, decodeAllTimestamp}},
	1184: {elt.Timestamp, decoder{decodeTimestamp, decodeAllTimestamp}},
	2950: {elt.UUID, decoder{decodeUUID, nil}},
	3802: {elt.JSON, decoder{decodeJSONB, decodeAllJSONB}},
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
			element, decode, c.cast = elt.Type{Kind: elt.String}, asText, "::text[]"
		}
		c.Type, c.decode = elt.Type{Kind: elt.List, Elem: &element}, decodeArray(decode)
		return c
	}
	var ok bool
	if c.Type, c.decode, ok = binaryType(t.oid, t.modifier); ok {
		return c
	}
	c.Type, c.decode, c.cast = elt.Type{Kind: elt.String}, asText, "::text"
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
		return elt.Type{}, decoder{}, false
	}
	precision := int(((modifier - 4) >> 16) & 0xffff)
	scale := int(((modifier-4)&0x7ff)^1024) - 1024
	if scale < 0 { // numeric(3,-2) holds multiples of 100 below 100000
		precision, scale = precision-scale, 0
	}
	precision = max(precision, scale) // numeric(2,4) holds 0.0099 at most
	if precision > parquet.MaxPrecision {
		return elt.Type{}, decoder{}, false
	}
	return elt.Type{Kind: elt.Decimal, Precision: precision, Scale: scale}, decodeNumeric(precision, scale), true
}
