package parquet

import (
	"fmt"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// noField tells the Parquet library that a node carries no field ID.
const noField = -1

// wideOctets is the width of a decimal of more than 18 digits.
const wideOctets = 16

// fileSchema returns the Parquet schema of a dataset: every column optional, lists in the standard three
// levels, the root required as strict readers want it.
func fileSchema(s elt.Schema) (*schema.GroupNode, error) {
	fields := make(schema.FieldList, len(s))
	for i, c := range s {
		node, err := columnNode(c)
		if err != nil {
			return nil, fmt.Errorf("column %q of type %s has no Parquet type: %w", c.Name, c.Type, err)
		}
		fields[i] = node
	}
	return schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, noField)
}

func columnNode(c elt.Column) (schema.Node, error) {
	if c.Type.Kind != elt.List {
		return leafNode(c.Name, c.Type)
	}
	if c.Type.Elem == nil || c.Type.Elem.Kind == elt.List {
		return nil, fmt.Errorf("lists have one dimension")
	}
	element, err := leafNode("element", *c.Type.Elem)
	if err != nil {
		return nil, err
	}
	list, err := schema.NewGroupNode("list", parquet.Repetitions.Repeated, schema.FieldList{element}, noField)
	if err != nil {
		return nil, err
	}
	return schema.NewGroupNodeLogical(c.Name, parquet.Repetitions.Optional, schema.FieldList{list}, schema.NewListLogicalType(), noField)
}

func leafNode(name string, t elt.Type) (schema.Node, error) {
	logical, physical, width := schema.LogicalType(schema.NoLogicalType{}), parquet.Types.ByteArray, 0
	switch t.Kind {
	case elt.Bool:
		physical = parquet.Types.Boolean
	case elt.Int64:
		logical, physical = schema.NewIntLogicalType(64, true), parquet.Types.Int64
	case elt.Uint64:
		logical, physical = schema.NewIntLogicalType(64, false), parquet.Types.Int64
	case elt.Float64:
		physical = parquet.Types.Double
	case elt.Decimal:
		if t.Precision < 1 || t.Precision > MaxPrecision || t.Scale < 0 || t.Scale > t.Precision {
			return nil, fmt.Errorf("a decimal has 1 to %d digits, its scale among them", MaxPrecision)
		}
		logical, physical = schema.NewDecimalLogicalType(int32(t.Precision), int32(t.Scale)), parquet.Types.Int64
		if layoutOf(t) == inWide {
			physical, width = parquet.Types.FixedLenByteArray, wideOctets
		}
	case elt.DateKind:
		logical, physical = schema.DateLogicalType{}, parquet.Types.Int32
	case elt.TimeKind:
		logical, physical = schema.NewTimeLogicalType(false, schema.TimeUnitMicros), parquet.Types.Int64
	case elt.Timestamp:
		logical, physical = schema.NewTimestampLogicalType(true, schema.TimeUnitMicros), parquet.Types.Int64
	case elt.LocalTimestamp:
		logical, physical = schema.NewTimestampLogicalType(false, schema.TimeUnitMicros), parquet.Types.Int64
	case elt.String, elt.JSON, elt.UUID:
		logical = schema.StringLogicalType{}
	case elt.Bytes:
	default:
		return nil, fmt.Errorf("unknown kind %q", t.Kind)
	}
	return schema.NewPrimitiveNodeLogical(name, parquet.Repetitions.Optional, logical, physical, width, noField)
}
