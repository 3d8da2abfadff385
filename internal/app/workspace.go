package app

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/transform"
)

// workspace is what the files of a workspace say, before anything is opened.
type workspace struct {
	dir       string
	config    *config.Config
	schedules []*schedules.Schedule
	project   *transform.Project
	catalog   *catalog
	vars      map[string]any // of the command line, with which the project was parsed
}

// readWorkspace reads every file of the workspace and returns what is wrong with any of them, at once. Where
// problems.Err() is not nil, the workspace may lack parts.
func readWorkspace(dir string) (*workspace, elt.Problems) { return readWorkspaceWith(dir, nil) }

// readWorkspaceWith is readWorkspace with variables of the SQL that come before those of the files.
func readWorkspaceWith(dir string, vars map[string]any) (*workspace, elt.Problems) {
	cfg, problems := config.Load(dir)
	ws := &workspace{dir: dir, config: cfg, vars: vars}
	if slices.ContainsFunc(problems, unread) { // what the other files refer to is not known
		return ws, problems
	}
	scheds, found := schedules.Parse(os.DirFS(filepath.Join(dir, "schedules")), schedules.Options{
		Sources: cfg.TableSchemas(), MaskKey: cfg.Masking.Key != "", Defaults: sourceDefaults(cfg), DecidePII: cfg.DecidePII,
	})
	ws.schedules = scheds
	problems = append(problems, found...)
	ws.project, found = ws.parseProject(vars)
	problems = append(problems, found...)
	if problems.Err() == nil {
		ws.catalog, found = newCatalog(scheds, ws.project)
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

// parseProject parses the SQL of the workspace. A workspace without the folder has no models.
func (ws *workspace) parseProject(vars map[string]any) (*transform.Project, elt.Problems) {
	o := transform.Options{
		Vars: maps.Clone(ws.config.Models.Vars), Target: ws.config.Models.Target, Schema: ws.config.Models.Schema, Env: os.LookupEnv,
		Masked: make(map[elt.DatasetName][]string), Excluded: make(map[elt.DatasetName][]string),
	}
	if len(vars) > 0 && o.Vars == nil {
		o.Vars = make(map[string]any, len(vars))
	}
	maps.Copy(o.Vars, vars)
	for _, s := range ws.schedules {
		for _, t := range s.Tables {
			o.Tables = append(o.Tables, elt.Dataset{Name: t.Dataset, Kind: elt.TableDataset, Relation: string(t.Dataset)})
			o.Masked[t.Dataset], o.Excluded[t.Dataset] = slices.Concat(t.Hash, t.Redact), t.Exclude
		}
	}
	project, problems := transform.Parse(os.DirFS(ws.config.Models.Dir), o)
	folder, err := filepath.Rel(ws.dir, ws.config.Models.Dir)
	if err != nil {
		folder = ws.config.Models.Dir
	}
	for i := range problems {
		problems[i].File = filepath.Join(folder, strings.TrimPrefix(problems[i].File, "sql/"))
	}
	return project, problems
}

// loadWorkspace reads a workspace that commands can work with. Warnings are for daybreak check: here only what is wrong
// stops.
func loadWorkspace(dir string) (*workspace, error) { return loadWorkspaceWith(dir, nil) }

func loadWorkspaceWith(dir string, vars map[string]any) (*workspace, error) {
	ws, problems := readWorkspaceWith(dir, vars)
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

// makeFolders creates the folders of the workspace's own files, so that a fresh clone can run.
func makeFolders(files ...string) error {
	for _, f := range files {
		if f == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return &elt.Error{
				Code: "folder_unwritable", Class: elt.Config, Err: err,
				What: "cannot make the folder of " + f, Do: "check that this user may write there",
			}
		}
	}
	return nil
}
