package app

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Discover prints a schedule for the tables of a source.
type Discover struct {
	Name   string   `arg:"" optional:"" name:"source" help:"The source, as daybreak.yaml names it; needed when there are several."`
	Source string   `placeholder:"NAME" help:"The same as a flag."`
	Tables []string `placeholder:"GLOB" help:"Only these tables, such as public.* or *_log; may be given more than once."`
	Output string   `short:"o" placeholder:"FILE" help:"Write the schedule into a new file instead of printing it."`
}

// Help is the long help of the command.
func (Discover) Help() string {
	return `Asks the source's catalog what there is, and prints a schedule file: every table with its estimated rows, a proposed mode with the reason, key and cursor, the columns whose names look like personal data, and types that the warehouse cannot hold as they are. No row is read, and nothing is written unless --output says so. It is a proposal that passes daybreak check as it is: look at each line.

  daybreak discover shop > schedules/nightly.yaml
  daybreak discover --source shop --tables 'sales.*' --tables 'public.inv*'
  daybreak discover shop -o schedules/shop.yaml`
}

// Run runs the command.
func (d *Discover) Run(ctx context.Context, g *Globals, c *Console) error {
	cfg, problems := config.Load(g.workspace())
	if err := problems.Err(); err != nil {
		return err
	}
	log := c.Logger(g, slog.LevelWarn)
	name, err := d.source(cfg)
	if err != nil {
		return err
	}
	source, err := openSource(name, cfg.Sources[name], log)
	if err != nil {
		return err
	}
	all, err := source.Tables(ctx)
	if e := source.Close(); e != nil {
		log.Warn("the source did not close cleanly", "source", name, "error", e)
	}
	if err != nil {
		return err
	}
	tables, err := d.only(all)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	p := proposal{out: &out, source: name, config: cfg, taken: make(map[string]string)}
	p.schedule(tables)
	fmt.Fprintf(c.Err, "%s of source %s, %s left out\n", plural(len(tables), "table"), name, plural(p.left, "table"))
	if d.Output != "" {
		return writeNew(d.Output, out.String())
	}
	_, err = c.Out.Write(out.Bytes())
	return err
}

// source returns the source that was asked for, or the only one.
func (d *Discover) source(cfg *config.Config) (elt.SourceName, error) {
	names := slices.Sorted(maps.Keys(cfg.Sources))
	asked := elt.SourceName(d.Source)
	switch {
	case d.Name != "" && d.Source != "" && d.Name != d.Source:
		return "", &elt.Error{Code: "source_unknown", Class: elt.Config, What: fmt.Sprintf("two sources are asked for, %s and %s", d.Name, d.Source), Do: "name one"}
	case d.Name != "":
		asked = elt.SourceName(d.Name)
	case asked == "" && len(names) == 1:
		return names[0], nil
	}
	if _, ok := cfg.Sources[asked]; ok {
		return asked, nil
	}
	what := fmt.Sprintf("there is no source %q in %s", asked, config.FileName)
	if asked == "" {
		what = "there are several sources"
	}
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = string(n)
	}
	return "", &elt.Error{Code: "source_unknown", Class: elt.Config, What: what, Do: "name one of: " + strings.Join(list, ", ")}
}

// only returns the tables that the globs mean, in name order. A glob without a dot is matched with the name alone.
func (d *Discover) only(all []extract.TableInfo) ([]extract.TableInfo, error) {
	slices.SortFunc(all, func(a, b extract.TableInfo) int { // users before Users: it has the better claim to the name
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(b.Name, a.Name))
	})
	if len(d.Tables) == 0 {
		return all, nil
	}
	var out []extract.TableInfo
	for _, t := range all {
		for _, glob := range d.Tables {
			name := t.Name
			if !strings.Contains(glob, ".") {
				name = bareName(t.Name)
			}
			matched, err := path.Match(glob, name)
			if err != nil {
				return nil, &elt.Error{Code: "bad_glob", Class: elt.Config, What: fmt.Sprintf("%q is no pattern: %v", glob, err), Do: "write it as public.* or *_log"}
			}
			if matched {
				out = append(out, t)
				break
			}
		}
	}
	if len(out) == 0 {
		return nil, &elt.Error{
			Code: "table_missing", Class: elt.Config,
			What: fmt.Sprintf("none of the %s is meant by %s", plural(len(all), "table"), strings.Join(d.Tables, ", ")), Do: "leave --tables out to see all",
		}
	}
	return out, nil
}

// bareName is a table's name without its schema.
func bareName(table string) string {
	return strings.Trim(table[strings.LastIndexByte(table, '.')+1:], "\"`")
}
