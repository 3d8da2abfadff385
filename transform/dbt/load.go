package dbt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// Options say which project is built, by which dbt, and where.
type Options struct {
	Command Command
	Folder  string         // the project's folder as messages write it
	State   string         // a folder of Daybreak's own for profiles, logs and what dbt builds
	Builder Builder        // where dbt builds
	Target  string         // target.name
	Schema  string         // where models are published; dbt's target.schema
	Vars    map[string]any // dbt's vars; in texts, {{ data_date }} and the like stand for those of the night
	OneRun  bool           // the vars are one run's own
	Profile map[string]any // more keys of the profile
	Threads int
	Masked  map[elt.DatasetName][]string // columns of the extracted datasets that nobody is shown
	Failing Failing
	Samples transform.Failures // where the newest row of a table is looked at; nil where messages do without it
	// Left says how much a run may still be billed for; nil, or limited false, is no limit.
	Left func(run elt.RunID) (bytes int64, limited bool)
	// ByTables says what a run was billed for its tables: other machines may verify some while dbt builds. nil is nothing.
	ByTables func(run elt.RunID) int64
	Tables   []elt.Dataset // the extracted datasets, which sources may name
	Now      func() time.Time
}

// Builder is where dbt builds a night.
type Builder interface {
	// Profile returns the target of the generated profile. It holds no secret, and names what differs from one
	// dbt process to the next by environment variables.
	Profile() map[string]any
	// Idle is where a dbt works that builds nothing, in the folder: over what is published, where that can be, with
	// the published sources; or, to parse, over nothing.
	Idle(folder string, published bool, sources []Input) Site
	// Prepare makes the place of one dbt process.
	Prepare(ctx context.Context, p Place, inputs []Input) (Site, error)
	// Collect stages what dbt has built there, and returns the rows of each. It may be called again.
	Collect(ctx context.Context, p Place, built []elt.Exchange) (map[elt.DatasetName]int64, error)
	// Discard lets go of the place.
	Discard(ctx context.Context, p Place) error
}

// Place is where one dbt process builds for a run.
type Place struct {
	Run     elt.RunID
	Folder  string   // its folder on this machine, for everything that is a file
	Schemas []string // the published schemas of what the project builds
}

// Input is what dbt reads and does not build itself.
type Input struct {
	elt.Exchange
	Source string // what source() calls it, "shop.users"; empty for what ref() does
}

// Site is a place that is ready.
type Site struct {
	Env map[string]string // the environment variables that Profile names
	// Sources says what source() means, by "shop.users"; nil where it means what the project says.
	Sources map[string]TableName
	// Failures is where rows that fail a test are read; nil where nothing is built.
	Failures transform.Failures
	// Published are the names by which people know what dbt calls by others there.
	Published *strings.Replacer
}

// TableName is a relation's whole name.
type TableName struct{ Database, Schema, Name string }

// Load has dbt parse the project, unless nothing has changed since it last did, and returns it with what cannot be
// brought. Without a project, what is wrong is among the problems.
func Load(ctx context.Context, o Options) (*Project, elt.Problems) {
	if _, err := os.Stat(filepath.Join(o.Command.Project, "dbt_project.yml")); err != nil {
		return nil, elt.Problems{{
			File: path.Join(o.Folder, "dbt_project.yml"), Code: CodeProjectMissing, What: "there is no dbt project: " + err.Error(),
			Do: "set models.dbt to the folder that holds dbt_project.yml",
		}}
	}
	site := filepath.Join(o.State, "parse")
	if o.OneRun { // that must not cost the nightly runs theirs
		site = filepath.Join(o.State, "parse_one")
	}
	key, err := o.parseKey()
	if err != nil {
		return nil, elt.Problems{{File: o.Folder, Code: CodeParse, What: "the project cannot be read: " + err.Error(), Do: "check its permissions"}}
	}
	if m := parsedBefore(site, key); m != nil {
		return newProject(m, o)
	}
	m, problem := o.parse(ctx, site)
	if problem != nil {
		return nil, elt.Problems{*problem}
	}
	if err := writeFile(filepath.Join(site, "key"), []byte(key)); err != nil {
		o.Command.Log.Warn("the project will be parsed again next time", "error", err)
	}
	return newProject(m, o)
}

