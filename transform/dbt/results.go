package dbt

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// partialSuccess is the status of a model some of whose batches could not be built.
const partialSuccess = "partial success"

// result is what dbt says of a node that it has done with.
type result struct {
	status   string // success, error, skipped, partial success, no-op; of a test pass, fail, warn, error, skipped
	message  string
	failures int64
	used     elt.Usage // what the warehouse billed for it
	sql      string    // of a test, as it ran; only run_results.json has it
	err      error     // why dbt said nothing; the status is then "missing"
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
			Adapter  billed `json:"adapter_response"`
			Compiled string `json:"compiled_code"`
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
		one := result{status: r.Status, message: r.Message, used: r.Adapter.usage(), sql: r.Compiled}
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

// billed is what an adapter says of a job, as far as it is read; numbers come as any that JSON has.
type billed struct {
	JobID  string  `json:"job_id"`
	Bytes  float64 `json:"bytes_billed"`
	SlotMS float64 `json:"slot_ms"`
}

func (b billed) usage() elt.Usage {
	if b.JobID == "" {
		return elt.Usage{}
	}
	return elt.Usage{Jobs: 1, BytesBilled: int64(b.Bytes), SlotTime: time.Duration(b.SlotMS) * time.Millisecond}
}

// UnmarshalJSON takes an answer of another kind for one that says nothing.
func (b *billed) UnmarshalJSON(text []byte) error {
	type plain billed
	var p plain
	if json.Unmarshal(text, &p) == nil {
		*b = billed(p)
	}
	return nil
}
