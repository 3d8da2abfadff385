package app

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// orphanGrace is how old the parts of an attempt that wrote no manifest must be before they go: far longer than any
// attempt is silent.
const orphanGrace = 24 * time.Hour

// cleaner drops what nobody needs any more. Lake and ledger may be in use meanwhile: what can be needed is read after what
// is there was listed, and what is young is left alone.
type cleaner struct {
	retention config.Retention
	lake      lake.Store
	ledger    *ledger.Ledger
	warehouse keeper // nil while another process works on it
	dry       bool
	log       *slog.Logger
}

// collected is what a cleaner dropped, or would drop.
type collected struct {
	Attempts, Objects int
	Bytes             int64
	Orphans           int            // of the attempts: those without a manifest
	Unknown           int            // attempts whose manifest the ledger does not know: left alone
	Strange           int            // objects that are not Daybreak's: left alone
	Staged            map[string]int // relations by run
	Ledger            elt.Forgotten
	names             []string
}

// clean looks through lake, warehouse and ledger, in this order: the ledger forgets last what the others were told by.
func (g *cleaner) clean(ctx context.Context) (*collected, error) {
	out := &collected{Staged: make(map[string]int)}
	attempts, err := g.list(ctx, out)
	if err != nil {
		return out, err
	}
	now, err := g.ledger.Now(ctx)
	if err != nil {
		return out, err
	}
	needed, err := g.needed(ctx, now)
	if err != nil {
		return out, err
	}
	failpoint.Here("gc.listed")
	if err := g.cleanLake(ctx, now, attempts, needed, out); err != nil {
		return out, err
	}
	if err := g.cleanStaging(ctx, now, out); err != nil {
		return out, err
	}
	failpoint.Here("gc.forget")
	before := elt.DateOf(now).AddDays(-g.retention.Ledger.Days)
	out.Ledger, err = g.ledger.Forget(ctx, before, needed.versions, g.dry)
	return out, err
}

// attempt is the folder of one attempt in the lake.
type attempt struct {
	prefix   string
	run      elt.RunID
	objects  []elt.Object // the manifest first
	manifest bool
	newest   time.Time
}

var attemptFolder = regexp.MustCompile(`^[^/]+/date=\d{4}-\d{2}-\d{2}/run=([^/]+)/attempt=\d+/`)

// list finds every attempt in the lake, in the order of their keys.
func (g *cleaner) list(ctx context.Context, out *collected) (attempts []*attempt, err error) {
	for object, err := range g.lake.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		m := attemptFolder.FindStringSubmatch(object.Key)
		if m == nil {
			out.Strange++
			continue
		}
		if len(attempts) == 0 || attempts[len(attempts)-1].prefix != m[0] {
			attempts = append(attempts, &attempt{prefix: m[0], run: elt.RunID(m[1])})
		}
		a := attempts[len(attempts)-1]
		if object.ModifiedAt.After(a.newest) {
			a.newest = object.ModifiedAt
		}
		if strings.HasSuffix(object.Key, "/manifest.json") {
			a.manifest = true
			a.objects = slices.Insert(a.objects, 0, object)
		} else {
			a.objects = append(a.objects, object)
		}
	}
	return attempts, nil
}

// necessities are what somebody may still ask for.
type necessities struct {
	prefixes map[string]bool        // of attempts in the lake
	known    map[string]bool        // prefixes of which the ledger has a manifest
	versions map[elt.VersionID]bool // that published data was made from
	running  map[elt.RunID]bool
	anew     map[string]bool // by manifest: whether it needs nothing that was published before it
}

