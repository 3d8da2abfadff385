package transform

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

var (
	docsBlock = regexp.MustCompile(`(?s)\{%-?\s*docs\s+(\w+)\s*-?%\}(.*?)\{%-?\s*enddocs\s*-?%\}`)
	docCall   = regexp.MustCompile(`\{\{-?\s*doc\(\s*(?:['"]\w+['"]\s*,\s*)?['"](\w+)['"]\s*\)\s*-?\}\}`)
)

// docsFile reads the {% docs name %} blocks of a Markdown file, which descriptions may name.
func (r *reader) docsFile(file string) {
	text, ok := r.text(file)
	if !ok {
		return
	}
	for _, at := range docsBlock.FindAllStringSubmatchIndex(text, -1) {
		name := text[at[2]:at[3]]
		if _, twice := r.blocks[name]; twice {
			r.problem(jinja.Position{File: root + file, Line: strings.Count(text[:at[0]], "\n") + 1, Column: 1}, CodeSchema, fmt.Sprintf("the docs block %s is defined twice", name), "rename one of the two")
			continue
		}
		r.blocks[name] = strings.TrimSpace(text[at[4]:at[5]])
	}
}

// describe puts docs blocks into every description of a schema file.
func (r *reader) describe(s *schemaFile) {
	fill := func(text *string, path ...any) {
		*text = docCall.ReplaceAllStringFunc(*text, func(call string) string {
			name := docCall.FindStringSubmatch(call)[1]
			block, ok := r.blocks[name]
			if !ok {
				do := yamlfile.Suggest(name, slices.Collect(maps.Keys(r.blocks)))
				if do == "" {
					do = "write it in a .md file beside the models: {% docs " + name + " %} … {% enddocs %}"
				}
				r.problems = append(r.problems, s.file.Problem(CodeSchema, fmt.Sprintf("there is no docs block %q", name), do, append(path, "description")...))
				return name
			}
			return block
		})
	}
	entity := func(e *entityDoc, path ...any) {
		fill(&e.Description, path...)
		for i := range e.Columns {
			fill(&e.Columns[i].Description, slices.Concat(path, []any{"columns", i})...)
		}
	}
	for i := range s.Models {
		entity(&s.Models[i], "models", i)
	}
	for i := range s.Seeds {
		entity(&s.Seeds[i], "seeds", i)
	}
	for i := range s.Sources {
		fill(&s.Sources[i].Description, "sources", i)
		for j := range s.Sources[i].Tables {
			entity(&s.Sources[i].Tables[j], "sources", i, "tables", j)
		}
	}
}
