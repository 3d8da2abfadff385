package extract

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// warehouseName is what every warehouse takes for a column's name.
var warehouseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)

// reservedPrefixes begin names that warehouses, or Daybreak, keep for themselves.
var reservedPrefixes = []string{"_TABLE_", "_FILE_", "_PARTITION", "_DAYBREAK"}

// selection is what an extraction takes of a table.
type selection struct {
	columns elt.Schema
	rules   map[string]elt.TypeRule // of columns that have one
	cursor  elt.Column              // incremental only
	key     []string                // for messages
	hashed  []string
	changes []elt.SchemaChange
	ignored []string // new at the source, and left there
}

// choose returns what the extraction takes of the table, and everything that is wrong with it. before is the manifest
// of what is published, nil when nothing is.
func choose(info TableInfo, e elt.Extraction, before *elt.Manifest) (selection, []*elt.Error) {
	var s selection
	c := checker{dataset: e.Dataset, table: info, before: before}
	for _, list := range []struct {
		setting string
		names   []string
	}{{"allow", e.Allow}, {"exclude", e.Exclude}, {"hash", e.Hash}, {"redact", e.Redact}, {"keep", e.Keep}, {"pii", e.PII}, {"types", slices.Sorted(maps.Keys(e.Types))}} {
		c.named("column_missing", list.setting, list.names)
	}
	for _, column := range info.Columns {
		switch d := decide(e, column.Name); {
		case e.DecidePII && !d.decided && !d.out && personal(e, info, column.Name) != "":
			c.wrong("pii_undecided", fmt.Sprintf("column %q %s, and nothing says what is to become of it", column.Name, personal(e, info, column.Name)),
				"name it under columns: of the dataset: exclude, hash, redact, or keep to let it through as it is")
			continue
		case d.out:
			continue
		case d.mask == MaskRedact:
			column.Type, column.Masked = elt.Type{Kind: elt.String}, MaskRedact
		case d.mask == MaskHash:
			column.Type, column.Masked = elt.Type{Kind: elt.String}, MaskHash
			s.hashed = append(s.hashed, column.Name)
		}
		s.columns = append(s.columns, column)
	}
	s.rules = c.types(e, s.columns)
	if before != nil {
		c.drift(e, &s)
	}
	if len(s.columns) == 0 && len(c.errors) == 0 {
		c.wrong("no_columns", "no column is left to extract", "exclude fewer columns, or leave the table out")
	}
	c.names(s.columns)
	c.key(e, s.columns)
	s.key = messageKey(e, info, s.columns)
	if e.Mode == elt.Incremental {
		s.cursor = c.cursor(e, s.columns)
		c.softDelete(e, s.columns)
	}
	if err := e.Layout.Fits(s.columns); err != nil {
		c.wrong("layout_invalid", err.Error(), "correct partition_by and cluster_by in the schedule")
	}
	if c.drifted != nil { // what is missing altogether comes first
		c.errors = append(c.errors, c.drifted)
	}
	return s, c.errors
}

// messageKey returns the columns that may name a row in a message: the key, unless part of it is hidden.
func messageKey(e elt.Extraction, info TableInfo, columns elt.Schema) []string {
	key := e.Key
	if len(key) == 0 {
		key = info.Key
	}
	for _, name := range key {
		if c, ok := columns.Column(name); !ok || c.Masked != "" {
			return nil
		}
	}
	return key
}

// checker gathers what is wrong with an extraction.
type checker struct {
	dataset elt.DatasetName
	table   TableInfo
	before  *elt.Manifest // of what is published; may be nil
	errors  []*elt.Error
	drifted *elt.Error
}

func (c *checker) wrong(code elt.Code, what, do string) {
	c.errors = append(c.errors, &elt.Error{
		Code: code, Class: elt.Config,
		What: fmt.Sprintf("%s (table %s): %s", c.dataset, c.table.Name, what), Do: do,
	})
}

// named checks that the columns which a setting names are there.
func (c *checker) named(code elt.Code, setting string, names []string) {
	for _, name := range names {
		if _, ok := c.table.Columns.Column(name); !ok && !c.published(name) {
			c.wrong(code, fmt.Sprintf("%s names the column %q, which the table does not have", setting, name),
				"correct the name; the table has "+strings.Join(c.table.Columns.Names(), ", "))
		}
	}
}

// published reports whether the column is part of what is published: a column that is gone is for the drift rules.
func (c *checker) published(name string) bool {
	if c.before == nil {
		return false
	}
	_, ok := c.before.Schema.Column(name)
	return ok
}

// names checks that a warehouse can hold columns of these names beside each other.
func (c *checker) names(columns elt.Schema) {
	seen := make(map[string]string, len(columns))
	for _, column := range columns {
		lower := strings.ToLower(column.Name)
		reserved := slices.ContainsFunc(reservedPrefixes, func(p string) bool {
			return strings.HasPrefix(strings.ToUpper(column.Name), p)
		})
		switch other, twice := seen[lower]; {
		case !warehouseName.MatchString(column.Name):
			c.wrong("column_name", fmt.Sprintf("the column name %q cannot be used in a warehouse: it takes letters, digits and _, up to 300, and no digit first", column.Name),
				"exclude the column, or extract a view that renames it")
		case reserved:
			c.wrong("column_name", fmt.Sprintf("the column name %q begins with a reserved prefix", column.Name),
				"exclude the column, or extract a view that renames it")
		case twice:
			c.wrong("column_name", fmt.Sprintf("the column names %q and %q differ by case alone, and warehouses ignore case", other, column.Name),
				"exclude one of them, or extract a view that renames it")
		}
		seen[lower] = column.Name
	}
}