// needed reads what must stay: what is young; the last versions of each dataset and all that they were made from; and
// whatever a run that has not ended has written, or brings again.
func (g *cleaner) needed(ctx context.Context, now time.Time) (n necessities, err error) {
	n = necessities{
		prefixes: make(map[string]bool), known: make(map[string]bool), versions: make(map[elt.VersionID]bool),
		running: make(map[elt.RunID]bool), anew: make(map[string]bool),
	}
	running, err := g.ledger.Runs(ctx, elt.RunFilter{State: elt.RunRunning, Limit: 10_000})
	if err != nil {
		return n, err
	}
	targets := make(map[elt.VersionID]bool)
	for _, run := range running {
		n.running[run.ID], targets[run.Target] = true, true
	}
	saved, err := g.ledger.SavedManifests(ctx)
	if err != nil {
		return n, err
	}
	young := now.AddDate(0, 0, -g.retention.Lake.Days)
	for _, m := range saved {
		n.known[folderOf(m.Key)] = true
		if m.SavedAt.After(young) || n.running[m.Run] {
			n.prefixes[folderOf(m.Key)] = true
		}
	}
	datasets, err := g.ledger.Datasets(ctx)
	if err != nil {
		return n, err
	}
	for _, d := range datasets {
		versions, err := g.ledger.Versions(ctx, d.Name, everyVersion)
		if err != nil {
			return n, err
		}
		for i, v := range versions {
			last := i < max(g.retention.Lake.Versions, g.retention.Warehouse.Versions+1)
			if !last && !targets[v.ID] && !v.PublishedAt.After(young) {
				continue
			}
			if err := g.need(ctx, n, upTo(versions, v)); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func folderOf(manifest string) string { return strings.TrimSuffix(manifest, "manifest.json") }

// need adds everything that the last of the versions was made from. Where the ledger does not know how it began,
// everything before it is needed.
func (g *cleaner) need(ctx context.Context, n necessities, versions []elt.Version) error {
	keep := func(v elt.Version) {
		n.versions[v.ID] = true
		if v.Manifest != "" {
			n.prefixes[folderOf(v.Manifest)] = true
		}
	}
	keep(slices.MaxFunc(versions, func(a, b elt.Version) int { return a.PublishedAt.Compare(b.PublishedAt) }))
	_, err := elt.Chain(versions, func(v elt.Version) (bool, error) {
		keep(v)
		if v.Manifest == "" {
			return true, nil // a model: made from nothing of the lake
		}
		if anew, asked := n.anew[v.Manifest]; asked {
			return anew, nil
		}
		m, err := g.ledger.Manifest(ctx, v.Manifest)
		if err != nil && elt.CodeOf(err) != "manifest_unknown" {
			return false, err
		}
		n.anew[v.Manifest] = err == nil && beginsAnew(m)
		return n.anew[v.Manifest], nil
	})
	return err
}

// cleanLake drops the attempts that nothing needs: the manifest first, so that none ever names a part that is gone.
func (g *cleaner) cleanLake(ctx context.Context, now time.Time, attempts []*attempt, n necessities, out *collected) error {
	for _, a := range attempts {
		orphan := !a.manifest
		switch {
		case n.prefixes[a.prefix] || n.running[a.run]:
			continue
		case orphan && now.Sub(a.newest) < orphanGrace:
			continue
		case !orphan && !n.known[a.prefix]:
			out.Unknown++
			continue
		case orphan:
			out.Orphans++
		}
		out.Attempts++
		out.names = append(out.names, strings.TrimSuffix(a.prefix, "/"))
		for _, object := range a.objects {
			out.Objects++
			out.Bytes += object.Bytes
			if g.dry {
				continue
			}
			if err := g.lake.Delete(ctx, object.Key); err != nil {
				return err
			}
			failpoint.Here("gc.deleted")
		}
	}
	return nil
}

// cleanStaging drops what runs staged that have ended long ago.
func (g *cleaner) cleanStaging(ctx context.Context, now time.Time, out *collected) error {
	if g.warehouse == nil {
		return nil
	}
	left, err := g.warehouse.Leftovers(ctx)
	if err != nil {
		return err
	}
	runs := make(map[elt.RunID]elt.Run)
	for filter := (elt.RunFilter{Limit: 1000}); ; {
		page, err := g.ledger.Runs(ctx, filter)
		if err != nil {
			return err
		}
		for _, run := range page {
			runs[elt.RunID(strings.ReplaceAll(string(run.ID), "-", "_"))] = run
		}
		if len(page) < filter.Limit {
			break
		}
		filter.Before = page[len(page)-1].ID
	}
	long := now.AddDate(0, 0, -g.retention.Staging.Days)
	for name, relations := range left {
		run, known := runs[name]
		if !known { // of a ledger that is gone: its name tells how old it is
			begun, err := time.Parse("20060102t150405", string(name[:min(15, len(name))]))
			if err != nil {
				continue
			}
			run = elt.Run{ID: name, State: elt.RunFailed, FinishedAt: begun}
		}
		if !run.State.Terminal() || run.FinishedAt.After(long) {
			continue
		}
		out.Staged[string(run.ID)] = relations
		if g.dry {
			continue
		}
		if err := g.warehouse.Discard(ctx, run.ID); err != nil {
			return err
		}
		failpoint.Here("gc.discarded")
	}
	return nil
}

// summary says in a few words what was dropped.
func (c *collected) summary() string {
	relations := 0
	for _, n := range c.Staged {
		relations += n
	}
	return fmt.Sprintf("%s of the lake (%s, %s; %s without a manifest), %s of %s in the warehouse's staging, %s, %s, %s and %s of the ledger",
		plural(c.Attempts, "attempt"), plural(c.Objects, "object"), size(c.Bytes), count(int64(c.Orphans)),
		plural(relations, "relation"), plural(len(c.Staged), "run"),
		plural(c.Ledger.Days, "day"), plural(c.Ledger.Runs, "run"), plural(c.Ledger.Versions, "version"), plural(c.Ledger.Events, "event"))
}

// nothing reports whether there was nothing to drop.
func (c *collected) nothing() bool {
	return c.Attempts == 0 && len(c.Staged) == 0 && c.Ledger == elt.Forgotten{}
}
