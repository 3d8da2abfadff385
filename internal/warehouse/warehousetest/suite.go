package warehousetest

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Stager is what load needs of a warehouse.
type Stager interface {
	Stage(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string, progress func(rows int64)) (int64, error)
	Measure(ctx context.Context, run elt.RunID, d elt.DatasetName, schema elt.Schema) (elt.TableStats, error)
	PublishedRows(ctx context.Context, relation string) (rows int64, exists bool, err error)
	Digest(ctx context.Context, run elt.RunID, d elt.DatasetName, schema elt.Schema) (elt.RowDigest, error)
	Deletes(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string) (elt.Deletion, error)
}

// Builder is what transform needs of a warehouse.
type Builder interface {
	Build(ctx context.Context, b elt.Build) (elt.BuiltModel, error)
	SeedCSV(ctx context.Context, run elt.RunID, d elt.DatasetName, path string, types map[string]string) (int64, error)
	Count(ctx context.Context, query string) (int64, error)
	Columns(ctx context.Context, relation string) ([]elt.ColumnDoc, error)
}

// Failures shows and keeps the rows that fail a test.
type Failures interface {
	Sample(ctx context.Context, query string, hide []string, most int) (elt.Sample, error)
	KeepFailures(ctx context.Context, name, query string, hide []string, most int) (table string, err error)
}

// Namer gives the names that SQL reads.
type Namer interface {
	Staged(run elt.RunID, d elt.DatasetName) string
	Published(relation string) string
}

// Publisher makes versions visible.
type Publisher interface {
	Publish(ctx context.Context, p elt.Publication) ([]elt.Version, error)
	Versions(ctx context.Context) ([]elt.Version, error)
	Discard(ctx context.Context, run elt.RunID) error
	Leftovers(ctx context.Context) (map[elt.RunID]int, error)
}

// Restorer brings back what was published before.
type Restorer interface {
	Restore(ctx context.Context, r elt.Restoration) (elt.Version, error)
	Restorable(ctx context.Context, relation string) ([]elt.VersionID, error)
}

// Nights makes versions visible and brings them back.
type Nights interface {
	Publisher
	Restorer
}

// Warehouse is all that a warehouse does for the stages.
type Warehouse interface {
	Stager
	Builder
	Failures
	Namer
	Nights
}

// Harness is one empty warehouse under test.
type Harness struct {
	Warehouse
	// Rows returns the rows of a query in order, the cells of each as text with | in between and NULL as NULL.
	Rows func(t testing.TB, query string) []string
	// Exec runs SQL behind the warehouse's back, as somebody else would.
	Exec func(t testing.TB, statement string)
	// Physical returns the name of the table that holds what the run staged for the dataset.
	Physical func(t testing.TB, run elt.RunID, d elt.DatasetName) string
	// Layouts is what the warehouse was opened with: how each dataset's published table is arranged.
	Layouts map[elt.DatasetName]elt.Layout
	Limits
}

// Limits are what some warehouses cannot do. The zero Limits are none.
type Limits struct {
	// PlainColumns: columns are named by letters, digits and _; others are refused.
	PlainColumns bool
	// Lists returns false for a list that cannot be held; nil holds all.
	Lists func(of elt.Kind) bool
	// ListValues is how CAST(… AS VARCHAR) of the lists ['', NULL, 'é'] shows; empty for the embedded warehouse's way.
	ListValues string
	// Copies: published tables are copies, so nothing that is staged stays once a newer night is published.
	Copies bool
}

// holds reports whether the warehouse can hold values of the type.
func (l Limits) holds(t elt.Type) bool {
	return t.Kind != elt.List || l.Lists == nil || l.Lists(t.Elem.Kind)
}

// Run runs the suite; open gives every test an empty warehouse of its own.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	RunOnly(t, func(string) bool { return true }, open)
}

