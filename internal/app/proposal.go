package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// proposal writes a schedule for the tables of a source.
type proposal struct {
	out    *bytes.Buffer
	source elt.SourceName
	config *config.Config
	taken  map[string]string // table by dataset name
	left   int               // tables that cannot be brought as they are
}

// schedule writes the whole file. What cannot be brought as it is stands there as a comment that says why.
func (p *proposal) schedule(tables []extract.TableInfo) {
	fmt.Fprintf(p.out, `# The tables of %s, as its catalog tells of them. It is a proposal: look at each line.

at: "02:00"                      # when the night begins; it brings the date before
timezone: UTC
deadline: "07:00"                # by when everything must be ready; each table may have its own
owners: []                       # at least two, for every table that names none
catch_up: all                    # every missed date runs; incremental tables need that

# mode: full reads every row each night, and so sees deleted rows; incremental reads what changed, by the cursor.
tables:
`, p.source)
	for _, t := range tables {
		p.table(t)
	}
}

func (p *proposal) leave(t extract.TableInfo, why string, more ...string) {
	p.left++
	fmt.Fprintf(p.out, "\n  # %s is left out: %s\n", t.Name, why)
	for _, line := range more {
		fmt.Fprintf(p.out, "  #   %s\n", line)
	}
}

func (p *proposal) table(t extract.TableInfo) {
	name := string(p.source) + "." + strings.ToLower(bareName(t.Name))
	if _, twice := p.taken[name]; twice { // a table of the same name in another schema
		name = string(p.source) + "." + strings.ToLower(strings.Trim(t.Name[:max(0, strings.LastIndexByte(t.Name, '.'))], "\"`")+"_"+bareName(t.Name))
	}
	switch other, twice := p.taken[name]; {
	case t.Refused != nil:
		p.leave(t, t.Refused.Error(), "to do: "+elt.NewFailure(t.Refused).Do)
		return
	case twice:
		p.leave(t, fmt.Sprintf("%s has the dataset name %s already", other, name), fmt.Sprintf("%s_2: {table: %q}", name, t.Name))
		return
	}
	if _, err := elt.ParseDatasetName(name); err != nil {
		p.leave(t, "its name cannot be a dataset's; give it one yourself", fmt.Sprintf("%s.a_name: {table: %q}", p.source, t.Name))
		return
	}
	e := extract.Proposed(t, elt.DatasetName(name), p.config.Sources[p.source].Columns.Rules())
	if len(e.Exclude) == len(t.Columns) {
		p.leave(t, "no warehouse can name its columns: "+strings.Join(e.Exclude, ", "))
		return
	}
	p.taken[name] = t.Name
	fmt.Fprintf(p.out, "\n  %s:%*s# %s\n", name, max(1, 30-len(name)), "", sizeOf(t))
	fmt.Fprintf(p.out, "    table: %q\n", t.Name)
	p.line("mode: "+string(e.Mode), reasonFor(t))
	if len(e.Key) > 0 && !slices.ContainsFunc(e.Key, func(k string) bool { return slices.Contains(e.Exclude, k) }) {
		p.line("key: "+flowList(e.Key), "")
	}
	if e.Mode == elt.Incremental {
		p.cursor(t)
	}
	p.columns(t, e)
	p.types(t, e)
}

// line writes a setting with what there is to say of it.
func (p *proposal) line(setting, why string) {
	if why == "" {
		fmt.Fprintf(p.out, "    %s\n", setting)
		return
	}
	fmt.Fprintf(p.out, "    %-28s # %s\n", setting, why)
}

func sizeOf(t extract.TableInfo) string {
	rows := "an unknown number of rows"
	if t.Rows >= 0 {
		rows = "about " + plural64(t.Rows, "row")
	}
	if t.Bytes > 0 {
		rows += ", " + size(t.Bytes)
	}
	return rows
}

