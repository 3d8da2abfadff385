package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Lake is what load needs of the lake.
type Lake interface {
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// LocalLake is a lake whose objects are files of this machine, which a warehouse can read in place.
type LocalLake interface {
	Local(key string) (path string, ok bool)
}

// Warehouse is what load needs of a warehouse.
type Warehouse interface {
	Stage(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string, progress func(rows int64)) (int64, error)
	Measure(ctx context.Context, run elt.RunID, d elt.DatasetName, schema elt.Schema) (elt.TableStats, error)
	PublishedRows(ctx context.Context, relation string) (rows int64, exists bool, err error)
	Digest(ctx context.Context, run elt.RunID, d elt.DatasetName, schema elt.Schema) (elt.RowDigest, error)
	Deletes(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string) (elt.Deletion, error)
}

// Options are what a Loader works with.
type Options struct {
	Lake      Lake
	Warehouse Warehouse
	Spool     string // folder for the parts of a lake that is not local, while they are being loaded
	Log       *slog.Logger
}

// Loader loads and verifies days.
type Loader struct {
	lake      Lake
	warehouse Warehouse
	spool     string
	log       *slog.Logger
	run       elt.RunID // under which it stages; empty for the manifest's own
}

// New returns a Loader.
func New(o Options) *Loader {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Loader{lake: o.Lake, warehouse: o.Warehouse, spool: o.Spool, log: o.Log}
}

// As returns a Loader that stages what it loads as the given run's, whichever run has extracted it.
func (l *Loader) As(run elt.RunID) *Loader {
	as := *l
	as.run = run
	return &as
}

// Load brings the parts of a manifest into the staging relation of the manifest's run. Loading again replaces
// what was staged. relation is the published name. The errors are manifest_missing, manifest_unreadable,
// part_missing, part_corrupt, rows_differ, and the warehouse's own.
func (l *Loader) Load(ctx context.Context, manifestKey, relation string, progress func(elt.Progress)) (elt.Result, error) {
	m, err := l.manifest(ctx, manifestKey)
	if err != nil {
		return elt.Result{}, err
	}
	failpoint.Here("load.stage")
	rows, err := l.stage(ctx, m, relation, progress)
	if err != nil {
		return elt.Result{}, err
	}
	failpoint.Here("load.staged")
	if rows != m.Rows() {
		return elt.Result{}, &elt.Error{
			Code: codeRowsDiffer, Class: elt.Data,
			What: fmt.Sprintf("the warehouse counts %d rows of %s %s, the manifest has %d", rows, m.Dataset, m.Date, m.Rows()),
			Do:   "load it again; if it happens again, extract the day again and report it",
		}
	}
	l.log.Debug("staged", "dataset", m.Dataset, "run", m.Run, "rows", rows, "bytes", m.Bytes())
	return elt.Result{Rows: rows, Bytes: m.Bytes(), Manifest: manifestKey}, nil
}

// manifest reads and decodes the manifest.
func (l *Loader) manifest(ctx context.Context, key string) (*elt.Manifest, error) {
	r, err := l.lake.Open(ctx, key)
	if isMissing(err) {
		return nil, &elt.Error{
			Code: codeManifestMissing, Class: elt.Data,
			What: fmt.Sprintf("the lake has no manifest %s", key), Do: "extract the day again",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	m, err := elt.DecodeManifest(content)
	if err != nil {
		return nil, &elt.Error{
			Code: codeManifestUnreadable, Class: elt.Data,
			What: fmt.Sprintf("manifest %s cannot be used: %v", key, err), Do: "extract the day again",
		}
	}
	if l.run != "" {
		m.Run = l.run
	}
	return m, nil
}
