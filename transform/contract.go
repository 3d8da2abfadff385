package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// holdToContract compares the columns that were built with those that schema.yml promises: the same names in any
// order, each of its type as the warehouse writes it.
func (e *Engine) holdToContract(ctx context.Context, s Scope, m *model) error {
	if !m.config.contract || e.columns == nil {
		return nil
	}
	built, err := e.columns.Columns(ctx, e.warehouse.Staged(s.Run, m.name))
	if err != nil {
		return fmt.Errorf("model %s: %w", m.name, err)
	}
	var wrong []string
	for _, want := range m.doc.Columns {
		i := slices.IndexFunc(built, func(c elt.ColumnDoc) bool { return strings.EqualFold(c.Name, want.Name) })
		switch {
		case i < 0:
			wrong = append(wrong, want.Name+" is missing")
		case plainType(built[i].Type) != plainType(want.DataType):
			wrong = append(wrong, fmt.Sprintf("%s is %s, not %s", want.Name, built[i].Type, want.DataType))
		}
	}
	for _, c := range built {
		if !slices.ContainsFunc(m.doc.Columns, func(want columnDoc) bool { return strings.EqualFold(want.Name, c.Name) }) {
			wrong = append(wrong, c.Name+" is not declared")
		}
	}
	if wrong == nil {
		return nil
	}
	return &elt.Error{
		Code: CodeContract, Class: elt.Data, What: fmt.Sprintf("%s: the model %s breaks its contract: %s", m.file, m.name, strings.Join(wrong, "; ")),
		Do: "correct the SELECT, or the columns in schema.yml",
	}
}

// typeNames are other names of types, which mean the same.
var typeNames = map[string]string{
	"int": "integer", "int4": "integer", "int32": "integer", "int8": "bigint", "int64": "bigint", "long": "bigint", "text": "varchar", "string": "varchar",
	"char": "varchar", "bpchar": "varchar", "bool": "boolean", "logical": "boolean", "float8": "double", "float64": "double", "numeric": "decimal",
	"timestamptz": "timestamp with time zone", "datetime": "timestamp", "int2": "smallint", "short": "smallint", "float4": "float", "real": "float",
}

// plainType writes a type so that two names of the same type are equal.
func plainType(t string) string {
	t = strings.ToLower(strings.Join(strings.Fields(t), " "))
	base, rest, has := strings.Cut(t, "(")
	base = strings.TrimSpace(base)
	if other, ok := typeNames[base]; ok {
		base = other
	}
	if !has {
		return base
	}
	return base + "(" + strings.ReplaceAll(rest, " ", "")
}
