package notify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// lineageRuns is the namespace of the UUIDs of runs: the same run has the same one whoever computes it, and whenever.
var lineageRuns = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/daybreak-data/daybreak/openlineage"))

type lineageEvent struct {
	EventTime string            `json:"eventTime"`
	EventType elt.LineageKind   `json:"eventType"`
	Producer  string            `json:"producer"`
	SchemaURL string            `json:"schemaURL"`
	Run       lineageRun        `json:"run"`
	Job       lineageJob        `json:"job"`
	Inputs    []*lineageDataset `json:"inputs"`
	Outputs   []*lineageDataset `json:"outputs"`
}

type lineageRun struct {
	RunID  string `json:"runId"`
	Facets facets `json:"facets,omitempty"`
}

type lineageJob struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Facets    facets `json:"facets,omitempty"`
}

type lineageDataset struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Facets    facets `json:"facets,omitempty"`
	Input     facets `json:"inputFacets,omitempty"`
	Output    facets `json:"outputFacets,omitempty"`
}

// facets are what is said of a run, a job or a dataset, by the facet's name.
type facets map[string]map[string]any

// facetSchemas are the schemas of the facets, by their keys.
var facetSchemas = map[string]string{
	"parent": "1-2-0/ParentRunFacet", "nominalTime": "1-0-1/NominalTimeRunFacet", "processing_engine": "1-1-1/ProcessingEngineRunFacet",
	"errorMessage": "1-0-1/ErrorMessageRunFacet", "jobType": "2-0-4/JobTypeJobFacet", "sql": "1-1-0/SQLJobFacet", "sourceCode": "1-0-1/SourceCodeJobFacet",
	"schema": "1-2-0/SchemaDatasetFacet", "dataSource": "1-0-1/DatasourceDatasetFacet", "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
	"inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet", "dataQualityMetrics": "1-0-3/DataQualityMetricsInputDatasetFacet", "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
}

// facet adds one under its key; documentation and ownership have a schema for each kind of owner.
func (l *Lineage) facet(to facets, key string, says map[string]any) {
	schema := facetSchemas[key]
	switch key {
	case "documentation":
		schema = "1-1-0/DocumentationDatasetFacet"
	case "ownership":
		schema = "1-0-1/OwnershipDatasetFacet"
	}
	_, name, _ := strings.Cut(schema, "/")
	says["_producer"], says["_schemaURL"] = l.producer(), "https://openlineage.io/spec/facets/"+schema+".json#/$defs/"+name
	to[key] = says
}

func (l *Lineage) producer() string {
	return "https://github.com/daybreak-data/daybreak/tree/v" + l.Version
}

// runID is the UUID of a run's nth round, or of an attempt at a step.
func (l *Lineage) runID(id string, n int) string {
	return uuid.NewSHA1(lineageRuns, fmt.Appendf(nil, "%s\x00%s\x00%d", l.Namespace, id, n)).String()
}

// event renders what happened. It says the same at every attempt to tell it, but for what the catalogue has learnt since.
func (l *Lineage) event(in *elt.Lineage) lineageEvent {
	e := lineageEvent{
		EventTime: in.At.UTC().Format(time.RFC3339Nano), EventType: in.Kind, Producer: l.producer(),
		SchemaURL: "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
		Run:       lineageRun{l.runID(string(in.Run.ID), in.Round), facets{}},
		Job:       lineageJob{l.Namespace, string(in.Run.Schedule), facets{}},
		Inputs:    []*lineageDataset{}, Outputs: []*lineageDataset{},
	}
	kind := "RUN"
	if in.Step != nil {
		kind = strings.ToUpper(string(in.Step.Kind))
		parent := map[string]any{"run": map[string]any{"runId": e.Run.RunID}, "job": map[string]any{"namespace": l.Namespace, "name": e.Job.Name}}
		parent["root"] = map[string]any{"run": parent["run"], "job": parent["job"]}
		l.facet(e.Run.Facets, "parent", parent)
		e.Run.RunID = l.runID(string(in.Step.ID), in.Attempt)
		e.Job.Name += "." + string(in.Step.Kind)
		if in.Step.Dataset != "" {
			e.Job.Name += "." + string(in.Step.Dataset)
		}
		l.datasets(&e, in)
	}
	l.facet(e.Job.Facets, "jobType", map[string]any{"processingType": "BATCH", "integration": "DAYBREAK", "jobType": kind})
	l.describeRun(&e, in)
	return e
}

