package mysql

import (
	"context"
	"strings"
)

// key is the index by whose order a table is cut into chunks. Its columns may be the first few of the index: rows
// are cut by them, not told apart.
type key struct {
	index   string
	columns []keyColumn
	// nullable is set when the first column, which is then the only one, may be NULL: those rows are a chunk of their own.
	nullable bool
}

// keyColumn is a column of a key, and how its values are written into statements.
type keyColumn struct {
	name    string
	item    string                   // of the select list that reads a bound
	literal func(text string) string // makes what item gave comparable with the column, exactly
	integer bool
}

// sql returns the column as an identifier.
func (c keyColumn) sql() string { return identifier(c.name) }

// newKeyColumn returns how bounds of the column are read and written. Columns whose index has another order than
// comparing with a literal has, such as ENUM, have none.
func newKeyColumn(name string, t catalogType) (keyColumn, bool) {
	c := keyColumn{name: name, item: identifier(name)}
	asIs := func(text string) string { return text }
	switch t.name {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint":
		c.literal, c.integer = asIs, true
	case "bit":
		c.item, c.literal, c.integer = c.item+" + 0", asIs, true
	case "year": // 0 is the year 0, and its text is not
		c.item, c.literal = c.item+" + 0", asIs
	case "decimal":
		c.literal = asIs
	case "float", "double", "real": // text of the type itself is rounded, and a literal without an exponent is a decimal
		c.item = c.item + " * 1e0"
		c.literal = func(text string) string {
			if strings.ContainsAny(text, "eE") {
				return text
			}
			return text + "e0"
		}
	case "date", "datetime", "timestamp", "time", "uuid", "inet4", "inet6":
		c.literal = literal
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		c.item = "HEX(" + c.item + ")"
		c.literal = func(text string) string { return "x'" + text + "'" }
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		// In the column's own character set, so that nothing is converted and the column's collation compares.
		c.item = "HEX(" + c.item + ")"
		c.literal = func(text string) string { return "_" + t.charset + " x'" + text + "'" }
	default:
		return c, false
	}
	return c, true
}

// keys returns the primary key and the index to cut the table by: the one by which the engine keeps the rows, which is the
// primary key or else the first that tells all rows from each other; of any other, rows are looked up one by one.
func (w *session) keys(ctx context.Context, t table, types map[string]catalogType) (primary []string, best key, err error) {
	rows, err := w.list(ctx, "SHOW INDEX FROM "+t.name.sql()+" WHERE Non_unique = 0")
	if err != nil {
		return nil, best, err
	}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n][2] == rows[0][2] {
			n++
		}
		index := rows[:n]
		rows = rows[n:]
		isPrimary := index[0][2] == "PRIMARY"
		if isPrimary {
			for _, row := range index {
				primary = append(primary, row[4])
			}
		}
		k := newKey(index, types)
		if !w.usable(index[0]) || len(k.columns) == 0 && !isPrimary {
			continue
		}
		if best.index == "" || best.nullable && !k.nullable {
			best = k
		}
	}
	return primary, best, nil
}

// usable reports whether a statement may name the index.
func (w *session) usable(row []string) bool {
	if w.mariadb {
		return len(row) < 14 || row[13] != "YES" // whether it is ignored
	}
	return len(row) < 14 || row[13] != "NO" // whether it is visible
}

// newKey returns as much of an index as chunks can be cut by. A NULL is neither above nor below anything, so that a
// column with NULLs serves as the first one only, and alone.
func newKey(rows [][]string, types map[string]catalogType) key {
	k := key{index: rows[0][2]}
	for i, row := range rows {
		name, order, prefix, nullable := row[4], row[5], row[7], row[9] == "YES"
		c, ok := newKeyColumn(name, types[name])
		if !ok || prefix != "" || order != "A" || nullable && i > 0 {
			break
		}
		k.columns = append(k.columns, c)
		if k.nullable = nullable; nullable {
			break
		}
	}
	return k
}

// bound is where a chunk begins or ends: values of the key's first columns, as literals. nil is no bound.
type bound []string

// atLeast returns the condition for rows at or behind the bound. Written out column by column it is a range of the
// index to the servers; a comparison of whole rows would have them look at every row.
func (k key) atLeast(b bound) string { return k.beyond(b, " > ", " >= ") }

// behind returns the condition for rows behind the bound.
func (k key) behind(b bound) string { return k.beyond(b, " > ", " > ") }

// below returns the condition for rows before the bound.
func (k key) below(b bound) string { return k.beyond(b, " < ", " < ") }

func (k key) beyond(b bound, strictly, finally string) string {
	var ways []string
	equal := ""
	for i, value := range b {
		name := k.columns[i].sql()
		compare := strictly
		if i == len(b)-1 {
			compare = finally
		}
		ways = append(ways, equal+name+compare+value)
		equal += name + " = " + value + " AND "
	}
	return "(" + strings.Join(ways, " OR ") + ")"
}

// equals returns the condition for rows at the bound.
func (k key) equals(b bound) string {
	parts := make([]string, len(b))
	for i, value := range b {
		parts[i] = k.columns[i].sql() + " = " + value
	}
	return strings.Join(parts, " AND ")
}

// items returns the select list that reads a bound.
func (k key) items() string {
	items := make([]string, len(k.columns))
	for i, c := range k.columns {
		items[i] = c.item
	}
	return strings.Join(items, ", ")
}

// order returns the index's order.
func (k key) order() string {
	names := make([]string, len(k.columns))
	for i, c := range k.columns {
		names[i] = c.sql()
	}
	return " ORDER BY " + strings.Join(names, ", ")
}

// bound makes a bound of what items gave.
func (k key) bound(row []string) bound {
	b := make(bound, len(row))
	for i, text := range row {
		b[i] = k.columns[i].literal(text)
	}
	return b
}
