package postgres

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// tableName is a table's name in parts; an empty schema means the first of the search path that has it.
type tableName struct{ schema, table string }

// parseTableName reads "public.users", "users" or, for parts with dots or quotes in them, `"we.ird"."t"`.
// Upper and lower case are kept as they are written.
func parseTableName(s string) (tableName, error) {
	var parts []string
	for rest := s; ; {
		part, after, err := cutPart(rest)
		if err != nil || part == "" || len(parts) == 2 {
			return tableName{}, fmt.Errorf("%q is not a table's name: write schema.table, and a part with a dot in it between double quotes", s)
		}
		parts = append(parts, part)
		if after == "" {
			break
		}
		rest = after[1:]
	}
	if len(parts) == 1 {
		return tableName{table: parts[0]}, nil
	}
	return tableName{parts[0], parts[1]}, nil
}

// cutPart cuts the first part off s; what is left begins with the dot.
func cutPart(s string) (part, after string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, '.')
		if end < 0 {
			end = len(s)
		}
		if strings.Contains(s[:end], `"`) {
			return "", "", fmt.Errorf("a quote inside a part")
		}
		return s[:end], s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '"':
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case i+1 < len(s) && s[i+1] != '.':
			return "", "", fmt.Errorf("text after a closing quote")
		default:
			return b.String(), s[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("a quote that is not closed")
}

// String returns the name so that parseTableName reads it again.
func (n tableName) String() string {
	quote := func(part string) string {
		if strings.ContainsAny(part, `."`) {
			return `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
		}
		return part
	}
	if n.schema == "" {
		return quote(n.table)
	}
	return quote(n.schema) + "." + quote(n.table)
}

// sql returns the name as an identifier of a statement.
func (n tableName) sql() string {
	if n.schema == "" {
		return pgx.Identifier{n.table}.Sanitize()
	}
	return pgx.Identifier{n.schema, n.table}.Sanitize()
}
