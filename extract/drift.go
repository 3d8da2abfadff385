package extract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// CodeSchemaChanged is the code with which a dataset is held back whose columns changed in a way that no rule lets pass.
const CodeSchemaChanged elt.Code = "schema_changed"

// drift compares the selected columns with those that are published. What the rules let pass changes the selection,
// so that the rows fit what is there, and is noted; the rest is wrong.
func (c *checker) drift(e elt.Extraction, s *selection) {
	d := drifting{checker: c, e: e, rules: e.Drift.Decided(), to: s}
	var kept elt.Schema
	for _, column := range s.columns {
		was, known := c.before.Schema.Column(column.Name)
		if !known {
			if d.appeared(column) {
				kept = append(kept, column)
			}
			continue
		}
		d.changed(was, &column)
		kept = append(kept, column)
	}
	for _, was := range c.before.Schema {
		if _, there := s.columns.Column(was.Name); there {
			continue
		}
		if d.vanished(was) {
			was.Absent, was.Nullable, was.Masked = true, true, ""
			kept = append(kept, was)
		}
	}
	s.columns = kept
	c.drifted = d.refusal()
}

// drifting is a comparison of columns.
type drifting struct {
	*checker
	e     elt.Extraction
	rules elt.DriftRules
	to    *selection

	what, do []string // of the changes that no rule lets pass
}

func (d *drifting) note(kind elt.ChangeKind, column, from, to string) {
	d.to.changes = append(d.to.changes, elt.SchemaChange{Column: column, Kind: kind, From: from, To: to})
}

func (d *drifting) refuse(what, do string) {
	d.what = append(d.what, what)
	if !slices.Contains(d.do, do) {
		d.do = append(d.do, do)
	}
}

// refusal is the one error of every change that no rule lets pass, nil when there is none.
func (d *drifting) refusal() *elt.Error {
	if len(d.what) == 0 {
		return nil
	}
	return &elt.Error{
		Code: CodeSchemaChanged, Class: elt.Data,
		What: fmt.Sprintf("%s (table %s): %s, compared with the version of %s", d.dataset, d.table.Name, strings.Join(d.what, "; "), d.before.Date),
		Do:   fmt.Sprintf("say what is to become of it in the schedule (or for the source in daybreak.yaml): %s; the next attempt goes on from there", strings.Join(d.do, "; ")),
	}
}

// appeared decides about a column that is not published, and reports whether it is taken.
func (d *drifting) appeared(c elt.Column) bool {
	switch {
	case isNamed(d.e, c.Name) || d.rules.NewColumn == elt.DriftAdd:
		d.note(elt.ColumnAdded, c.Name, "", c.Type.String())
		return true
	case d.rules.NewColumn == elt.DriftIgnore:
		d.to.ignored = append(d.to.ignored, c.Name)
		if !slices.Contains(d.before.Ignored, c.Name) {
			d.note(elt.ColumnIgnored, c.Name, "", c.Type.String())
		}
		return false
	}
	d.refuse(fmt.Sprintf("column %q (%s) is new", c.Name, c.Type),
		"on_new_column: add or ignore, or the column's name under columns: (keep, hash, redact, exclude)")
	return true
}

// changed decides about a column whose type or mask is not the published one.
func (d *drifting) changed(was elt.Column, c *elt.Column) {
	incremental := d.e.Mode == elt.Incremental
	rule, declared := d.e.Types[c.Name]
	joined, joins := was.Type.Join(c.Type)
	news := was.SourceType != c.SourceType
	switch {
	case was.Masked != c.Masked && incremental && !was.Absent:
		d.wrong("mask_changed", fmt.Sprintf("column %q was %s and would be %s, beside older rows that stay as they were", c.Name, masked(was.Masked), masked(c.Masked)),
			wholeAgain+", or take the change back")
	case was.Masked != c.Masked && !was.Type.Equal(c.Type):
		d.note(elt.TypeReplaced, c.Name, was.Type.String(), c.Type.String())
	case was.Type.Equal(c.Type):
		if was.Absent {
			d.note(elt.ColumnAdded, c.Name, "", c.Type.String())
		}
	case declared && (rule.As != nil || rule.Policy == elt.AsText):
		d.declared(was, *c, joined, joins)
	case joins && joined.Equal(was.Type):
		if c.Type = joined; news {
			source, _ := d.table.Columns.Column(c.Name)
			d.note(elt.TypeNarrowed, c.Name, was.Type.String(), source.Type.String())
		}
	case joins && d.rules.Widened == elt.DriftAutomatic:
		c.Type = joined
		d.note(elt.TypeWidened, c.Name, was.Type.String(), joined.String())
	case joins:
		d.refuse(fmt.Sprintf("column %q was %s and needs %s", c.Name, was.Type, joined), "on_widened_type: automatic")
	default:
		d.retyped(was, c, news)
	}
}

