package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/extract/sqlite"
	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
	"github.com/daybreak-data/daybreak/internal/lake/s3"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/load"
	"github.com/daybreak-data/daybreak/schedules"
)

// parts is everything that a night needs, opened and wired.
type parts struct {
	ws        *workspace
	log       *slog.Logger
	ledger    *ledger.Ledger
	lake      lake.Store
	warehouse warehouse
	extractor *extract.Extractor
	stages    *stages
	runner    *schedules.Runner
	nights    *nights
	loader    *load.Loader
	worker    elt.WorkerID // who this process is to others
	// rebuilding is true while the warehouse may lack what the ledger says it has.
	rebuilding bool
	// extractsOnly is true for a worker that does not open the warehouse.
	extractsOnly bool

	closers []func() error // in the order of opening
}

// leaseTime is how long a silent worker keeps its step. A worker that died on the machine of a SQLite ledger is
// noticed at once, by its file lock.
const leaseTime = 30 * time.Second

// open opens every part in the order in which data flows, takes the workspace for this process, and settles what a
// process before it may have left: its leases, and versions that it published but could not record.
func (ws *workspace) open(ctx context.Context, log *slog.Logger, show display) (*parts, error) {
	return (&parts{ws: ws, log: log}).open(ctx, show)
}

func (p *parts) open(ctx context.Context, show display) (_ *parts, err error) {
	ws, log := p.ws, p.log
	p.worker = workerID()
	defer func() {
		if err != nil {
			err = errors.Join(err, p.closeAll())
		}
	}()
	if err := p.openLedger(ctx); err != nil {
		return nil, err
	}
	if err := p.openExtract(ctx); err != nil {
		return nil, err
	}
	var models *models
	var budget *budget
	if !p.extractsOnly {
		if err := p.openWarehouse(ctx, ws.config.Warehouse.ReadCopy); err != nil {
			return nil, err
		}
		if err := p.openLoader(); err != nil {
			return nil, err
		}
		budget = newBudget(p.warehouse, ws.config.Warehouse, p.ledger)
		if models, err = newModels(ctx, ws, p.ledger, p.warehouse, budget, log); err != nil {
			return nil, err
		}
		p.closers = append(p.closers, models.close)
	}
	p.stages = &stages{
		catalog: ws.catalog, ledger: p.ledger, warehouse: p.warehouse, extractor: p.extractor, loader: p.loader, lake: p.lake,
		models:    models,
		budget:    budget,
		log:       log,
		nights:    make(map[elt.RunID]*extract.Night),
		reading:   make(map[elt.RunID]int),
		published: make(map[elt.DatasetName]elt.Version),
		dates:     make(map[elt.DayKey]elt.Version),
		through:   make(map[elt.DatasetName]elt.Date),
	}
	p.closers = append(p.closers, p.stages.endNights)
	if !p.extractsOnly {
		if err := p.reconcile(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.stages.refresh(ctx); err != nil {
		return nil, err
	}
	p.runner = &schedules.Runner{
		Ledger: p.ledger, Stages: p.stages, Observer: show, Retries: p.retries,
		Worker: p.worker, Lease: leaseTime, Log: log, Ended: p.stages.leaveArtifacts, Rests: p.rests, Limits: ws.config.Limits(),
	}
	p.nights = &nights{
		catalog: ws.catalog, ledger: p.ledger, stages: p.stages, runner: p.runner,
		show: show, threads: ws.config.Threads, log: log,
	}
	return p, nil
}

// openLedger opens and migrates the ledger, and makes sure that no other process works on this workspace.
func (p *parts) openLedger(ctx context.Context) error {
	cfg := p.ws.config
	if path, ok := strings.CutPrefix(cfg.Ledger.Reveal(), "sqlite:"); ok {
		if err := makeFolders(ownFolder, path); err != nil {
			return err
		}
	}
	release, err := ledger.LockWorker(cfg.Ledger.Reveal())
	if err != nil {
		return err
	}
	p.closers = append(p.closers, release)
	p.ledger, err = ledger.Open(ctx, cfg.Ledger.Reveal(), p.log)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, p.ledger.Close)
	if err := p.ledger.Migrate(ctx); err != nil {
		return err
	}
	p.ledger.Limit(cfg.Limits())
	if strings.HasPrefix(cfg.Ledger.Reveal(), "sqlite:") { // the lock says that no other worker is alive
		if _, err := p.ledger.ReleaseLeases(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openExtract opens the lake and names the sources; a source is reached when it is first read.
func (p *parts) openExtract(ctx context.Context) (err error) {
	if p.lake, err = openLake(ctx, p.ws); err != nil {
		return err
	}
	if c, ok := p.lake.(interface{ Close() error }); ok {
		p.closers = append(p.closers, c.Close)
	}
	sources, err := openSources(p.ws, p.log)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, sources.Close)
	options := extract.Options{
		Sources: sources, Lake: p.lake, MaskKey: []byte(p.ws.config.Masking.Key.Reveal()),
		Log: p.log, Now: time.Now, Worker: p.worker, Lease: leaseTime,
	}
	if p.ledger.Shared() {
		options.Sharing, options.Loans = p.ledger, p.ledger
	}
	p.extractor = extract.New(options)
	return nil
}

// openLoader clears the spool of what a killed process left in it.
func (p *parts) openLoader() error {
	p.loader = load.New(load.Options{
		Lake: p.lake, Warehouse: p.warehouse, Log: p.log,
		Spool: filepath.Join(filepath.Dir(p.ws.config.Warehouse.DuckDB), "spool"),
	})
	if p.ws.config.Warehouse.BigQuery != nil { // nothing is spooled for it, and others may work in this folder
		return nil
	}
	return p.loader.Sweep()
}

func openLake(ctx context.Context, ws *workspace) (lake.Store, error) {
	cfg := ws.config.Lake
	if cfg.S3 == nil {
		return disk.Open(cfg.Folder)
	}
	return s3.Open(ctx, s3.Options{
		Bucket: cfg.S3.Bucket, Prefix: cfg.S3.Prefix, Region: cfg.S3.Region, Endpoint: cfg.S3.Endpoint,
		AccessKey: cfg.S3.AccessKey.Reveal(), SecretKey: cfg.S3.SecretKey.Reveal(), PathStyle: cfg.S3.PathStyle,
		MaxAttempts: cfg.S3.Attempts, MaxBackoff: cfg.S3.MaxDelay,
	})
}

// sources are the production databases of a workspace, by name.
type sources map[elt.SourceName]extract.Source

// openSources is the registry of source engines. No server is asked for anything yet.
func openSources(ws *workspace, log *slog.Logger) (sources, error) {
	out := make(sources, len(ws.config.Sources))
	for name, s := range ws.config.Sources {
		source, err := openSource(name, s, log)
		if err != nil {
			return nil, errors.Join(err, out.Close())
		}
		out[name] = source
	}
	return out, nil
}

func openSource(name elt.SourceName, s config.Source, log *slog.Logger) (extract.Source, error) {
	switch {
	case s.SQLite != "":
		return sqlite.New(sqlite.Options{Name: name, Path: s.SQLite, Log: log, Now: time.Now}), nil
	case s.MySQL != "":
		return mysql.New(mysql.Options{
			Name: name, URL: s.MySQL.Reveal(), Connections: s.Connections, Budget: extract.Budget(s.Budget), Log: log,
		})
	}
	return postgres.New(postgres.Options{Name: name, URL: s.Postgres.Reveal(), Connections: s.Connections, Budget: extract.Budget(s.Budget), Log: log})
}

// Close lets go of every source.
func (s sources) Close() error {
	var errs []error
	for name, source := range s {
		if err := source.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close source %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// reconcile makes the ledger agree with the warehouse, which alone decides what is visible: versions whose
// publish committed just before a crash are recorded, and a ledger that knows of more than the warehouse has is
// refused, because everything that it says would be a lie.
func (p *parts) reconcile(ctx context.Context) error {
	versions, err := p.warehouse.Versions(ctx)
	if err != nil {
		return err
	}
	copier, copies := p.warehouse.(readCopier)
	if copies && len(versions) > 0 && !p.readCopyHas(ctx, versions[len(versions)-1]) { // what is recorded as ready must be readable
		if err := copier.RefreshReadCopy(ctx); err != nil {
			return err
		}
	}
	if err := p.ledger.RecordVersions(ctx, versions); err != nil {
		return err
	}
	p.stages.remember(versions)
	if err := p.stages.describe(ctx); err != nil {
		return err
	}
	current, err := p.ledger.Current(ctx)
	if err != nil {
		return err
	}
	var again bool
	for name, v := range current {
		has := func(w elt.Version) bool { return w.ID == v.ID }
		there := slices.ContainsFunc(versions, has)
		if !there && !again && p.ledger.Shared() { // another process may have published since the warehouse was asked
			again = true
			if versions, err = p.warehouse.Versions(ctx); err != nil {
				return err
			}
			there = slices.ContainsFunc(versions, has)
		}
		switch _, brought := p.ws.catalog.byName[name]; {
		case there || p.rebuilding:
		case brought:
			return behindLedger(p.ws.config.Warehouse, name, v)
		default:
			p.log.Warn("the warehouse has lost a dataset that no schedule brings any more", "dataset", name, "version", v.ID)
		}
	}
	return nil
}

// readCopyHas reports whether readers see the version. A copy that cannot be read shows nothing.
func (p *parts) readCopyHas(ctx context.Context, v elt.Version) bool {
	reader, err := openReader(ctx, p.ws.config.Warehouse)
	if err != nil {
		p.log.Info("the read copy is made anew", "reason", err)
		return false
	}
	defer reader.Close() // it only read: closing it loses nothing
	versions, err := reader.Versions(ctx)
	return err == nil && slices.ContainsFunc(versions, func(seen elt.Version) bool { return seen.ID == v.ID })
}

// retries returns the run's policy, that of its schedule.
func (p *parts) retries(ctx context.Context, id elt.RunID) (schedules.Retries, error) {
	run, err := p.ledger.Run(ctx, id)
	if err != nil {
		return schedules.Retries{}, err
	}
	s := p.ws.catalog.schedules[run.Schedule]
	if s == nil { // the schedule was deleted while its run went on
		return schedules.Retries{Attempts: 1}, nil
	}
	return s.Retries, nil
}

// workerID names this process in the ledger.
func workerID() elt.WorkerID {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	var b [3]byte
	rand.Read(b[:]) // never fails
	return elt.WorkerID(fmt.Sprintf("%s:%d:%s", host, os.Getpid(), hex.EncodeToString(b[:])))
}

// close lets go of everything, in the reverse order of opening.
func (p *parts) close(log *slog.Logger) {
	if err := p.closeAll(); err != nil {
		log.Warn("not everything closed cleanly", "error", err)
	}
}

func (p *parts) closeAll() error {
	var errs []error
	for _, v := range slices.Backward(p.closers) {
		errs = append(errs, v())
	}
	p.closers = nil
	return errors.Join(errs...)
}