// key checks that the declared key will be there, as it is in the source or hashed, which keeps it unique.
func (c *checker) key(e elt.Extraction, columns elt.Schema) {
	if e.Mode == elt.Incremental && len(e.Key) == 0 {
		do := "add key: to the table in its schedule"
		if len(c.table.Key) > 0 {
			do = fmt.Sprintf("add key: [%s] to the table in its schedule", strings.Join(c.table.Key, ", "))
		}
		c.wrong("key_missing", "an incremental table needs a key, so that a changed row replaces its older self", do)
	}
	for _, name := range e.Key {
		column, ok := columns.Column(name)
		switch _, exists := c.table.Columns.Column(name); {
		case !exists:
			c.wrong("key_missing", fmt.Sprintf("the key names the column %q, which the table does not have", name),
				"correct the name; the table has "+strings.Join(c.table.Columns.Names(), ", "))
		case !ok:
			c.wrong("key_missing", fmt.Sprintf("the key column %q does not leave the source: it is excluded, or not on the list of allowed columns", name),
				"allow the column, or hash it")
		case column.Masked == MaskRedact:
			c.wrong("key_missing", fmt.Sprintf("the key column %q is redacted, so that all keys would be equal", name), "hash it instead")
		}
	}
}

// cursor checks that the cursor says when a row changed.
func (c *checker) cursor(e elt.Extraction, columns elt.Schema) elt.Column {
	column, ok := c.table.Columns.Column(e.Cursor)
	if _, taken := columns.Column(e.Cursor); ok && !taken {
		c.wrong("cursor_missing", fmt.Sprintf("the cursor column %q does not leave the source: it is excluded, or not on the list of allowed columns", e.Cursor),
			"allow the column, or name another cursor")
	}
	switch {
	case e.Cursor == "":
		c.wrong("cursor_missing", "an incremental table needs a cursor, the column that says when a row last changed",
			"add cursor: to the table in its schedule, or make it mode: full")
	case !ok:
		c.wrong("cursor_missing", fmt.Sprintf("the cursor names the column %q, which the table does not have", e.Cursor),
			"correct the name; the table has "+strings.Join(c.table.Columns.Names(), ", "))
	case column.Type.Kind == elt.Int64 && e.OverlapNumbers == nil:
		c.wrong("cursor_overlap", fmt.Sprintf("the cursor column %q (%s) is a number, and overlap does not say how many numbers below the last are read again", e.Cursor, column.SourceType),
			"set overlap: to a number, more than are ever given out while one transaction lasts: overlap: 10000")
	case column.Type.Kind == elt.Int64:
	case e.OverlapNumbers != nil:
		c.wrong("cursor_overlap", fmt.Sprintf("overlap is a number, and the cursor column %q (%s) is no integer of 64 bits", e.Cursor, column.SourceType),
			"give overlap as a span of time such as 2h, or name an integer column")
	case column.Type.Kind == elt.Timestamp:
	case column.Type.Kind != elt.LocalTimestamp && column.Type.Kind != elt.DateKind:
		c.wrong("cursor_type", fmt.Sprintf("the cursor column %q is of type %s and says no time", e.Cursor, column.SourceType),
			"name a column of a timestamp or date type, or make the table mode: full")
	case e.CursorZone == nil:
		c.wrong("cursor_zone_missing", fmt.Sprintf("the cursor column %q (%s) carries no time zone, and none is declared", e.Cursor, column.SourceType),
			"add cursor_timezone: to the table in its schedule: the zone in which the application writes it, for example UTC")
	}
	return column
}

// softDelete checks that the column which flags deleted rows can be told.
func (c *checker) softDelete(e elt.Extraction, columns elt.Schema) {
	name := e.Deletes.Column
	if e.Deletes.Mode != elt.DeletesSoft || name == "" {
		return
	}
	column, ok := columns.Column(name)
	switch {
	case !ok:
		c.wrong("column_missing", fmt.Sprintf("soft_delete names the column %q, which is not extracted", name),
			"correct the name; the table has "+strings.Join(c.table.Columns.Names(), ", "))
	case column.Masked != "":
		c.wrong("soft_delete_type", fmt.Sprintf("the soft-delete column %q is masked", name), "extract it as it is")
	}
	switch column.Type.Kind {
	case elt.Bool, elt.Int64, elt.Timestamp, elt.LocalTimestamp, elt.DateKind:
	default:
		if ok {
			c.wrong("soft_delete_type", fmt.Sprintf("the soft-delete column %q (%s) is neither a boolean, an integer nor a time", name, column.SourceType),
				"name a column that is true, not zero or not NULL in deleted rows")
		}
	}
}
