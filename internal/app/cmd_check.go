package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake/s3"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// Check names every problem of a workspace at once.
type Check struct {
	Offline bool `help:"Look at the files only; ask no source."`
}

// Help is the long help of the command.
func (Check) Help() string {
	return `Reads daybreak.yaml, every schedule, every model and schema.yml, and asks each source's catalog whether the tables, keys and columns that are declared are there. It reads no rows and changes nothing.

Once everything else is right, every model is tried over empty tables of those columns (on BigQuery by dry runs, which are free), so that a test or a description of a column that no table and no SELECT has is found now and not at night. --offline goes by what was published last, as warnings.

Every problem is one line, file:line:column, with what is wrong and what to do. Warnings do not fail: a dataset with one owner is one. Exit code 0 or 78.

  daybreak check
  daybreak check --offline     in a CI job that reaches no database`
}

// Run runs the command.
func (k *Check) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, problems := readWorkspace(ctx, g.workspace())
	log := c.Logger(g, slog.LevelWarn)
	published := k.published(ctx, ws, log)
	tables := make(map[elt.DatasetName]elt.Schema)
	if !k.Offline && len(ws.schedules) > 0 {
		problems = append(problems, ws.checkSources(ctx, published, tables, log)...)
		problems = append(problems, ws.checkLake(ctx)...)
	}
	if problems.Err() == nil {
		older := false
		for name := range ws.catalog.tables {
			if _, known := tables[name]; !known && published[name] != nil {
				tables[name], older = published[name].Schema, true
			}
		}
		problems = append(problems, ws.checkColumns(ctx, tables, older, log)...)
	}
	yamlfile.Sort(problems)
	wrong := 0
	for _, p := range problems {
		fmt.Fprintln(c.Out, problemLine(p))
		if !p.Warning {
			wrong++
		}
	}
	if wrong > 0 {
		fmt.Fprintf(c.Err, "daybreak: %s, %s\n", plural(wrong, "problem"), plural(len(problems)-wrong, "warning"))
		return exitStatus(ExitConfig)
	}
	c.printf("ok: %s, %s; %s\n", plural(len(ws.catalog.datasets), "dataset"), plural(len(ws.schedules), "schedule"),
		plural(len(problems), "warning"))
	return nil
}

// published returns the manifests of the tables that are published. Offline, a ledger that is a server is not asked.
func (k *Check) published(ctx context.Context, ws *workspace, log *slog.Logger) map[elt.DatasetName]*elt.Manifest {
	if len(ws.schedules) == 0 || k.Offline && !strings.HasPrefix(ws.config.Ledger.Reveal(), "sqlite:") {
		return nil
	}
	published, err := ws.publishedManifests(ctx)
	if err != nil {
		log.Warn("what is published is not known, so changed columns are not reported", "error", err)
	}
	return published
}

// checkLake asks a lake that is a server whether it can be reached and written to.
func (ws *workspace) checkLake(ctx context.Context) elt.Problems {
	s := ws.config.Lake.S3
	if s == nil || unresolved(s.Bucket, s.Endpoint, s.Region, s.AccessKey.Reveal(), s.SecretKey.Reveal()) {
		return nil // a folder is made when it is missing
	}
	store, err := openLake(ctx, ws)
	if err == nil {
		err = store.(*s3.Store).Check(ctx)
	}
	if err == nil {
		return nil
	}
	return elt.Problems{ws.config.Place(elt.Problem{Code: elt.CodeOf(err), What: err.Error(), Do: elt.NewFailure(err).Do}, "lake", "s3")}
}

// checkSources asks the catalogs of the sources, puts what they say at the datasets' places in the schedules, and the
// columns that would be extracted into tables. A source that cannot be reached is one problem, not one for each of its
// tables.
func (ws *workspace) checkSources(ctx context.Context, published map[elt.DatasetName]*elt.Manifest, tables map[elt.DatasetName]elt.Schema, log *slog.Logger) (problems elt.Problems) {
	sources := make(sources, len(ws.config.Sources))
	for name, s := range ws.config.Sources {
		if unresolved(s.SQLite, s.Postgres.Reveal(), s.MySQL.Reveal()) {
			continue
		}
		source, err := openSource(name, s, log)
		if err != nil {
			problems = append(problems, ws.config.Place(elt.Problem{Code: elt.CodeOf(err), What: err.Error(), Do: elt.NewFailure(err).Do}, "sources", string(name)))
			continue
		}
		sources[name] = source
	}
	x := extract.New(extract.Options{
		Sources: sources, MaskKey: []byte(ws.config.Masking.Key.Reveal()), Log: log,
		Described: func(d elt.DatasetName, columns elt.Schema) { tables[d] = columns },
	})
	away := make(map[elt.SourceName]bool)
	for _, s := range ws.schedules {
		for _, t := range s.Tables {
			if away[t.Source] || sources[t.Source] == nil {
				continue
			}
			found := x.Check(ctx, []elt.Extraction{t.Extraction}, published)
			away[t.Source] = slices.ContainsFunc(found, func(p elt.Problem) bool { return p.Code == "source_unreachable" })
			for _, p := range found {
				problems = append(problems, s.Place(p, t.Dataset))
			}
		}
	}
	if err := sources.Close(); err != nil {
		log.Warn("not every source closed cleanly", "error", err)
	}
	return problems
}

// unresolved reports whether one of the settings still asks for a variable or a file that is not there: that has been said,
// and nobody can be reached with it.
func unresolved(settings ...string) bool {
	return slices.ContainsFunc(settings, func(s string) bool { return strings.Contains(s, "${") })
}

// publishedManifests returns the manifests of the tables that are published, as the ledger knows them. A workspace that
// has never run has no ledger, and gets none by being checked.
func (ws *workspace) publishedManifests(ctx context.Context) (_ map[elt.DatasetName]*elt.Manifest, err error) {
	dsn := ws.config.Ledger.Reveal()
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	l, err := ledger.Open(ctx, dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	current, err := l.Current(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[elt.DatasetName]*elt.Manifest)
	for name, v := range current {
		if v.Manifest == "" {
			continue
		}
		if out[name], err = l.Manifest(ctx, v.Manifest); err != nil {
			return nil, err
		}
	}
	return out, nil
}