// RunOnly runs the tests of the suite that keep chooses by their names, such as "stage/no rows": those that a part of a
// warehouse can pass.
func RunOnly(t *testing.T, keep func(name string) bool, open func(t *testing.T) Harness) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, Harness)
	}{
		{"stage", stageTests}, {"incremental", incrementalTests}, {"deletes", deletesTests}, {"drift", driftTests}, {"layout", layoutTests}, {"build", buildTests}, {"refit", refitTests}, {"publish", publishTests},
		{"restore", restoreTests}, {"damage", damageTests},
	} {
		for name, test := range group.tests {
			if !keep(group.name + "/" + name) {
				continue
			}
			t.Run(group.name+"/"+name, func(t *testing.T) { test(t, open(t)) })
		}
	}
}

// stage stages a day and fails the test if the warehouse counts other rows than the manifest.
func (h Harness) stage(t testing.TB, day Day) {
	t.Helper()
	n, err := h.Stage(t.Context(), day.Run, day.Manifest, string(day.Dataset), day.Files, func(int64) {})
	if err != nil {
		t.Fatalf("stage %s of run %s: %v", day.Dataset, day.Run, err)
	}
	if n != day.Rows() {
		t.Fatalf("staged %d rows of %s, the manifest has %d", n, day.Dataset, day.Rows())
	}
}

// stageError stages a day that must be refused with the code.
func (h Harness) stageError(t testing.TB, day Day, code elt.Code) *elt.Failure {
	t.Helper()
	_, err := h.Stage(t.Context(), day.Run, day.Manifest, string(day.Dataset), day.Files, func(int64) {})
	return wantCode(t, err, code)
}

func (h Harness) build(t testing.TB, b elt.Build) int64 {
	t.Helper()
	built, err := h.Build(t.Context(), b)
	if err != nil {
		t.Fatalf("build %s: %v", b.Dataset, err)
	}
	return built.Rows
}

// publish publishes the items of the run under the fence.
func (h Harness) publish(t testing.TB, run elt.RunID, fence int64, items ...elt.PublicationItem) []elt.Version {
	t.Helper()
	versions, err := h.Publish(t.Context(), elt.Publication{Run: run, Fence: fence, Items: items})
	if err != nil {
		t.Fatalf("publish run %s: %v", run, err)
	}
	return versions
}

// item is a dataset of a run, published under its own name if it has a dot and else in analytics.
func item(run elt.RunID, d elt.DatasetName, strategy elt.Strategy, key ...string) elt.PublicationItem {
	relation := string(d)
	if !strings.Contains(relation, ".") {
		relation = "analytics." + relation
	}
	return elt.PublicationItem{
		Version:  elt.Version{ID: elt.NewVersionID(d, run), Dataset: d, Date: dateOf(run), Run: run, Checks: elt.ChecksPassed},
		Relation: relation, Strategy: strategy, Key: key,
	}
}

// dateOf reads the data date at the end of a test's run ID, "nightly-2026-01-05".
func dateOf(run elt.RunID) elt.Date {
	date, err := elt.ParseDate(string(run[max(0, len(run)-10):]))
	if err != nil {
		return elt.Date{Year: 2026, Month: 1, Day: 1}
	}
	return date
}

// wantRows fails the test unless the query returns exactly these rows.
func (h Harness) wantRows(t testing.TB, query string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, h.Rows(t, query)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", query, diff)
	}
}

// wantCode fails the test unless err has the code, a sentence and advice.
func wantCode(t testing.TB, err error, code elt.Code) *elt.Failure {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	f := elt.NewFailure(err)
	if f.Code != code || f.Do == "" || f.Class == "" {
		t.Fatalf("error %s (%s, do %q): %v; want code %s", f.Code, f.Class, f.Do, err, code)
	}
	return f
}

const (
	night1 elt.RunID = "nightly-2026-01-05"
	night2 elt.RunID = "nightly-2026-01-06"
	night3 elt.RunID = "nightly-2026-01-07"
)

// users is a small table: an id and a name.
func users(t testing.TB, run elt.RunID, mode elt.Mode, rows ...Row) Day {
	t.Helper()
	return NewDay(t, t.TempDir(), elt.Manifest{
		Dataset: "shop.users", Run: run, Date: dateOf(run), Attempt: 1, Mode: mode, Key: []string{"id"},
		Schema: elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "name", Type: elt.Type{Kind: elt.String}}},
	}, rows)
}
