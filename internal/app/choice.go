package app

import (
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform"
)

// Choice are the flags that narrow or change a run.
type Choice struct {
	Select      []string `short:"s" sep:"none" placeholder:"SELECTOR" help:"Only these datasets: a name, stg_*, tag:…, path:…, source:…, config.materialized:…, each with + or 2+ before it for what it is made from, + or +1 after it for what is made from it, @ for both; a comma for what two of them have in common. May be given several times."`
	Exclude     []string `sep:"none" placeholder:"SELECTOR" help:"Without these."`
	FullRefresh bool     `help:"Build the incremental models among them whole."`
	Vars        string   `placeholder:"YAML" help:"Variables of the SQL, over those of daybreak.yaml: '{since: 2026-01-01}'."`
}

// options returns what the flags ask of a run.
func (k Choice) options() (elt.RunOptions, error) {
	o := elt.RunOptions{Select: k.Select, Exclude: k.Exclude, FullRefresh: k.FullRefresh}
	vars, err := parseVars(k.Vars)
	o.Vars = vars
	return o, err
}

func (k Choice) selection() transform.Selection {
	return transform.Selection{Select: k.Select, Exclude: k.Exclude}
}

// parseVars reads a mapping of YAML, of which JSON is a part.
func parseVars(text string) (map[string]any, error) {
	if text == "" {
		return nil, nil
	}
	wrong := func(why string) error {
		return &elt.Error{Code: "bad_vars", Class: elt.Config, What: "--vars " + why, Do: "write a mapping: --vars '{since: 2026-01-01, limit: 10}'"}
	}
	f, problems := yamlfile.Parse("--vars", []byte(text))
	if err := problems.Err(); err != nil {
		return nil, wrong("cannot be read: " + problems[0].What)
	}
	vars, ok := f.Root().Any().(map[string]any)
	if !ok || len(vars) == 0 {
		return nil, wrong("is no mapping of names and values")
	}
	return vars, nil
}
