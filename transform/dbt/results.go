package dbt

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// partialSuccess is the status of a model some of whose batches could not be built.
const partialSuccess = "partial success"

// result is what dbt says of a node that it has done with.
type result struct {
	status   string // success, error, skipped, partial success, no-op; of a test pass, fail, warn, error, skipped
	message  string
	failures int64
	err      error // why dbt said nothing; the status is then "missing"
}

func (r result) succeeded() bool { return r.status == "success" }
func (r result) passed() bool    { return r.status == "pass" || r.status == "warn" }

// readResults reads a run_results.json, whose schema is at https://schemas.getdbt.com/dbt/run-results/v6.json.
func readResults(file string) (map[string]result, error) {
	broken := func(why string) error {
		return &elt.Error{
			Code: CodeArtifact, Class: elt.Data,
			What: fmt.Sprintf("dbt's %s %s", file, why), Do: "look at dbt's log beside it; then retry the run",
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, broken("is missing: " + err.Error())
	}
	return decodeResults(b, broken)
}

func decodeResults(b []byte, broken func(why string) error) (map[string]result, error) {
	var artifact struct {
		Metadata struct {
			Schema string `json:"dbt_schema_version"`
		} `json:"metadata"`
		Results []struct {
			ID       string `json:"unique_id"`
			Status   string `json:"status"`
			Message  string `json:"message"`
			Failures *int64 `json:"failures"`
		} `json:"results"`
	}
	if err := json.Unmarshal(b, &artifact); err != nil {
		return nil, broken("is not what dbt writes: " + err.Error())
	}
	if !strings.Contains(artifact.Metadata.Schema, "/dbt/run-results/") {
		return nil, broken("does not say that it holds results")
	}
	out := make(map[string]result, len(artifact.Results))
	for _, r := range artifact.Results {
		one := result{status: r.Status, message: r.Message}
		if r.ID == "" || r.Status == "" {
			return nil, broken("has a result without a name or a status")
		}
		if r.Failures != nil {
			one.failures = *r.Failures
		}
		out[r.ID] = one
	}
	return out, nil
}
