package transform

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// root is the folder of the workspace in which the file system's root lies.
const root = "sql/"

// reader reads a project's files and collects what is wrong with them.
type reader struct {
	fsys     fs.FS
	project  *Project
	problems elt.Problems

	file         *projectFile                       // dbt_project.yml; nil where there is none
	described    map[elt.DatasetName]*yamlfile.Node // config blocks of schema.yml
	blocks       map[string]string                  // {% docs %} blocks of .md files
	testDefaults testOptions                        // of dbt_project.yml
	headers      map[elt.DatasetName][]string       // the seeds' columns

	declared map[elt.DatasetName]string // the file of each model and seed, also of those that cannot be read
	disabled map[elt.DatasetName]string // models with enabled=false, and their files
	schemas  []*schemaFile
	singular []*test
}

func (r *reader) problem(at jinja.Position, code elt.Code, what, do string) {
	r.problems = append(r.problems, elt.Problem{File: at.File, Line: at.Line, Column: at.Column, Code: code, What: what, Do: do})
}

func (r *reader) jinjaProblems(errs []*jinja.Error) {
	for _, e := range errs {
		r.problem(e.Position, CodeTemplate, e.What, e.Do)
	}
}

// whole is the position of a problem with a file as such.
func whole(file string) jinja.Position { return jinja.Position{File: file} }

// read reads every file of the project's folders.
func (r *reader) read() {
	r.readProjectFile()
	r.walk("snapshots", func(file, ext string) {
		if ext == ".sql" || ext == ".yml" || ext == ".yaml" {
			r.problem(whole(root+file), CodeUnsupported, "snapshots are not supported",
				"keep history with an incremental model: append the rows of each night with {{ data_date }}, or use the dbt engine")
		}
	})
	r.readMacros()
	r.walk("seeds", func(file, ext string) {
		switch ext {
		case ".csv":
			r.seed(file)
		case ".yml", ".yaml":
			r.schema(file)
		case ".md":
			r.docsFile(file)
		default:
			r.stray(file, "seeds are .csv files")
		}
	})
	r.walk("models", func(file, ext string) {
		switch ext {
		case ".sql":
			r.model(file)
		case ".yml", ".yaml":
			r.schema(file)
		case ".md":
			r.docsFile(file)
		case ".py":
			r.problem(whole(root+file), CodeUnsupported, "models in Python are not supported", "write it in SQL, or use the dbt engine")
		default:
			r.stray(file, "models are .sql files, described in .yml files")
		}
	})
	r.walk("tests", func(file, ext string) {
		switch ext {
		case ".sql":
			if !strings.HasPrefix(file, "tests/generic/") {
				r.singularFile(file)
			}
		case ".yml", ".yaml", ".md":
		default:
			r.stray(file, "tests are .sql files")
		}
	})
}

// readMacros reads the macros, and the generic tests that stand among them or in tests/generic.
func (r *reader) readMacros() {
	var macros []*jinja.Template
	read := func(file, ext string) {
		switch ext {
		case ".sql":
			if source, ok := r.text(file); ok {
				t, errs := jinja.ParseMacros(root+file, source)
				r.jinjaProblems(errs)
				if t != nil {
					macros = append(macros, t)
				}
			}
		case ".md":
			r.docsFile(file)
		case ".yml", ".yaml":
		default:
			r.stray(file, "macros are .sql files")
		}
	}
	r.walk("macros", read)
	r.walk("tests/generic", read)
	library, errs := jinja.NewLibrary(macros...)
	r.jinjaProblems(errs)
	r.project.library = library
	for _, name := range library.Names() {
		if _, taken := (&rendering{}).globals()[name]; taken || name == "range" || name == "namespace" {
			r.problem(library.Place(name), CodeNameTaken, fmt.Sprintf("the macro %s has the name of a built-in function", name), "rename it")
		}
		if test, ok := strings.CutPrefix(name, jinja.TestPrefix); ok && slices.Contains(append(testKinds, "freshness"), test) {
			r.problem(library.Place(name), CodeNameTaken, fmt.Sprintf("the test %s has the name of a built-in one", test), "rename it")
		}
		if strings.HasPrefix(name, "generate_") && strings.HasSuffix(name, "_name") {
			r.problem(library.Place(name), CodeUnsupported, fmt.Sprintf("the macro %s would decide where models are published, and it does not here", name),
				"remove it: models are published under their own names in the schema that daybreak.yaml sets under models.schema")
		}
	}
}