func plural64(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// reasonFor says why a mode is proposed.
func reasonFor(t extract.TableInfo) string {
	switch {
	case t.Mode == elt.Incremental:
		return "it has a key, and " + t.Cursor + " seems to say when a row changed"
	case t.Cursor != "" && len(t.Key) > 0:
		return "small enough to be read whole, which sees deleted rows"
	case t.Cursor != "":
		return "it has no primary key that would tell its rows apart"
	}
	return "no column seems to say when a row changed"
}

func (p *proposal) cursor(t extract.TableInfo) {
	c, _ := t.Columns.Column(t.Cursor)
	why := "an index begins with it"
	if t.Indexed == nil {
		why = "whether an index begins with it is not known"
	} else if !slices.Contains(t.Indexed, t.Cursor) {
		why = "no index begins with it: each night reads the whole table to find what changed"
	}
	if c.Nullable {
		why += "; it may be NULL, and a row without it stops the night"
	}
	p.line(fmt.Sprintf("cursor: %q", t.Cursor), why)
	if c.Type.Kind == elt.LocalTimestamp {
		p.line("cursor_timezone: UTC", "the zone in which the application writes it")
	}
	p.line("overlap: 2h", "read again this far back, for rows that were committed late")
}

// columns writes what is left out, and what looks personal. What looks personal is marked; where a decision is demanded,
// the careful one is written.
func (p *proposal) columns(t extract.TableInfo, e elt.Extraction) {
	undecided := extract.Undecided(t, e)
	fixed := func(c string) bool { return slices.Contains(t.Key, c) || c == e.Cursor }
	free := slices.DeleteFunc(slices.Clone(undecided), fixed)
	if len(e.Exclude)+len(undecided) == 0 {
		return
	}
	if len(undecided) > 0 {
		fmt.Fprintf(p.out, "    # looks personal: %s\n", strings.Join(undecided, ", "))
	}
	p.out.WriteString("    columns:\n")
	exclude := slices.Clone(e.Exclude)
	if len(e.Exclude) > 0 {
		fmt.Fprintf(p.out, "      # no warehouse can name: %s\n", strings.Join(e.Exclude, ", "))
	}
	decided := p.config.DecidePII
	hash := decided && p.config.Masking.Key != ""
	if decided && !hash {
		exclude = append(exclude, free...)
	}
	if len(exclude) > 0 {
		fmt.Fprintf(p.out, "      exclude: %s\n", flowList(exclude))
	}
	if len(undecided) > 0 {
		fmt.Fprintf(p.out, "      pii: %s\n", flowList(undecided))
	}
	switch {
	case hash && len(free) > 0:
		fmt.Fprintf(p.out, "      hash: %s\n", flowList(free))
	case !decided && len(free) > 0:
		fmt.Fprintf(p.out, "      # hash: %s   # or exclude, redact, keep\n", flowList(free))
	}
	if kept := slices.DeleteFunc(slices.Clone(undecided), func(c string) bool { return !fixed(c) }); decided && len(kept) > 0 {
		fmt.Fprintf(p.out, "      keep: %s   # rows are told apart by it\n", flowList(kept))
	}
}

// types writes as comments what could be said of types that the warehouse cannot hold as they are.
func (p *proposal) types(t extract.TableInfo, e elt.Extraction) {
	var lines []string
	for _, c := range t.Columns {
		if slices.Contains(e.Exclude, c.Name) {
			continue
		}
		if rule, why := p.typeRule(c); rule != "" {
			lines = append(lines, fmt.Sprintf("    #   %s: %s%*s# %s", yamlName(c.Name), rule, max(1, 40-len(c.Name)-len(rule)), "", why))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(p.out, "    # columns: types:\n%s\n", strings.Join(lines, "\n"))
	}
}

// typeRule proposes a rule for a column of a type that needs one, and says why.
func (p *proposal) typeRule(c elt.Column) (rule, why string) {
	source := strings.ToLower(c.SourceType)
	mysql := p.config.Sources[p.source].MySQL != ""
	switch {
	case c.Type.Kind == elt.String && (strings.HasPrefix(source, "numeric") || strings.HasPrefix(source, "decimal")):
		return `"decimal(38,9) or quarantine"`, fmt.Sprintf("%s is wider than a warehouse's decimals, and text without a type", c.SourceType)
	case c.Type.Kind == elt.List && (c.Type.Elem.Kind == elt.LocalTimestamp || c.Type.Elem.Kind == elt.Uint64) && p.config.Warehouse.BigQuery != nil:
		return "string", fmt.Sprintf("BigQuery cannot load a %s", c.Type)
	case mysql && !c.Nullable && (c.Type.Kind == elt.DateKind || c.Type.Kind == elt.LocalTimestamp):
		return string(elt.AsNull), "if it holds 0000-00-00, which is no date and stops the night"
	}
	return "", ""
}

// yamlName writes a column's name as a YAML key.
func yamlName(name string) string {
	if plainKey(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}

func plainKey(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == "" && (name[0] < '0' || name[0] > '9') &&
		!slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(name))
}

// flowList writes names as a YAML list on one line, quoted so that any name is safe.
func flowList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
