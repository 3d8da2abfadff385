package duckdb

import (
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// replaces returns how the manifest's rows meet those that are published. DuckDB has no partitions, but replacing them
// means the same here: what was published of a night's window goes.
func (s *staging) replaces(m *elt.Manifest) elt.Strategy {
	if s.w.layout == nil || !s.w.layout(m.Dataset).ReplacePartitions || m.Range == nil {
		return elt.Merge
	}
	s.cursor, _ = m.Schema.Column(m.Cursor)
	s.span = m.Range
	return elt.Replace
}

// within is the condition that a row's cursor lies in the range; it is never NULL.
func within(alias string, cursor elt.Column, r *elt.CursorRange) string {
	column := alias + "." + quote(cursor.Name)
	condition := column + " < " + constant(cursor.Type.Kind, r.To)
	if !r.All {
		condition += " AND " + column + " >= " + constant(cursor.Type.Kind, r.From)
	}
	return "coalesce(" + condition + ", false)"
}

// constant returns a cursor's value as an SQL literal.
func constant(k elt.Kind, n int64) string {
	const micros = "2006-01-02 15:04:05.000000"
	switch k {
	case elt.DateKind:
		return "DATE '" + time.Unix(n*86400, 0).UTC().Format(time.DateOnly) + "'"
	case elt.Timestamp:
		return "TIMESTAMPTZ '" + time.UnixMicro(n).UTC().Format(micros) + "+00'"
	}
	return "TIMESTAMP '" + time.UnixMicro(n).UTC().Format(micros) + "'"
}
