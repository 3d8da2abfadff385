package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/load"
)

// Verify compares published datasets with what was extracted for them.
type Verify struct {
	Datasets []string  `arg:"" optional:"" name:"dataset" help:"The extracted datasets; all of them when none is named."`
	Level    elt.Level `enum:"counts,columns,rows" default:"rows" help:"How deep: counts, columns or rows."`
	Date     elt.Date  `placeholder:"DATE" help:"Compares what the lake holds of one data date with its manifest, and no warehouse."`
}

// Help is the long help of the command.
func (Verify) Help() string {
	return `Rebuilds each dataset from the lake alone, in a scratch warehouse: every part's checksum, every row of the manifests that its versions were made from. Then it compares the result with what is published. Production is not touched, and nothing is changed.

  counts   as many rows
  columns  and of each column: values that are not NULL, exact sums, lengths, least and greatest values
  rows     and a digest of every row; of rows that differ, the columns and the first keys are named. Masked columns are not shown

With --date it looks into the lake alone: whether the parts of that date still are what its manifest says. Older dates of a full table can be asked for, too, which the warehouse does not show any more.

Exit code 65 when something differs.

  daybreak verify shop.users
  daybreak verify --level columns
  daybreak verify shop.users --date 2026-01-05`
}

// Run runs the command.
func (v *Verify) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	names, err := v.names(ws.catalog)
	if err != nil {
		return err
	}
	log := c.Logger(g, slog.LevelWarn)
	published, err := openPublished(ctx, ws, log)
	if err != nil {
		return err
	}
	defer published.Close() // it only read: closing it loses nothing
	store, err := openLake(ctx, ws)
	if err != nil {
		return err
	}
	versions, err := published.Versions(ctx)
	if err != nil {
		return err
	}
	wrong := 0
	for _, name := range names {
		one := verification{level: v.Level, dataset: ws.catalog.byName[name], layout: ws.catalog.layout(name), published: published, lake: store, log: log}
		said, err := one.verify(ctx, versions, v.Date)
		switch f := elt.NewFailure(err); {
		case err != nil && f.Class == elt.Data && f.Code != "nothing_published":
			wrong++
			c.printf("✕ %s: %s (%s)\n  %s\n", name, f.Message, f.Code, f.Do)
		case err != nil:
			return err
		default:
			c.printf("✓ %s: %s\n", name, said)
		}
	}
	if wrong > 0 {
		return exitStatus(ExitData)
	}
	return nil
}

// names returns the extracted datasets that were asked for.
func (v *Verify) names(c *catalog) (names []elt.DatasetName, err error) {
	for _, d := range c.datasets {
		if d.Kind == elt.TableDataset && (len(v.Datasets) == 0 || slices.Contains(v.Datasets, string(d.Name))) {
			names = append(names, d.Name)
		}
	}
	for _, asked := range v.Datasets {
		if d, ok := c.byName[elt.DatasetName(asked)]; !ok {
			return nil, c.unknown(asked)
		} else if d.Kind != elt.TableDataset {
			return nil, &elt.Error{
				Code: "not_extracted", Class: elt.Config,
				What: fmt.Sprintf("%s is a %s: there is nothing in the lake to compare it with", asked, d.Kind),
				Do:   "name an extracted dataset; models are held to their tests",
			}
		}
	}
	return names, nil
}

// chainOf returns the manifests that a dataset's published content was made from, oldest first: for a full dataset its
// current one, for an incremental one every one since its first load.
func chainOf(ctx context.Context, store lake.Store, d elt.DatasetName, versions []elt.Version) ([]*elt.Manifest, error) {
	var own []elt.Version
	for _, v := range versions {
		if v.Dataset == d {
			own = append(own, v)
		}
	}
	if len(own) == 0 {
		return nil, &elt.Error{
			Code: "nothing_published", Class: elt.Data,
			What: fmt.Sprintf("%s has no published version", d), Do: "run a night first: daybreak run",
		}
	}
	manifests := make(map[elt.VersionID]*elt.Manifest)
	made, err := elt.Chain(own, func(v elt.Version) (bool, error) {
		m, err := readManifest(ctx, store, v.Manifest)
		if err != nil {
			return false, err
		}
		manifests[v.ID] = m
		return beginsAnew(m), nil
	})
	if err != nil {
		return nil, err
	}
	var chain []*elt.Manifest
	for _, v := range made {
		chain = append(chain, manifests[v.ID])
	}
	if len(chain) == 0 {
		return nil, chainBroken(d)
	}
	return chain, nil
}

func chainBroken(d elt.DatasetName) error {
	return &elt.Error{
		Code: "chain_broken", Class: elt.Data,
		What: fmt.Sprintf("what %s was made from does not reach back to a first load", d), Do: "bring it whole once: mode full for one night, daybreak run --again",
	}
}

// beginsAnew reports whether a version of the manifest needs nothing that was published before it.
func beginsAnew(m *elt.Manifest) bool {
	if m.Numbers != nil {
		return m.Numbers.First
	}
	return m.Mode == elt.Full || m.First || m.Window == nil || m.Window.From.IsZero()
}

// replay loads, verifies and publishes one version in another warehouse, as its night did. What a guard held back then
// and a person let pass, passes.
func replay(ctx context.Context, loader *load.Loader, w publisher, d elt.Dataset, layout elt.Layout, v elt.Version, m *elt.Manifest) error {
	if _, err := loader.Load(ctx, v.Manifest, d.Relation, func(elt.Progress) {}); err != nil {
		return err
	}
	_, err := loader.Verify(ctx, v.Manifest, load.Rules{AllowEmpty: true, Level: elt.LevelRows})
	if err != nil && !slices.Contains(guards, elt.CodeOf(err)) {
		return err
	}
	item := elt.PublicationItem{Relation: d.Relation, Version: v}
	merges(&item, m, layout)
	_, err = w.Publish(ctx, elt.Publication{Run: v.Run, Fence: v.Fence, Items: []elt.PublicationItem{item}})
	return err
}

// readManifest reads a manifest from the lake.
func readManifest(ctx context.Context, store lake.Store, key string) (*elt.Manifest, error) {
	r, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	return elt.DecodeManifest(b)
}
