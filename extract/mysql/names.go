package mysql

import (
	"fmt"
	"strings"
)

// tableName is a table's name in parts; an empty database means the one of the source's URL.
type tableName struct{ database, table string }

// parseTableName reads "shop.users", "users" or, for parts with dots or backticks in them, "`sh.op`.`users`".
func parseTableName(s string) (tableName, error) {
	var parts []string
	for rest, more := s, true; more; {
		var part string
		var ok bool
		part, rest, ok = cutPart(rest)
		if more = strings.HasPrefix(rest, "."); more {
			rest = rest[1:]
		}
		if !ok || part == "" || !more && rest != "" || len(parts) == 2 {
			return tableName{}, fmt.Errorf("%q is not a table's name: write database.table, and a part with a dot in it between backticks", s)
		}
		parts = append(parts, part)
	}
	if len(parts) == 1 {
		return tableName{table: parts[0]}, nil
	}
	return tableName{parts[0], parts[1]}, nil
}

// cutPart cuts the first part off s.
func cutPart(s string) (part, rest string, ok bool) {
	if !strings.HasPrefix(s, "`") {
		end := strings.IndexByte(s, '.')
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], !strings.Contains(s[:end], "`")
	}
	var b strings.Builder
	for rest = s[1:]; ; {
		before, after, closed := strings.Cut(rest, "`")
		b.WriteString(before)
		if !closed {
			return "", "", false
		}
		if !strings.HasPrefix(after, "`") {
			return b.String(), after, true
		}
		b.WriteByte('`')
		rest = after[1:]
	}
}

// String returns the name so that parseTableName reads it again.
func (n tableName) String() string {
	written := func(part string) string {
		if strings.ContainsAny(part, ".`") {
			return identifier(part)
		}
		return part
	}
	if n.database == "" {
		return written(n.table)
	}
	return written(n.database) + "." + written(n.table)
}

// sql returns the name as an identifier of a statement.
func (n tableName) sql() string { return identifier(n.database) + "." + identifier(n.table) }

// identifier quotes a name for a statement.
func identifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// literal quotes a text for a statement; sessions leave backslashes their meaning.
func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}
