package status

import (
	"context"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// BoardLedger is what the board is made from.
type BoardLedger interface {
	Revision(ctx context.Context) (int64, error)
	Facts(ctx context.Context, from, to elt.Date) (elt.Facts, error)
	FactsOn(ctx context.Context, dates []elt.Date) (elt.Facts, error)
	Events(ctx context.Context, after int64, limit int) ([]elt.Event, error)
	Incidents(ctx context.Context, openOnly bool, limit int) ([]elt.Incident, error)
}

// RunLedger is what the pages and routes about runs read.
type RunLedger interface {
	Run(ctx context.Context, id elt.RunID) (elt.Run, error)
	Runs(ctx context.Context, f elt.RunFilter) ([]elt.Run, error)
	Steps(ctx context.Context, run elt.RunID) ([]elt.Step, error)
	Attempts(ctx context.Context, step elt.StepID) ([]elt.Attempt, error)
	FailingRows(ctx context.Context, run elt.RunID, d elt.DatasetName) ([]elt.FailingRows, error)
}

// ManifestLedger tells what a version holds, what was read from a source, and how that has changed.
type ManifestLedger interface {
	Version(ctx context.Context, id elt.VersionID) (elt.Version, error)
	Manifest(ctx context.Context, key string) (*elt.Manifest, error)
	SchemaChanges(ctx context.Context, d elt.DatasetName, limit int) ([]elt.DatasetChanges, error)
}

// Ledger is all that the service asks of the ledger. It only reads.
type Ledger interface {
	BoardLedger
	RunLedger
	ManifestLedger
}