// walk visits the files of a folder in order; a folder that does not exist has none. Hidden files are not the project's.
func (r *reader) walk(folder string, visit func(file, ext string)) {
	err := fs.WalkDir(r.fsys, folder, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(path.Base(file), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.IsDir() {
			visit(file, strings.ToLower(path.Ext(file)))
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.problem(whole(root+folder), CodeUnreadable, fmt.Sprintf("cannot read the folder: %v", err), "make it readable")
	}
}

func (r *reader) stray(file, do string) {
	r.problems = append(r.problems, elt.Problem{File: root + file, Code: CodeStrayFile, What: "this file is not read", Do: do, Warning: true})
}

func (r *reader) text(file string) (string, bool) {
	data, err := fs.ReadFile(r.fsys, file)
	if err != nil {
		r.problem(whole(root+file), CodeUnreadable, fmt.Sprintf("cannot be read: %v", err), "make it readable")
		return "", false
	}
	return strings.TrimPrefix(string(data), "\uFEFF"), true
}

// name returns a file's dataset name, if it can be one and no other file has it.
func (r *reader) name(file string) (elt.DatasetName, bool) {
	base := strings.TrimSuffix(path.Base(file), path.Ext(file))
	name, err := elt.ParseDatasetName(base)
	if err == nil && strings.Contains(base, ".") {
		err = fmt.Errorf("%q is not a model's name: a dot stands between a source and a table", base)
	}
	if err != nil {
		r.problem(whole(root+file), CodeModelName, err.Error(), "rename the file")
		return "", false
	}
	if other, twice := r.declared[name]; twice {
		r.problem(whole(root+file), CodeDuplicateModel, fmt.Sprintf("%s is also defined by %s", name, other), "rename one of the files")
		return "", false
	}
	r.declared[name] = root + file
	relation := r.project.options.Schema + "." + string(name)
	for _, t := range r.project.tables {
		if r.project.relation(t.Name) == relation {
			r.problem(whole(root+file), CodeRelationTaken, fmt.Sprintf("%s would be published as %s, which is the extracted table %s", name, relation, t.Name),
				"rename the model, or give models another schema in daybreak.yaml")
		}
	}
	return name, true
}

func (r *reader) seed(file string) {
	name, ok := r.name(file)
	if !ok {
		return
	}
	source, ok := r.text(file)
	if !ok {
		return
	}
	if strings.TrimSpace(source) == "" {
		r.problem(whole(root+file), CodeEmptyFile, "the seed is empty", "write a header line, or remove the file")
	}
	r.headers[name] = header(source)
	r.project.seeds[name] = &seed{name: name, file: root + file, path: file}
}

// header returns the columns that a CSV file's first line names; none where it cannot be read.
func header(source string) []string {
	names, err := csv.NewReader(strings.NewReader(source)).Read()
	if err != nil {
		return nil // loading it says what is wrong, with its line
	}
	return names
}

// columns returns the columns of a dataset where they are known before it is built: a seed's, those of a model under a
// contract, and those that the options tell.
func (r *reader) columns(d elt.DatasetName) (names []string, known bool) {
	if m, ok := r.project.models[d]; ok && m.config.contract {
		for _, c := range m.doc.Columns {
			names = append(names, c.Name)
		}
		return names, true
	}
	if names = r.headers[d]; names == nil {
		names = r.project.options.Columns[d]
	}
	return names, names != nil
}

func (r *reader) model(file string) {
	name, ok := r.name(file)
	if !ok {
		return
	}
	source, ok := r.text(file)
	if !ok {
		return
	}
	template, errs := jinja.Parse(root+file, source)
	r.jinjaProblems(errs)
	m := &model{name: name, file: root + file, source: source, template: template}
	if len(errs) > 0 {
		m.template = nil
	}
	r.project.models[name] = m
}

func (r *reader) schema(file string) {
	data, ok := r.text(file)
	if !ok {
		return
	}
	f, problems := yamlfile.Parse(root+file, []byte(data))
	r.problems = append(r.problems, problems...)
	if len(problems) > 0 {
		return
	}
	s := &schemaFile{file: f}
	r.problems = append(r.problems, f.Decode(s)...)
	r.schemas = append(r.schemas, s)
	if models := f.Root().Get("models"); models != nil {
		for _, m := range models.Items() {
			var name string
			if n := m.Get("name"); n != nil && n.Kind == yamlfile.Scalar && n.IsText() {
				name, _ = n.Any().(string)
			}
			if config := m.Get("config"); config != nil && name != "" {
				r.described[elt.DatasetName(name)] = config
			}
		}
	}
}