// declared notes a type that the configuration has changed.
func (d *drifting) declared(was, c elt.Column, joined elt.Type, joins bool) {
	switch {
	case d.e.Mode == elt.Full:
		d.note(elt.TypeReplaced, c.Name, was.Type.String(), c.Type.String())
	case c.Type.Kind == elt.String && was.Type.Kind != elt.List:
		d.note(elt.TypeToText, c.Name, was.Type.String(), c.Type.String())
	case joins && joined.Equal(c.Type):
		d.note(elt.TypeWidened, c.Name, was.Type.String(), c.Type.String())
	default:
		d.refuse(fmt.Sprintf("types: makes column %q %s, and older rows have it as %s", c.Name, c.Type, was.Type), wholeAgain)
	}
}

// retyped decides about a type that is neither wider nor narrower than the published one.
func (d *drifting) retyped(was elt.Column, c *elt.Column, news bool) {
	to := c.Type.String()
	switch {
	case c.Masked == "" && d.rules.TypeChange == elt.DriftReplace && d.e.Mode == elt.Full:
		d.note(elt.TypeReplaced, c.Name, was.Type.String(), to)
	case c.Masked == "" && d.rules.TypeChange == elt.DriftText && (d.e.Mode == elt.Full || was.Type.Kind != elt.List):
		c.Type = elt.Type{Kind: elt.String}
		if !was.Type.Equal(c.Type) {
			d.note(elt.TypeToText, c.Name, was.Type.String(), to)
		} else if news {
			d.note(elt.TypeNarrowed, c.Name, was.Type.String(), to)
		}
	case d.e.Mode == elt.Full:
		d.refuse(fmt.Sprintf("column %q was %s and is %s", c.Name, was.Type, to),
			"on_type_change: string (the column becomes text) or replace (it has its new type), or its type under columns: types")
	default:
		d.refuse(fmt.Sprintf("column %q was %s and is %s", c.Name, was.Type, to),
			"on_type_change: string (the column becomes text), or "+wholeAgain)
	}
}

// vanished decides about a published column that is not read any more, and reports whether it is kept, without values.
func (d *drifting) vanished(was elt.Column) bool {
	_, there := d.table.Columns.Column(was.Name)
	full := d.e.Mode == elt.Full
	switch {
	case there && full:
		if !was.Absent {
			d.note(elt.ColumnLeftOut, was.Name, was.Type.String(), "")
		}
		return false
	case there:
		if !was.Absent {
			d.note(elt.ColumnHidden, was.Name, was.Type.String(), "")
		}
		return true
	case d.rules.DroppedColumn == elt.DriftDrop:
		d.note(elt.ColumnDropped, was.Name, was.Type.String(), "")
		return false
	case was.Absent: // it was decided upon when it went
		return true
	case d.rules.DroppedColumn == elt.DriftKeep:
		d.note(elt.ColumnKept, was.Name, was.Type.String(), "")
		return true
	}
	d.refuse(fmt.Sprintf("column %q (%s) is gone", was.Name, was.Type),
		"on_dropped_column: keep (NULL from now on) or drop (it goes, with what it held)")
	return true
}

// wholeAgain is how older rows are made anew.
const wholeAgain = "load the table whole once: mode: full for one night, with daybreak run --again"

func masked(rule string) string {
	switch rule {
	case MaskHash:
		return "hashed"
	case MaskRedact:
		return "redacted"
	}
	return "as in the source"
}