func (l *Lineage) describeRun(e *lineageEvent, in *elt.Lineage) {
	zone, err := time.LoadLocation(in.Zone)
	if err != nil { // one that this machine does not know
		zone = time.UTC
	}
	l.facet(e.Run.Facets, "nominalTime", map[string]any{
		"nominalStartTime": in.Run.Date.Start(zone).Format(time.RFC3339), "nominalEndTime": in.Run.Date.AddDays(1).Start(zone).Format(time.RFC3339),
	})
	l.facet(e.Run.Facets, "processing_engine", map[string]any{"name": "daybreak", "version": l.Version, "openlineageAdapterVersion": l.Version})
	if in.Kind != elt.LineageFail && in.Kind != elt.LineageAbort {
		return
	}
	// Without the error's own text, which may quote values of the data.
	what := fmt.Sprintf("run %s of %s", in.Run.Schedule, in.Run.Date)
	if in.Step != nil {
		what = fmt.Sprintf("attempt %d to %s %s", in.Attempt, in.Step.Kind, cmp.Or(string(in.Step.Dataset), "the run"))
	}
	verb := " failed"
	if in.Kind == elt.LineageAbort {
		verb = " was cancelled"
	}
	if in.Failure != nil {
		verb += fmt.Sprintf(": %s (%s)", in.Failure.Code, in.Failure.Class)
	} else if in.Step == nil {
		verb = " was partial or failed: see its steps"
	}
	l.facet(e.Run.Facets, "errorMessage", map[string]any{"message": what + verb, "programmingLanguage": "GO"})
}

// datasets adds what the step reads and writes. Tests and verifications write nothing; the publish step, which makes
// everything visible at once, names nothing, so that it does not tie every dataset to every other one.
func (l *Lineage) datasets(e *lineageEvent, in *elt.Lineage) {
	if in.Dataset == nil {
		return
	}
	var read, written *lineageDataset
	switch in.Step.Kind {
	case elt.ExtractStep:
		read, written = l.origin(in), l.lakeObject(in)
	case elt.LoadStep:
		read, written = l.lakeObject(in), l.published(in.Dataset, in.Manifest)
	case elt.VerifyStep, elt.TestStep:
		read = l.published(in.Dataset, in.Manifest)
	case elt.TransformStep:
		written = l.published(in.Dataset, nil)
		for i := range in.Inputs {
			e.Inputs = append(e.Inputs, l.published(&in.Inputs[i], nil))
		}
		l.code(e, in.Dataset.Name)
	}
	if read != nil {
		e.Inputs = append(e.Inputs, read)
	}
	if written != nil {
		e.Outputs = append(e.Outputs, written)
	}
	if in.Kind == elt.LineageStart || in.Step.Attempt != in.Attempt {
		return // what the step says is of another attempt
	}
	r := in.Step.Result
	if in.Kind == elt.LineageComplete && written != nil {
		says := map[string]any{"rowCount": r.Rows}
		if r.Bytes > 0 {
			says["size"] = r.Bytes
		}
		if in.Step.Kind == elt.ExtractStep && in.Manifest != nil {
			says["rowCount"], says["size"], says["fileCount"] = in.Manifest.Rows(), in.Manifest.Bytes(), len(in.Manifest.Parts)
		}
		written.Output = facets{}
		l.facet(written.Output, "outputStatistics", says)
	}
	if in.Kind == elt.LineageComplete && in.Step.Kind == elt.VerifyStep {
		read.Input = facets{}
		l.facet(read.Input, "inputStatistics", map[string]any{"rowCount": r.Rows})
		if in.Manifest != nil {
			l.metrics(read, in.Manifest.Stats)
		}
	}
	if in.Step.Kind == elt.TestStep && len(r.Notes) > 0 {
		l.assertions(read, r.Notes)
	}
}

// metrics tells of what was verified how many values each column has: nothing that is a value itself.
func (l *Lineage) metrics(d *lineageDataset, stats elt.TableStats) {
	columns := make(map[string]any, len(stats.Columns))
	for _, c := range stats.Columns {
		columns[c.Column] = map[string]any{"count": c.NonNull, "nullCount": stats.Rows - c.NonNull}
	}
	l.facet(d.Input, "dataQualityMetrics", map[string]any{"rowCount": stats.Rows, "columnMetrics": columns})
}

// assertions tells each test and whether it held.
func (l *Lineage) assertions(d *lineageDataset, notes []elt.Check) {
	said := make([]map[string]any, len(notes))
	for i, n := range notes {
		name, column, _ := strings.Cut(n.Name, "(")
		said[i] = map[string]any{"assertion": name, "name": n.Name, "success": n.Passed, "severity": n.Severity, "actual": fmt.Sprintf("%d rows", n.Failures)}
		if column = strings.TrimSuffix(column, ")"); elt.ValidPlainName(column) {
			said[i]["column"] = column
		}
	}
	d.Input = facets{}
	l.facet(d.Input, "dataQualityAssertions", map[string]any{"assertions": said})
}

// code adds the SQL of a model.
func (l *Lineage) code(e *lineageEvent, d elt.DatasetName) {
	if l.Code == nil {
		return
	}
	source, query := l.Code(d)
	if source != "" {
		l.facet(e.Job.Facets, "sourceCode", map[string]any{"language": "sql", "sourceCode": source})
	}
	if query != "" {
		l.facet(e.Job.Facets, "sql", map[string]any{"query": query, "dialect": l.Dialect})
	}
}
