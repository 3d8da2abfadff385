package transform

import (
	"crypto/md5" //nolint:gosec // the end of a test's ID in dbt's artifacts; it guards nothing
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Artifacts writes what tools read of dbt's manifest.json and run_results.json: names, files, SQL, columns, tags,
// what depends on what, and how each model and test ended. Whatever such a tool does not look at is left out.
type Artifacts struct {
	Version   string    // Daybreak's
	Adapter   string    // "duckdb", "bigquery"
	Generated time.Time // when the run ended
	Run       elt.Run
}

const packageName = "daybreak"

type artifactMeta struct {
	Schema    string    `json:"dbt_schema_version"`
	Version   string    `json:"dbt_version"`
	Generated time.Time `json:"generated_at"`
	Run       elt.RunID `json:"invocation_id"`
	Project   string    `json:"project_name,omitempty"`
	Adapter   string    `json:"adapter_type,omitempty"`
	Env       any       `json:"env"`
}

func (a Artifacts) meta(kind string, version int) artifactMeta {
	return artifactMeta{
		Schema: fmt.Sprintf("https://schemas.getdbt.com/dbt/%s/v%d.json", kind, version), Version: a.Version,
		Generated: a.Generated.UTC(), Run: a.Run.ID, Project: packageName, Adapter: a.Adapter, Env: struct{}{},
	}
}

// ManifestNode is a model, a seed, a test or a source in dbt's shape.
type ManifestNode struct {
	UniqueID     string                    `json:"unique_id"`
	ResourceType string                    `json:"resource_type"`
	Name         string                    `json:"name"`
	Alias        string                    `json:"alias,omitempty"`
	PackageName  string                    `json:"package_name"`
	FQN          []string                  `json:"fqn"`
	Path         string                    `json:"path"`
	OriginalPath string                    `json:"original_file_path"`
	Schema       string                    `json:"schema"`
	Database     string                    `json:"database"`
	RelationName string                    `json:"relation_name,omitempty"`
	Language     string                    `json:"language,omitempty"`
	RawCode      string                    `json:"raw_code"`
	CompiledCode string                    `json:"compiled_code,omitempty"`
	Compiled     bool                      `json:"compiled"`
	Checksum     manifestChecksum          `json:"checksum"`
	Description  string                    `json:"description"`
	Columns      map[string]manifestColumn `json:"columns"`
	Meta         map[string]any            `json:"meta"`
	Tags         []string                  `json:"tags"`
	Config       map[string]any            `json:"config"`
	DependsOn    manifestDepends           `json:"depends_on"`
	Refs         []map[string]any          `json:"refs"`
	Sources      [][]string                `json:"sources"`
	SourceName   string                    `json:"source_name,omitempty"`
	Identifier   string                    `json:"identifier,omitempty"`
	AttachedNode string                    `json:"attached_node,omitempty"`
	ColumnName   string                    `json:"column_name,omitempty"`
	TestMetadata *testMetadata             `json:"test_metadata,omitempty"`
}

type manifestChecksum struct {
	Name     string `json:"name"`
	Checksum string `json:"checksum"`
}

type manifestColumn struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	DataType    string         `json:"data_type,omitempty"`
	Meta        map[string]any `json:"meta"`
	Tags        []string       `json:"tags"`
}

type manifestDepends struct {
	Macros []string `json:"macros"`
	Nodes  []string `json:"nodes"`
}

type testMetadata struct {
	Name      string         `json:"name"`
	Namespace any            `json:"namespace"`
	Kwargs    map[string]any `json:"kwargs"`
}

// Manifest is dbt's manifest.json.
type Manifest struct {
	Metadata  artifactMeta            `json:"metadata"`
	Nodes     map[string]ManifestNode `json:"nodes"`
	Sources   map[string]ManifestNode `json:"sources"`
	Macros    map[string]any          `json:"macros"`
	Docs      map[string]any          `json:"docs"`
	Exposures map[string]any          `json:"exposures"`
	Metrics   map[string]any          `json:"metrics"`
	Groups    map[string]any          `json:"groups"`
	Disabled  map[string]any          `json:"disabled"`
	ParentMap map[string][]string     `json:"parent_map"`
	ChildMap  map[string][]string     `json:"child_map"`
}

