package dbt

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// Datasets is what a warehouse in Google Cloud does for dbt: it makes datasets of a night's own, and takes back from them.
type Datasets interface {
	Place(run elt.RunID, n string) string
	HandOut(ctx context.Context, run elt.RunID, place string, datasets []string, relations []elt.Exchange) error
	TakeBack(ctx context.Context, run elt.RunID, relations []elt.Exchange) (map[elt.DatasetName]int64, error)
	DropPlace(ctx context.Context, place string) error
}

// parsedSchema is target.schema while the project is parsed on BigQuery: whatever is built into a dataset whose name
// does not begin with it would be built over what people read.
const parsedSchema = "daybreak_night"

// InDatasets builds in datasets of BigQuery that are the run's own. dbt has the rights of its environment, or those of
// the service account that it is told to impersonate.
type InDatasets struct {
	Warehouse      Datasets
	Failures       transform.Failures
	Project        string
	Location       string
	Prefix         string // before the name of each published dataset
	Schema         string // of what is published
	Impersonate    string
	Endpoint       string // of an emulator, reached without credentials; empty for Google's own
	MaxBytesBilled int64  // by a query; 0 is no limit
}

// Profile returns the target of the generated profile.
func (b InDatasets) Profile() map[string]any {
	out := map[string]any{
		"type": "bigquery", "method": "oauth", "project": b.Project, "location": b.Location, "dataset": "{{ env_var('DAYBREAK_DBT_SCHEMA') }}",
	}
	if b.Impersonate != "" {
		out["impersonate_service_account"] = b.Impersonate
	}
	if b.Endpoint != "" {
		out["api_endpoint"], out["method"], out["token"] = strings.TrimRight(b.Endpoint, "/"), "oauth-secrets", "none"
	}
	if b.MaxBytesBilled > 0 {
		out["maximum_bytes_billed"] = b.MaxBytesBilled
	}
	return out
}

// Idle names the published datasets, or one that is none.
func (b InDatasets) Idle(_ string, published bool, sources []Input) Site {
	if !published {
		return Site{Env: map[string]string{"DAYBREAK_DBT_SCHEMA": parsedSchema}}
	}
	site := Site{Env: map[string]string{"DAYBREAK_DBT_SCHEMA": b.Prefix + b.Schema}, Sources: make(map[string]TableName)}
	for _, in := range sources {
		schema, name, _ := strings.Cut(in.From, ".")
		site.Sources[in.Source] = TableName{b.Project, b.Prefix + schema, name}
	}
	return site
}

// place is what the names of the place's datasets begin with.
func (b InDatasets) place(p Place) string { return b.Warehouse.Place(p.Run, filepath.Base(p.Folder)) }

// at is the place's dataset for a published schema.
func (b InDatasets) at(place, schema string) string {
	return place + strings.TrimPrefix(schema, b.Schema)
}

// Prepare makes the place's datasets. Sources stay where they are: source() is told where that is.
func (b InDatasets) Prepare(ctx context.Context, p Place, inputs []Input) (Site, error) {
	place := b.place(p)
	site := Site{
		Env: map[string]string{"DAYBREAK_DBT_SCHEMA": place}, Sources: make(map[string]TableName), Failures: b.Failures, Published: strings.NewReplacer(place, b.Prefix+b.Schema),
	}
	datasets := []string{place}
	for _, schema := range p.Schemas {
		if id := b.at(place, schema); !slices.Contains(datasets, id) {
			datasets = append(datasets, id)
		}
	}
	var relations []elt.Exchange
	for _, in := range inputs {
		if in.Source != "" {
			name, err := tableName(in.From)
			if err != nil {
				return site, err
			}
			site.Sources[in.Source] = name
			continue
		}
		in.Schema = b.at(place, in.Schema)
		relations = append(relations, in.Exchange)
	}
	return site, b.Warehouse.HandOut(ctx, p.Run, place, datasets, relations)
}

// tableName takes a quoted name apart.
func tableName(quoted string) (TableName, error) {
	parts := strings.Split(strings.Trim(quoted, "`"), ".")
	if len(parts) != 3 {
		return TableName{}, fmt.Errorf("%s is not the name of a table with its project and dataset", quoted)
	}
	return TableName{parts[0], parts[1], parts[2]}, nil
}

// Collect stages what dbt built in the place.
func (b InDatasets) Collect(ctx context.Context, p Place, built []elt.Exchange) (map[elt.DatasetName]int64, error) {
	place := b.place(p)
	relations := slices.Clone(built)
	for i := range relations {
		relations[i].Schema = b.at(place, relations[i].Schema)
	}
	return b.Warehouse.TakeBack(ctx, p.Run, relations)
}

// Discard drops the place's datasets.
func (b InDatasets) Discard(ctx context.Context, p Place) error {
	return b.Warehouse.DropPlace(ctx, b.place(p))
}

// apart gives a node that is built on BigQuery its published schema, and finds what would be built outside of a night's
// own datasets.
func (r *reader) apart(n *node) {
	if r.adapter != "bigquery" || !n.builds() {
		return
	}
	suffix, inside := strings.CutPrefix(n.Schema, parsedSchema)
	project, _ := r.options.Builder.Profile()["project"].(string)
	switch {
	case n.Database != project:
		r.problem(n, CodeNotApart, fmt.Sprintf("the %s is built in the project %s, and the warehouse is in %s", n.label(), n.Database, project),
			"remove database: (or project:) from its configuration")
	case !inside:
		r.problem(n, CodeNotApart, fmt.Sprintf("the %s is built in the dataset %s whatever target.schema is, so that people would read it before it is tested", n.label(), n.Schema),
			"have the project's generate_schema_name begin with target.schema for the target "+r.options.Target+", or set models.target to a name for which it does")
	}
	n.Schema = r.options.Schema + suffix
}

// ownMacros finds macros of the project's own that take the place of those with which Daybreak has dbt read a night.
func (r *reader) ownMacros() {
	if r.adapter != "bigquery" {
		return
	}
	own := "macro." + r.manifest.Metadata.ProjectName + ".source"
	if m := r.manifest.Macros[own]; m != nil {
		r.problems = append(r.problems, elt.Problem{
			File: path.Join(r.folder, m.File), Code: CodeNotApart, What: "the project has a macro source of its own, in whose place Daybreak puts one that reads the night's tables",
			Do: "remove it; where it only renames sources, say meta: {dataset: …} with each source instead",
		})
	}
}
