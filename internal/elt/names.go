package elt

import (
	"fmt"
	"regexp"
	"strings"
)

// Names and keys are distinct types, so that one cannot be passed where another is meant.
type (
	// DatasetName is what teams call a dataset: "shop.users" for a table extracted from the source
	// shop, "revenue" for a model.
	DatasetName string
	// SourceName names a production database of daybreak.yaml.
	SourceName string
	// ScheduleName names a file of schedules/, without its ending.
	ScheduleName string
	// RunID identifies one execution of a schedule for one data date; it sorts by creation.
	RunID string
	// StepID identifies a step of a run: "<run>/<kind>/<dataset>", or "<run>/publish" for the run's own.
	StepID string
	// VersionID identifies a published content of a dataset.
	VersionID string
	// BackfillID identifies a backfill: "backfill-7".
	BackfillID string
	// IncidentID identifies an incident.
	IncidentID string
	// WorkerID identifies the process that holds a lease, as host:pid:random.
	WorkerID string
)

var (
	datasetName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$`)
	plainName   = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,62}$`)
)

// ParseDatasetName returns s as a dataset's name, or says why it cannot be one.
func ParseDatasetName(s string) (DatasetName, error) {
	if !datasetName.MatchString(s) {
		return "", fmt.Errorf("%q is not a dataset name: use lower-case letters, digits and _, with one dot between source and table (shop.users)", s)
	}
	if schema, _ := DatasetName(s).Split(); strings.HasPrefix(schema, "run_") || strings.HasPrefix(s, "_daybreak") {
		return "", fmt.Errorf("%q is reserved: names beginning with _daybreak or run_ are Daybreak's own", s)
	}
	return DatasetName(s), nil
}

// ValidPlainName reports whether s can name a source or a schedule: lower-case letters, digits, _ and -.
func ValidPlainName(s string) bool { return plainName.MatchString(s) }

// Split returns the part before the dot (empty for a model) and the part after it.
func (d DatasetName) Split() (schema, table string) {
	if schema, table, ok := strings.Cut(string(d), "."); ok {
		return schema, table
	}
	return "", string(d)
}

// Dataset returns the dataset that the version is of.
func (v VersionID) Dataset() DatasetName {
	d, _, _ := strings.Cut(string(v), "@")
	return DatasetName(d)
}

// NewStepID returns the ID of the step of that kind; dataset is empty for a step of the whole run.
func NewStepID(run RunID, kind StepKind, dataset DatasetName) StepID {
	if dataset == "" {
		return StepID(string(run) + "/" + string(kind))
	}
	return StepID(string(run) + "/" + string(kind) + "/" + string(dataset))
}