// Manifest returns the project in dbt's shape, with the SQL of models and tests as it runs in the scope.
func (e *Engine) Manifest(a Artifacts, s Scope) *Manifest {
	p := e.project
	m := &Manifest{
		Metadata: a.meta("manifest", 12), Nodes: map[string]ManifestNode{}, Sources: map[string]ManifestNode{}, Macros: map[string]any{}, Docs: map[string]any{},
		Exposures: map[string]any{}, Metrics: map[string]any{}, Groups: map[string]any{}, Disabled: map[string]any{},
		ParentMap: map[string][]string{}, ChildMap: map[string][]string{},
	}
	for _, d := range p.order {
		id := p.uniqueID(d)
		var n ManifestNode
		if of, ok := p.models[d]; ok {
			n = e.modelNode(s, of)
		} else if seed, ok := p.seeds[d]; ok {
			n = p.node(d, "seed", seed.file, seed.doc)
		} else {
			m.Sources[id] = p.sourceNode(d)
			m.link(id, nil)
			continue
		}
		m.Nodes[id] = n
		m.link(id, n.DependsOn.Nodes)
	}
	for _, d := range p.order {
		for _, t := range p.tests[d] {
			n := e.testNode(s, t)
			m.Nodes[n.UniqueID] = n
			m.link(n.UniqueID, n.DependsOn.Nodes)
		}
	}
	return m
}

func (m *Manifest) link(id string, parents []string) {
	if parents == nil {
		parents = []string{}
	}
	m.ParentMap[id] = parents
	if m.ChildMap[id] == nil {
		m.ChildMap[id] = []string{}
	}
	for _, p := range parents {
		m.ChildMap[p] = append(m.ChildMap[p], id)
	}
}

// uniqueID is a dataset's name in artifacts: model.daybreak.revenue, source.daybreak.shop.users.
func (p *Project) uniqueID(d elt.DatasetName) string {
	kind := "source"
	if _, ok := p.models[d]; ok {
		kind = "model"
	} else if _, ok := p.seeds[d]; ok {
		kind = "seed"
	}
	return kind + "." + packageName + "." + string(d)
}

// node is what a model, a seed and a table have in common.
func (p *Project) node(d elt.DatasetName, kind, file string, doc entityDoc) ManifestNode {
	schema, name, _ := strings.Cut(p.relation(d), ".")
	t := doc.table()
	n := ManifestNode{
		UniqueID: p.uniqueID(d), ResourceType: kind, Name: string(d), Alias: name, PackageName: packageName, Schema: schema, RelationName: p.relation(d),
		OriginalPath: file, Path: strings.TrimPrefix(strings.TrimPrefix(file, root+"models/"), root+"seeds/"),
		FQN:         append([]string{packageName}, strings.Split(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(file, root+kind+"s/"), ".sql"), ".csv"), "/")...),
		Description: t.Description, Columns: map[string]manifestColumn{}, Meta: map[string]any{}, Tags: t.Tags, Config: map[string]any{"enabled": true, "materialized": kind},
		DependsOn: manifestDepends{[]string{}, []string{}}, Refs: []map[string]any{}, Sources: [][]string{}, Checksum: manifestChecksum{"none", ""},
	}
	if n.Tags == nil {
		n.Tags = []string{}
	}
	if len(t.Owners) > 0 {
		n.Meta["owners"] = t.Owners
	}
	for _, c := range t.Columns {
		n.Columns[c.Name] = manifestColumn{c.Name, c.Description, c.Type, map[string]any{}, []string{}}
	}
	return n
}

