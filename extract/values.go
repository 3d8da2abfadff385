package extract

import (
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Unfit returns the error of a value that its column's type cannot hold exactly. key names the row.
func Unfit(r Request, c elt.Column, key, value, why string) error {
	const longest = 100
	if runes := []rune(value); len(runes) > longest {
		value = string(runes[:longest]) + "…"
	}
	if c.Masked != "" {
		value = "a masked value"
	}
	return &elt.Error{
		Code: "value_not_representable", Class: elt.Data,
		What: fmt.Sprintf("table %s, column %s (%s → %s), %s: %s %s", r.Extraction.Table, c.Name, c.SourceType, c.Type, key, value, why),
		Do:   fmt.Sprintf("correct the value; or say what is to become of such values, columns: {types: {%s: …}} with string, null, clamp or quarantine; or exclude the column. Nothing was published", c.Name),
	}
}

// NullCursor returns the error of a row that no window would ever bring. key names the row.
func NullCursor(r Request, key string) error {
	return &elt.Error{
		Code: "cursor_null", Class: elt.Data,
		What: fmt.Sprintf("table %s: the row %s has no value in its cursor column %s, so that no window would bring it", r.Extraction.Table, key, r.Range.Cursor.Name),
		Do:   "fill the column in and declare it NOT NULL, choose another cursor, or make the table mode: full",
	}
}

// Hides reports whether the table has columns whose values nobody may see: then a server's message that may quote a value
// is not shown.
func (r Request) Hides() bool {
	for _, c := range r.Columns {
		if c.Masked != "" {
			return true
		}
	}
	return len(r.Extraction.Exclude)+len(r.Extraction.PII)+len(r.Extraction.Defaults.PII)+len(r.Extraction.Defaults.Exclude) > 0 || r.Extraction.Allow != nil
}
