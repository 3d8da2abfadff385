package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/load"
	"github.com/daybreak-data/daybreak/transform"
)

// warehouse is all that a night asks of a warehouse.
type warehouse interface {
	load.Warehouse
	transform.Warehouse
	transform.Failures
	publisher
	keeper
}

// publisher makes versions visible and tells which are.
type publisher interface {
	Publish(ctx context.Context, p elt.Publication) ([]elt.Version, error)
	Versions(ctx context.Context) ([]elt.Version, error)
	Columns(ctx context.Context, relation string) ([]elt.ColumnDoc, error)
	Close() error
}

// keeper is what operators ask of a warehouse: to bring a version back, and to drop what nobody needs.
type keeper interface {
	Restore(ctx context.Context, r elt.Restoration) (elt.Version, error)
	Restorable(ctx context.Context, relation string) ([]elt.VersionID, error)
	Discard(ctx context.Context, run elt.RunID) error
	Leftovers(ctx context.Context) (map[elt.RunID]int, error)
}

// readCopier is a warehouse that people cannot read while it is written: they read a copy.
type readCopier interface {
	RefreshReadCopy(ctx context.Context) error
}

// openWarehouse is the registry of warehouses. readCopy is the copy that publishes renew for readers; empty for none.
func (p *parts) openWarehouse(ctx context.Context, readCopy string) (err error) {
	cfg := p.ws.config.Warehouse
	if cfg.BigQuery != nil {
		p.warehouse, err = bigquery.Open(ctx, bigqueryOptions(p.ws, p.log))
	} else {
		if err := cmp.Or(makeFolders(ownFolder, cfg.DuckDB), makeFolders(sharedFolder, cfg.ReadCopy)); err != nil {
			return err
		}
		p.warehouse, err = duckdb.Open(ctx, duckdb.Options{
			Path: cfg.DuckDB, ReadPath: readCopy, MemoryLimit: cfg.Memory, Layout: p.ws.catalog.layout, Keep: p.ws.config.Retention.Kept(), Now: time.Now, Log: p.log,
		})
	}
	if err != nil {
		return err
	}
	p.closers = append(p.closers, p.warehouse.Close)
	return nil
}

// bigqueryOptions are the options of a warehouse in Google Cloud.
func bigqueryOptions(ws *workspace, log *slog.Logger) bigquery.Options {
	b := ws.config.Warehouse.BigQuery
	return bigquery.Options{
		Project: b.Project, Location: b.Location, DatasetPrefix: b.DatasetPrefix, Endpoint: b.Endpoint,
		Together: b.Publish == "together", MaxBytesBilled: b.MaxBytesBilled(), KMSKey: b.KMSKey, StagingDays: b.StagingDays,
		Layout: ws.catalog.layout, Impersonate: b.Impersonate, Bucket: b.GCSBucket, Keep: ws.config.Retention.Kept(),
		Now: time.Now, Log: log,
	}
}

// behindLedger says that the warehouse lacks what the ledger says it has.
func behindLedger(cfg config.Warehouse, name elt.DatasetName, v elt.Version) error {
	place := cfg.DuckDB
	do := fmt.Sprintf("rebuild it from the lake: daybreak load --all; or put back the warehouse file that belongs to this ledger, or in its place a copy of %s; or, to begin again, move the ledger away too", cfg.ReadCopy)
	if b := cfg.BigQuery; b != nil {
		place = fmt.Sprintf("%s (datasets %s…)", b.Project, b.DatasetPrefix)
		do = "rebuild it from the lake: daybreak load --all; or put back the project or the dataset_prefix that belongs to this ledger; or, to begin again, move the ledger away too"
	}
	return &elt.Error{
		Code: "warehouse_behind_ledger", Class: elt.Config,
		What: fmt.Sprintf("the ledger says that %s was published by run %s, but warehouse %s has no version of it", name, v.Run, place),
		Do:   do,
	}
}

// openReader opens the copy of the embedded warehouse that people read.
func openReader(ctx context.Context, cfg config.Warehouse) (*duckdb.Reader, error) {
	if cfg.BigQuery != nil {
		return nil, &elt.Error{
			Code: "embedded_only", Class: elt.Config,
			What: "this command reads the embedded warehouse's copy, and this workspace's warehouse is BigQuery",
			Do:   fmt.Sprintf("ask BigQuery itself, with bq query --project_id=%s or in its console", cfg.BigQuery.Project),
		}
	}
	return duckdb.OpenReadOnly(ctx, cfg.ReadCopy)
}