func (e *Engine) modelNode(s Scope, m *model) ManifestNode {
	p := e.project
	n := p.node(m.name, "model", m.file, m.doc)
	sum := sha256.Sum256([]byte(m.source))
	n.Language, n.RawCode, n.Checksum = "sql", m.source, manifestChecksum{"sha256", hex.EncodeToString(sum[:])}
	n.Tags = merge(m.config.tags, n.Tags)
	n.Config = map[string]any{"enabled": true, "materialized": string(m.config.materialized), "tags": n.Tags, "meta": n.Meta}
	if m.config.materialized == elt.AsIncremental {
		n.Config["incremental_strategy"], n.Config["unique_key"] = string(m.config.strategy), m.config.key
	}
	for _, in := range m.refs {
		n.DependsOn.Nodes = append(n.DependsOn.Nodes, p.uniqueID(in))
		if source, table := in.Split(); source != "" {
			n.Sources = append(n.Sources, []string{source, table})
		} else {
			n.Refs = append(n.Refs, map[string]any{"name": table, "package": nil, "version": nil})
		}
	}
	if sql, err := e.compile(s, m, false); err == nil { // a model that cannot be compiled has failed its step, which says why
		n.CompiledCode, n.Compiled = sql, true
	}
	return n
}

func (p *Project) sourceNode(d elt.DatasetName) ManifestNode {
	n := p.node(d, "source", "", entityDoc{})
	source, table := d.Split()
	doc := p.docs[d]
	n.Name, n.SourceName, n.Identifier, n.Alias = table, source, table, ""
	n.FQN, n.Description, n.Tags = []string{packageName, source, table}, doc.Description, append([]string{}, doc.Tags...)
	n.Config = map[string]any{"enabled": true}
	for _, c := range doc.Columns {
		n.Columns[c.Name] = manifestColumn{c.Name, c.Description, c.Type, map[string]any{}, []string{}}
	}
	return n
}

// testID is a test's name in artifacts. Like dbt's it ends in a hash for those that schema.yml declares.
func (p *Project) testID(t *test) string {
	if t.kind == "" {
		return "test." + packageName + "." + t.name
	}
	sum := md5.Sum([]byte(string(t.dataset) + "\x00" + t.name))
	return "test." + packageName + "." + t.tableName() + "." + hex.EncodeToString(sum[:5])
}

func (e *Engine) testNode(s Scope, t *test) ManifestNode {
	p := e.project
	n := ManifestNode{
		UniqueID: p.testID(t), ResourceType: "test", Name: t.name, Alias: t.tableName(), PackageName: packageName, FQN: []string{packageName, t.tableName()},
		Path: strings.TrimPrefix(t.file, root), OriginalPath: t.file, Schema: p.options.Schema, Language: "sql", RawCode: t.source,
		Columns: map[string]manifestColumn{}, Meta: map[string]any{}, Tags: []string{}, DependsOn: manifestDepends{[]string{}, []string{}},
		Refs: []map[string]any{}, Sources: [][]string{}, Checksum: manifestChecksum{"none", ""},
		Config: map[string]any{"enabled": true, "materialized": "test", "severity": strings.ToUpper(t.severity), "store_failures": t.store},
	}
	for _, in := range t.reads {
		n.DependsOn.Nodes = append(n.DependsOn.Nodes, p.uniqueID(in))
	}
	if t.kind != "" {
		n.AttachedNode, n.ColumnName = p.uniqueID(t.dataset), unquoted(t.column)
		n.TestMetadata = &testMetadata{Name: t.kind, Kwargs: map[string]any{"model": "{{ get_where_subquery(" + string(t.dataset) + ") }}", "column_name": n.ColumnName}}
		if t.parent != "" {
			n.TestMetadata.Kwargs["to"], n.TestMetadata.Kwargs["field"] = string(t.parent), t.field
		}
		if t.values != nil {
			n.TestMetadata.Kwargs["values"] = t.values
		}
	}
	if sql, err := e.testSQL(s, t); err == nil { // as with models
		n.CompiledCode, n.Compiled = sql, true
	}
	return n
}