// parse runs dbt parse and reads the manifest that it writes.
func (o Options) parse(ctx context.Context, site string) (*manifest, *elt.Problem) {
	problem := func(err error) *elt.Problem {
		p := &elt.Problem{File: path.Join(o.Folder, "dbt_project.yml"), Code: CodeFailed, What: err.Error(), Do: "run dbt parse in " + o.Folder + " and see what it says"}
		if e, ok := errors.AsType[*elt.Error](err); ok {
			p.Code, p.Do = e.Code, e.Do
		}
		return p
	}
	file := filepath.Join(site, "target", "manifest.json")
	if err := errors.Join(removeFile(file), removeFile(filepath.Join(site, "key")), o.writeProfile(site)); err != nil {
		return nil, problem(err)
	}
	args, err := o.args("parse", o.Command.Project, site, exampleNight)
	if err != nil {
		return nil, problem(err)
	}
	command := o.Command
	command.Env = with(command.Env, o.Builder.Idle(site, false, nil).Env)
	end, err := command.run(ctx, args, func(event) {})
	if err != nil {
		return nil, problem(err)
	}
	if end.code != 0 {
		p := parseProblem(o.Folder, end)
		return nil, &p
	}
	m, err := readManifest(file)
	if err != nil {
		return nil, problem(err)
	}
	if m.Metadata.AdapterType != o.adapter() {
		return nil, problem(&elt.Error{
			Code: CodeAdapterMissing, Class: elt.Config,
			What: fmt.Sprintf("dbt parsed the project for %s, but the warehouse is %s", m.Metadata.AdapterType, o.adapter()),
			Do:   "remove models.dbt_profile.type and DBT_ variables that choose another profile",
		})
	}
	return m, nil
}

// adapter is dbt's name of the kind of warehouse, "duckdb".
func (o Options) adapter() string {
	name, _ := o.Builder.Profile()["type"].(string)
	return name
}

// parsedBefore returns the manifest that an earlier parse of the same files wrote, or nil.
func parsedBefore(site, key string) *manifest {
	old, err := os.ReadFile(filepath.Join(site, "key"))
	if err != nil || string(old) != key {
		return nil
	}
	m, err := readManifest(filepath.Join(site, "target", "manifest.json"))
	if err != nil {
		return nil
	}
	return m
}

// parseKey is a digest of everything that a parse depends on: the project's files, the program, the options, and the
// environment variables that a file names.
func (o Options) parseKey() (string, error) {
	h := sha256.New()
	if program, err := exec.LookPath(o.Command.Program); err == nil {
		if info, err := os.Stat(program); err == nil {
			fmt.Fprintln(h, program, info.Size(), info.ModTime().UnixNano())
		}
	}
	settings, err := json.Marshal([]any{o.Builder.Profile(), o.Target, o.Schema, o.Vars, o.Profile, o.Tables})
	if err != nil {
		return "", err
	}
	h.Write(settings)
	env := make(map[string]string, len(o.Command.Env))
	for _, v := range o.Command.Env {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
		if strings.HasPrefix(name, "DBT_") {
			fmt.Fprintln(h, v)
		}
	}
	err = filepath.WalkDir(o.Command.Project, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != o.Command.Project && (strings.HasPrefix(name, ".") || name == "target" || name == "logs") {
				return fs.SkipDir
			}
			return nil
		}
		fmt.Fprintln(h, file)
		if !slices.Contains(parsedFiles, filepath.Ext(file)) {
			return nil
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, len(content))
		h.Write(content)
		for _, m := range envVar.FindAllSubmatch(content, -1) {
			fmt.Fprintln(h, env[string(m[1])])
		}
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// parsedFiles are the endings of what dbt reads when it parses; of seeds, their names are enough.
var parsedFiles = []string{".sql", ".yml", ".yaml", ".py", ".md"}

var envVar = regexp.MustCompile(`env_var\(\s*['"](\w+)`)

func removeFile(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
