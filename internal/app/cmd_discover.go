package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Discover prints a schedule for the tables of a source.
type Discover struct {
	Source string `arg:"" help:"The source, as daybreak.yaml names it."`
}

// Help is the long help of the command.
func (Discover) Help() string {
	return `Asks the source's catalog what there is, and prints a schedule file: every table with its estimated rows, a proposed mode, key and cursor, and a note where a column's name looks like personal data. No row is read. It is a proposal: look at each line.

  daybreak discover shop > schedules/nightly.yaml`
}

// Run runs the command.
func (d *Discover) Run(ctx context.Context, g *Globals, c *Console) error {
	cfg, problems := config.Load(g.workspace())
	if err := problems.Err(); err != nil {
		return err
	}
	ws := &workspace{dir: g.workspace(), config: cfg}
	log := c.Logger(g, slog.LevelWarn)
	sources, err := openSources(ws, log)
	if err != nil {
		return err
	}
	source := sources[elt.SourceName(d.Source)]
	if source == nil {
		var names []string
		for name := range sources {
			names = append(names, string(name))
		}
		slices.Sort(names)
		return &elt.Error{
			Code: "source_unknown", Class: elt.Config,
			What: fmt.Sprintf("there is no source %q in %s", d.Source, config.FileName),
			Do:   "name one of: " + strings.Join(names, ", "),
		}
	}
	tables, err := source.Tables(ctx)
	if err != nil {
		return err
	}
	if err := sources.Close(); err != nil {
		log.Warn("not every source closed cleanly", "error", err)
	}
	writeSchedule(c.Out, d.Source, tables)
	fmt.Fprintf(c.Err, "%s of source %s\n", plural(len(tables), "table"), d.Source)
	return nil
}

// writeSchedule prints a schedule that brings the tables. What cannot be brought as it is stands there as a comment
// that says why.
func writeSchedule(w io.Writer, source string, tables []extract.TableInfo) {
	fmt.Fprint(w, `# When and in which zone: a night brings the date before it.
at: "02:00"
timezone: UTC
deadline: "07:00"                # by when everything must be ready; each dataset may have its own
owners: []                       # at least two, for every dataset that names none
catch_up: all                    # every missed date runs; incremental tables need that

# mode: full reads every row each night, and so sees deleted rows; incremental reads what changed by the cursor.
tables:
`)
	taken := make(map[string]string)
	for _, t := range tables {
		bare := t.Name[strings.LastIndex(t.Name, ".")+1:]
		name := source + "." + strings.ToLower(bare)
		if _, err := elt.ParseDatasetName(name); err != nil {
			fmt.Fprintf(w, "  # %s is left out: its name cannot be a dataset's; give it one yourself\n  #   %s.a_name: {table: %q, mode: full}\n", t.Name, source, t.Name)
			continue
		}
		if other := taken[name]; other != "" {
			fmt.Fprintf(w, "  # %s is left out: %s has the dataset name %s already\n", t.Name, other, name)
			continue
		}
		taken[name] = t.Name
		writeTableProposal(w, name, t)
	}
}

func writeTableProposal(w io.Writer, name string, t extract.TableInfo) {
	rows := "an unknown number of rows"
	if t.Rows >= 0 {
		rows = "about " + count(t.Rows) + " rows"
	}
	if t.Bytes > 0 {
		rows += ", " + size(t.Bytes)
	}
	fmt.Fprintf(w, "  %s:%*s# %s\n", name, max(1, 30-len(name)), "", rows)
	fmt.Fprintf(w, "    table: %q\n    mode: %s\n", t.Name, t.Mode)
	if len(t.Key) > 0 {
		fmt.Fprintf(w, "    key: %s\n", flowList(t.Key))
	}
	if t.Cursor != "" {
		fmt.Fprintf(w, "    cursor: %q\n", t.Cursor)
		if c, ok := t.Columns.Column(t.Cursor); ok && c.Type.Kind == elt.LocalTimestamp {
			fmt.Fprintf(w, "    cursor_timezone: UTC          # the zone in which %s is written\n", t.Cursor)
		}
		fmt.Fprintf(w, "    overlap: 2h                   # read again this far back, for rows that were committed late\n")
	}
	if len(t.Personal) > 0 {
		fmt.Fprintf(w, "    # looks personal: %s\n    # columns: {hash: %s}\n", strings.Join(t.Personal, ", "), flowList(t.Personal))
	}
}

// flowList writes names as a YAML list on one line, quoted so that any name is safe.
func flowList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