// RunResult is how one node ended, in dbt's shape.
type RunResult struct {
	UniqueID      string         `json:"unique_id"`
	Status        string         `json:"status"` // success, error, skipped; for tests pass, fail, warn, error
	Message       *string        `json:"message"`
	Failures      *int64         `json:"failures"`
	Timing        []resultTiming `json:"timing"`
	ThreadID      string         `json:"thread_id"`
	ExecutionTime float64        `json:"execution_time"`
	Adapter       map[string]any `json:"adapter_response"`
	Compiled      bool           `json:"compiled"`
	CompiledCode  string         `json:"compiled_code,omitempty"`
	RelationName  string         `json:"relation_name,omitempty"`
}

type resultTiming struct {
	Name      string    `json:"name"`
	StartedAt time.Time `json:"started_at"`
	Completed time.Time `json:"completed_at"`
}

// RunResults is dbt's run_results.json.
type RunResults struct {
	Metadata artifactMeta   `json:"metadata"`
	Elapsed  float64        `json:"elapsed_time"`
	Results  []RunResult    `json:"results"`
	Args     map[string]any `json:"args"`
}

// RunResults returns how the models, seeds and tests of a run ended, by its steps.
func (e *Engine) RunResults(a Artifacts, steps []elt.Step, m *Manifest) *RunResults {
	out := &RunResults{
		Metadata: a.meta("run-results", 6), Elapsed: a.Generated.Sub(a.Run.CreatedAt).Seconds(), Results: []RunResult{},
		Args: map[string]any{"which": "build", "select": append([]string{}, a.Run.Options.Select...), "exclude": append([]string{}, a.Run.Options.Exclude...), "full_refresh": a.Run.Options.FullRefresh, "vars": a.Run.Options.Vars},
	}
	for _, st := range steps {
		if st.Kind == elt.TransformStep {
			out.Results = append(out.Results, e.modelResult(st, m))
		} else if st.Kind == elt.TestStep {
			out.Results = append(out.Results, e.testResults(st, m)...)
		}
	}
	return out
}

// result is what the results of a step have in common.
func result(st elt.Step, id string, m *Manifest) RunResult {
	n := m.Nodes[id]
	r := RunResult{UniqueID: id, Timing: []resultTiming{}, ThreadID: "Thread-1", Adapter: map[string]any{}, Compiled: n.Compiled, CompiledCode: n.CompiledCode, RelationName: n.RelationName}
	if !st.StartedAt.IsZero() && !st.FinishedAt.IsZero() {
		r.Timing = append(r.Timing, resultTiming{"execute", st.StartedAt.UTC(), st.FinishedAt.UTC()})
		r.ExecutionTime = st.FinishedAt.Sub(st.StartedAt).Seconds()
	}
	return r
}

func (e *Engine) modelResult(st elt.Step, m *Manifest) RunResult {
	r := result(st, e.project.uniqueID(st.Dataset), m)
	message := "OK"
	switch st.State {
	case elt.StepSucceeded:
		r.Status, r.Adapter["rows_affected"] = "success", st.Result.Rows
	case elt.StepFailed:
		r.Status = "error"
		if st.Error != nil {
			message = st.Error.Message
		}
	default:
		r.Status, message = "skipped", "something that it needs did not succeed"
	}
	r.Message = &message
	return r
}

// testResults returns a result for each test of the step's dataset, also for those that never ran.
func (e *Engine) testResults(st elt.Step, m *Manifest) (out []RunResult) {
	for _, t := range e.project.tests[st.Dataset] {
		r := result(st, e.project.testID(t), m)
		i := slices.IndexFunc(st.Result.Notes, func(c elt.Check) bool { return c.Name == t.name })
		switch {
		case i < 0 && st.State == elt.StepFailed && st.Error != nil:
			r.Status, r.Message = "error", &st.Error.Message
		case i < 0:
			r.Status = "skipped"
		default:
			check := st.Result.Notes[i]
			r.Failures = &check.Failures
			r.Status = map[bool]string{true: "pass", false: "fail"}[check.Passed]
			if !check.Passed && check.Severity == "warn" {
				r.Status = "warn"
			}
			if check.Message != "" {
				r.Message = &check.Message
			}
		}
		out = append(out, r)
	}
	return out
}
