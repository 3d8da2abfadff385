package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// Ledger is the commands about the ledger as a whole.
type Ledger struct {
	Backup  LedgerBackup  `cmd:"" help:"Write the whole ledger into a file, while nights go on."`
	Verify  LedgerVerify  `cmd:"" help:"Check that a backup is whole."`
	Restore LedgerRestore `cmd:"" help:"Fill an empty ledger with a backup, of either engine."`
}

// LedgerBackup writes a backup.
type LedgerBackup struct {
	File string `arg:"" help:"The file to make; it must not exist."`
	JSON bool   `name:"json" help:"Print JSON instead of text."`
}

// Help is the long help of the command.
func (LedgerBackup) Help() string {
	return `Writes everything that the ledger knows as of one moment into a file: runs, steps, versions, incidents, the audit trail, tokens' digests. Nights, workers and the status service go on meanwhile. The file appears under its name when it is whole and on disk, readable by this user alone.

It is the same for a ledger on SQLite and on PostgreSQL, and either can be filled with it: so a team moves from one to the other. A ledger of an older Daybreak is written as it is; take one before every upgrade.

  daybreak ledger backup /backups/ledger-$(date +%F).gz
  daybreak ledger verify /backups/ledger-2026-11-22.gz`
}

// Run runs the command.
func (b *LedgerBackup) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	book, err := ws.openBook(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	defer book.Close() // it only reads
	if _, err := os.Lstat(b.File); err == nil {
		return &elt.Error{Code: "backup_exists", Class: elt.Config, What: b.File + " exists already", Do: "name another file: a backup replaces none"}
	}
	taken, err := writeBackup(ctx, book, b.File)
	if err != nil {
		return err
	}
	return sayBackup(c, b.JSON, b.File+" holds", taken)
}

// writeBackup makes the file under another name first: what has the name is whole.
func writeBackup(ctx context.Context, book *ledger.Ledger, path string) (taken elt.Backup, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return taken, backupFile(path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	buffered := bufio.NewWriter(backupWriter{f, path})
	if taken, err = book.Backup(ctx, buffered); err == nil {
		err = errors.Join(buffered.Flush(), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return taken, backupFile(path, err)
	}
	failpoint.Here("backup.written")
	if err = os.Link(f.Name(), path); err != nil { // unlike a rename, it replaces nothing
		return taken, backupFile(path, err)
	}
	failpoint.Here("backup.linked")
	return taken, errors.Join(os.Remove(f.Name()), syncFolder(filepath.Dir(path)))
}

// syncFolder brings a folder's names to the disk, which syncing a file does not.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// backupWriter tells the backup's failures from the ledger's.
type backupWriter struct {
	f    *os.File
	path string
}

func (w backupWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil {
		err = backupFile(w.path, err)
	}
	return n, err
}

// backupFile explains what kept a backup's file from being written or read; an error that has a code is kept.
func backupFile(path string, err error) error {
	if elt.CodeOf(err) != "" {
		return err
	}
	if _, ok := errors.AsType[*fs.PathError](err); !ok {
		if _, ok := errors.AsType[*os.LinkError](err); !ok {
			return err
		}
	}
	return &elt.Error{Code: "backup_file", Class: elt.Config, Err: err, What: "the backup " + path + " cannot be used", Do: "check the path, the disk's space and that this user may use it"}
}

// LedgerVerify reads a backup.
type LedgerVerify struct {
	File string `arg:"" help:"The backup."`
	JSON bool   `name:"json" help:"Print JSON instead of text."`
}

// Help is the long help of the command.
func (LedgerVerify) Help() string {
	return `Reads a backup to its end and checks every table's rows and sums, and the file's own checksum. It needs no workspace.

  daybreak ledger verify /backups/ledger-2026-11-22.gz`
}

// Run runs the command.
func (v *LedgerVerify) Run(c *Console) error {
	f, err := os.Open(v.File)
	if err != nil {
		return backupFile(v.File, err)
	}
	defer f.Close() // it is only read
	taken, err := ledger.VerifyBackup(bufio.NewReader(f))
	if err != nil {
		return err
	}
	return sayBackup(c, v.JSON, v.File+" is whole: it holds", taken)
}

func sayBackup(c *Console, asJSON bool, what string, b elt.Backup) error {
	if asJSON {
		return printJSON(c, b)
	}
	c.printf("%s %s, %s and %s, %s in all, as of %s (schema %d)\n", what, plural(int(b.Runs), "run"), plural(int(b.Versions), "version"), plural(int(b.Events), "event"),
		plural(int(b.Rows), "row"), b.TakenAt.UTC().Format("2006-01-02 15:04:05 UTC"), b.Schema)
	return nil
}

// LedgerRestore fills an empty ledger.
type LedgerRestore struct {
	File   string `arg:"" help:"The backup."`
	Reason string `required:"" placeholder:"WHY" help:"Why, for the audit trail."`
}

// Help is the long help of the command.
func (LedgerRestore) Help() string {
	return `Fills the workspace's ledger, which must be empty, with a backup of either engine, and brings it to what this Daybreak knows. The file is checked before anything is touched; what was filled is read again and compared, in the transaction that fills it.

A restored ledger knows nothing of what came after the backup, and makes nothing up. What was published since is in the warehouse itself: its versions are taken over from there, and named. Runs that were under way are named, too: one that has published since is cancelled, because nobody knows how it ended, and what it published stays; the next daybreak run or serve goes on with the others.

What was interrupted goes on when the same restore is asked for again.

To move from SQLite to PostgreSQL: back up, set ledger: postgres://… in daybreak.yaml, restore.

  daybreak ledger restore /backups/ledger-2026-11-22.gz --reason "the disk died"`
}

// Run runs the command.
func (r *LedgerRestore) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	f, err := os.Open(r.File)
	if err != nil {
		return backupFile(r.File, err)
	}
	defer f.Close() // it is only read
	log, dsn := c.Logger(g, slog.LevelWarn), ws.config.Ledger.Reveal()
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		if err := makeFolders(ownFolder, path); err != nil {
			return err
		}
	}
	release, err := ledger.LockWorker(dsn)
	if err != nil {
		return err
	}
	restored, err := ledger.RestoreBackup(ctx, dsn, f, log)
	if err = errors.Join(err, release()); err != nil {
		return err
	}
	if err := sayBackup(c, false, "Restored", restored); err != nil {
		return err
	}
	return ws.afterRestore(ctx, c, r.reason(restored.TakenAt), log)
}

