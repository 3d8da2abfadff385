package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/schedules"
)

// workspace is what the files of a workspace say, before anything is opened.
type workspace struct {
	dir       string
	config    *config.Config
	schedules []*schedules.Schedule
	project   project
	catalog   *catalog
	vars      map[string]any               // of the command line, with which the project was parsed
	columns   map[elt.DatasetName][]string // of datasets of which a check has learnt them
}

// readWorkspace reads every file of the workspace and returns what is wrong with any of them, at once. Where
// problems.Err() is not nil, the workspace may lack parts.
func readWorkspace(ctx context.Context, dir string) (*workspace, elt.Problems) {
	return readWorkspaceWith(ctx, dir, nil)
}

// readWorkspaceWith is readWorkspace with variables of the SQL that come before those of the files.
func readWorkspaceWith(ctx context.Context, dir string, vars map[string]any) (*workspace, elt.Problems) {
	cfg, problems := config.Load(dir)
	ws := &workspace{dir: dir, config: cfg, vars: vars}
	if slices.ContainsFunc(problems, unread) { // what the other files refer to is not known
		return ws, problems
	}
	calendars := cfg.Holidays
	if calendars == nil {
		calendars = make(map[elt.CalendarName]*elt.Calendar) // none, and known to be none
	}
	scheds, found := schedules.Parse(os.DirFS(filepath.Join(dir, "schedules")), schedules.Options{
		Sources: cfg.TableSchemas(), MaskKey: cfg.Masking.Key != "", Defaults: sourceDefaults(cfg), DecidePII: cfg.DecidePII,
		Calendars: calendars,
	})
	ws.schedules = scheds
	problems = append(problems, found...)
	ws.project, found = ws.parseProject(ctx, vars)
	problems = append(problems, found...)
	ws.markPersonal()
	if problems.Err() == nil {
		ws.catalog, found = newCatalog(scheds, ws.project, ws.modelsFolder())
		problems = append(problems, found...)
		problems = append(problems, ws.layoutsIgnored()...)
	}
	return ws, problems
}

// layoutsIgnored notes that the embedded warehouse has neither partitions nor clusters.
func (ws *workspace) layoutsIgnored() elt.Problems {
	var names []string
	for _, d := range ws.catalog.datasets {
		if !ws.catalog.layout(d.Name).IsZero() {
			names = append(names, string(d.Name))
		}
	}
	if ws.config.Warehouse.BigQuery != nil || len(names) == 0 {
		return nil
	}
	return elt.Problems{{
		File: config.FileName, Code: "layout_ignored", Warning: true,
		What: "the embedded warehouse takes no notice of partition_by and cluster_by, which are set for " + strings.Join(names, ", "),
		Do:   "nothing: they hold once the warehouse is BigQuery",
	}}
}

// markPersonal adds to the tables the columns that the models' documentation marks as personal.
func (ws *workspace) markPersonal() {
	if ws.project == nil {
		return
	}
	docs := ws.project.TableDocs()
	for _, s := range ws.schedules {
		for i := range s.Tables {
			t := &s.Tables[i]
			t.Defaults.PII = slices.Concat(t.Defaults.PII, docs[t.Dataset].Personal)
		}
	}
}

// sourceDefaults are what the sources say for their datasets.
func sourceDefaults(cfg *config.Config) map[elt.SourceName]schedules.SourceDefaults {
	out := make(map[elt.SourceName]schedules.SourceDefaults, len(cfg.Sources))
	for name, s := range cfg.Sources {
		out[name] = schedules.SourceDefaults{ColumnRules: s.Columns.Rules(), DriftRules: s.Drift()}
	}
	return out
}

// unread reports whether the problem kept daybreak.yaml from being read at all.
func unread(p elt.Problem) bool {
	return slices.Contains([]elt.Code{config.CodeWorkspaceMissing, yamlfile.CodeSyntax, yamlfile.CodeTooLarge}, p.Code)
}

// loadWorkspace reads a workspace that commands can work with. Warnings are for daybreak check: here only what is wrong
// stops.
func loadWorkspace(ctx context.Context, dir string) (*workspace, error) {
	return loadWorkspaceWith(ctx, dir, nil)
}

func loadWorkspaceWith(ctx context.Context, dir string, vars map[string]any) (*workspace, error) {
	ws, problems := readWorkspaceWith(ctx, dir, vars)
	return ws, problems.Err()
}

// schedule returns the schedule of that name, or the only one.
func (ws *workspace) schedule(name string) (*schedules.Schedule, error) {
	var names []string
	for _, s := range ws.schedules {
		if string(s.Name) == name || name == "" && len(ws.schedules) == 1 {
			return s, nil
		}
		names = append(names, string(s.Name))
	}
	what := fmt.Sprintf("there is no schedule %q", name)
	if name == "" {
		what = "there are several schedules"
	}
	return nil, &elt.Error{
		Code: "schedule_unknown", Class: elt.Config, What: what,
		Do: "name one with --schedule: " + strings.Join(names, ", "),
	}
}

// location returns the zone in which times over several datasets are told: that of the schedules when they agree.
func (ws *workspace) location() *time.Location {
	zone := time.UTC
	for i, s := range ws.schedules {
		if i > 0 && s.Zone.String() != zone.String() {
			return time.UTC
		}
		zone = s.Zone
	}
	return zone
}

// Who may look into the workspace's own folders: what lies there is everybody's data, and for this user and its group. The
// copy that people query is for everybody who reaches it.
const (
	ownFolder    os.FileMode = 0o750
	sharedFolder os.FileMode = 0o755
)

// makeFolders creates the folders of the workspace's own files, so that a fresh clone can run.
func makeFolders(mode os.FileMode, files ...string) error {
	for _, f := range files {
		if f == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f), mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return &elt.Error{
				Code: "folder_unwritable", Class: elt.Config, Err: err,
				What: "cannot make the folder of " + f, Do: "check that this user may write there",
			}
		}
	}
	return nil
}
