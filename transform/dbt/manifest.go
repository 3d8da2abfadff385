package dbt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// manifest is what is read of dbt's manifest.json, whose schema is at
// https://schemas.getdbt.com/dbt/manifest/v12.json; what a version of dbt adds is ignored.
type manifest struct {
	Metadata struct {
		Schema      string `json:"dbt_schema_version"`
		Version     string `json:"dbt_version"`
		ProjectName string `json:"project_name"`
		AdapterType string `json:"adapter_type"`
	} `json:"metadata"`
	Nodes     map[string]*node `json:"nodes"`
	Sources   map[string]*node `json:"sources"`
	UnitTests map[string]*node `json:"unit_tests"`
	Functions map[string]*node `json:"functions"`
	Groups    map[string]group `json:"groups"`
	Macros    map[string]*struct {
		File string `json:"original_file_path"`
	} `json:"macros"`
}

// group is who looks after some nodes.
type group struct {
	Owner struct {
		Email texts `json:"email"`
	} `json:"owner"`
}

// node is a model, a seed, a snapshot, a test, a unit test or a source.
type node struct {
	ID            string     `json:"unique_id"`
	Resource      string     `json:"resource_type"`
	Name          string     `json:"name"`
	Package       string     `json:"package_name"`
	File          string     `json:"original_file_path"`
	FQN           []string   `json:"fqn"`
	Database      string     `json:"database"`
	Schema        string     `json:"schema"`
	Alias         string     `json:"alias"`
	Identifier    string     `json:"identifier"`      // of a source
	SourceName    string     `json:"source_name"`     // of a source
	Freshness     *freshness `json:"freshness"`       // of a source
	LoadedAt      string     `json:"loaded_at_field"` // of a source
	LoadedAtQuery string     `json:"loaded_at_query"` // of a source
	Version       any        `json:"version"`         // of a versioned model
	Description   string     `json:"description"`
	Tags          texts      `json:"tags"`
	Meta          meta       `json:"meta"`
	Group         string     `json:"group"`
	Columns       columns    `json:"columns"`
	Config        nodeConfig `json:"config"`
	DependsOn     struct {
		Nodes []string `json:"nodes"`
	} `json:"depends_on"`

	Compiled string `json:"compiled_code"`
	Raw      string `json:"raw_code"`
	Language string `json:"language"` // sql or python

	// Of tests.
	Attached   string `json:"attached_node"`
	ColumnName string `json:"column_name"`
	TestMeta   *struct {
		Name      string         `json:"name"`
		Namespace string         `json:"namespace"`
		Kwargs    map[string]any `json:"kwargs"`
	} `json:"test_metadata"`

	dataset elt.DatasetName // what it is to Daybreak; empty for tests, and for what is no relation
	title   string          // of a test
	level   int             // the longest way to it from what is made from nothing
}

type nodeConfig struct {
	Enabled      *bool           `json:"enabled"`
	Materialized string          `json:"materialized"`
	Strategy     string          `json:"incremental_strategy"`
	Begin        string          `json:"begin"`
	Severity     string          `json:"severity"`
	Store        bool            `json:"store_failures"`
	Meta         meta            `json:"meta"`
	PartitionBy  json.RawMessage `json:"partition_by"` // of dbt-bigquery
	ClusterBy    texts           `json:"cluster_by"`
}

// layout is what a model of dbt-bigquery says of partitions; a range of integers is none that Daybreak has.
func (c nodeConfig) layout() elt.Layout {
	var by struct {
		Field       string `json:"field"`
		DataType    string `json:"data_type"`
		Granularity string `json:"granularity"`
	}
	if json.Unmarshal(c.PartitionBy, &by) != nil || by.Field == "" || strings.HasPrefix(by.DataType, "int") {
		return elt.Layout{ClusterBy: c.ClusterBy}
	}
	granularity, err := elt.ParseGranularity(by.Granularity)
	if err != nil {
		return elt.Layout{ClusterBy: c.ClusterBy}
	}
	return elt.Layout{PartitionBy: by.Field, Granularity: granularity, ClusterBy: c.ClusterBy}
}

type column struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	DataType    string `json:"data_type"`
	Tags        texts  `json:"tags"`
	Meta        meta   `json:"meta"`
	Config      struct {
		Tags texts `json:"tags"`
		Meta meta  `json:"meta"`
	} `json:"config"`
}

// hidden reports whether no sample shows the column: it is marked as personal, as for the native engine.
func (c column) hidden() bool {
	return c.Meta.Personal || c.Config.Meta.Personal || c.Meta.Masked || c.Config.Meta.Masked || slices.Contains(slices.Concat(c.Tags, c.Config.Tags), "pii")
}

// meta is the meta block that a team fills; what is not Daybreak's in it is the team's own.
type meta struct {
	Owners           texts  `json:"owners"`
	Deadline         string `json:"deadline"`
	Dataset          string `json:"dataset"`           // of a source: the dataset that it is
	Schema           string `json:"schema"`            // what dbt-bigquery makes of the key dataset, there as everywhere
	External         bool   `json:"external"`          // of a source that is in the warehouse and none of Daybreak's
	ExternalLocation any    `json:"external_location"` // of a source that dbt-duckdb reads by itself
	Plugin           any    `json:"plugin"`            // likewise
	Personal         bool   `json:"pii"`               // of a column
	Masked           bool   `json:"masked"`            // likewise
}

// UnmarshalJSON reads the keys that have the expected kind; a team may use the others' names for something else.
func (m *meta) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil //nolint:nilerr // a meta that is no mapping holds nothing of Daybreak's
	}
	for key, into := range map[string]any{
		"owners": &m.Owners, "deadline": &m.Deadline, "dataset": &m.Dataset, "schema": &m.Schema, "external": &m.External, "external_location": &m.ExternalLocation, "plugin": &m.Plugin, "pii": &m.Personal, "masked": &m.Masked,
	} {
		if v, ok := raw[key]; ok && json.Unmarshal(v, into) != nil {
			continue // of another kind: not meant for Daybreak
		}
	}
	return nil
}

// texts is a text or a list of texts.
type texts []string

// UnmarshalJSON reads either.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = nil
		if one != "" {
			*t = texts{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// columns are described in an order, which a map would lose.
type columns []column

// UnmarshalJSON reads an object of columns by name.
func (c *columns) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return err // null is no columns
	}
	for d.More() {
		if _, err := d.Token(); err != nil {
			return err
		}
		var one column
		if err := d.Decode(&one); err != nil {
			return err
		}
		*c = append(*c, one)
	}
	return nil
}

// readManifest reads a manifest.json that dbt has written.
func readManifest(file string) (*manifest, error) {
	broken := func(why string) error {
		return &elt.Error{
			Code: CodeArtifact, Class: elt.Data,
			What: fmt.Sprintf("dbt's manifest %s %s", file, why), Do: "run dbt parse in the project and see what it says; dbt 1.8 and later is known to work",
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, broken("is missing, although dbt says that it parsed the project: " + err.Error())
	}
	return decodeManifest(b, broken)
}

func decodeManifest(b []byte, broken func(why string) error) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, broken("is not what dbt writes: " + err.Error())
	}
	if !strings.Contains(m.Metadata.Schema, "/dbt/manifest/") || m.Nodes == nil {
		return nil, broken("has no nodes or does not say that it is one")
	}
	for _, part := range []map[string]*node{m.Nodes, m.Sources, m.UnitTests, m.Functions} {
		for id, n := range part {
			if n == nil || n.Name == "" {
				return nil, broken(fmt.Sprintf("holds nothing under %q", id))
			}
			n.ID = id
		}
	}
	return &m, nil
}