func (r *LedgerRestore) reason(at time.Time) string {
	return fmt.Sprintf("%s; from %s, as of %s", r.Reason, filepath.Base(r.File), at.UTC().Format(time.RFC3339))
}

// afterRestore takes over what the warehouse has published since the backup, and says what the ledger does not know.
func (ws *workspace) afterRestore(ctx context.Context, c *Console, reason string, log *slog.Logger) (err error) {
	p := &parts{ws: ws, log: log}
	defer func() { err = errors.Join(err, p.closeAll()) }()
	if err := p.openLedger(ctx); err != nil {
		return err
	}
	if err := p.ledger.Audit(ctx, elt.AuditEntry{Actor: actor(), Action: "ledger.restore", Target: "ledger", Reason: reason}); err != nil {
		return err
	}
	if err := p.openWarehouse(ctx, ""); err != nil {
		return err
	}
	there, err := p.warehouse.Versions(ctx)
	if err != nil {
		return err
	}
	since, err := p.publishedSince(ctx, c, there)
	if err != nil {
		return err
	}
	// The runs first: who is killed in between and begins again still finds what was published since.
	if err := p.settleRuns(ctx, c, since, reason); err != nil {
		return err
	}
	if err := p.ledger.RecordVersions(ctx, since); err != nil {
		return err
	}
	if err := p.ledger.Restored(ctx); err != nil {
		return err
	}
	current, err := p.ledger.Current(ctx)
	if err != nil {
		return err
	}
	for name, v := range current {
		if ws.catalog.byName[name].Name != "" && !slices.ContainsFunc(there, func(w elt.Version) bool { return w.ID == v.ID }) {
			return behindLedger(ws.config.Warehouse, name, v)
		}
	}
	return nil
}

// publishedSince returns the versions that the warehouse has and the ledger does not know, and names them.
func (p *parts) publishedSince(ctx context.Context, c *Console, there []elt.Version) (since []elt.Version, err error) {
	for _, v := range there {
		if _, err := p.ledger.Version(ctx, v.ID); elt.CodeOf(err) == "version_unknown" {
			since = append(since, v)
		} else if err != nil {
			return nil, err
		}
	}
	for _, v := range since {
		c.printf("Published since: %s of %s, %s, by run %s at %s\n", v.Dataset, v.Date, plural(int(v.Rows), "row"), v.Run, v.PublishedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if len(since) == 0 {
		c.printf("The warehouse has published nothing since.\n")
	}
	return since, nil
}

// settleRuns says what becomes of the runs that were under way: one that has published since cannot be carried on,
// because nobody knows how it ended; it is cancelled, and what it published stays.
func (p *parts) settleRuns(ctx context.Context, c *Console, since []elt.Version, reason string) error {
	runs, err := p.ledger.Runs(ctx, elt.RunFilter{State: elt.RunRunning})
	if err != nil {
		return err
	}
	for _, run := range runs {
		if !slices.ContainsFunc(since, func(v elt.Version) bool { return v.Run == run.ID }) {
			c.printf("Under way then: run %s of %s. daybreak run or serve goes on with it.\n", run.ID, run.Date)
			continue
		}
		if err := p.ledger.CancelRun(ctx, run.ID, actor(), "restored from before it published: "+reason); err != nil {
			return err
		}
		c.printf("Under way then: run %s of %s. It has published since, so what is above stays and the rest of it is cancelled; to bring the rest: daybreak run --again --date %s\n", run.ID, run.Date, run.Date)
	}
	return nil
}
