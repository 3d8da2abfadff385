package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const (
	shownKeys  = 3   // of each kind of difference that are named
	longestKey = 160 // characters that are shown of one
)

// rows says which columns and which rows differ. A table without a key is told apart by whole rows.
func (v verification) rows(ctx context.Context, rebuilt tables, schema elt.Schema, names []string) (string, error) {
	var key elt.Schema
	for _, name := range names {
		if c, ok := schema.Column(name); ok {
			key = append(key, c)
		}
	}
	if len(key) == 0 {
		key = schema
	}
	columns, err := v.columnsThatDiffer(ctx, rebuilt, schema)
	if err != nil {
		return "", err
	}
	want, err := rebuilt.Buckets(ctx, v.dataset.Relation, schema, key)
	if err != nil {
		return "", err
	}
	got, err := v.published.Buckets(ctx, v.dataset.Relation, schema, key)
	if err != nil {
		return "", err
	}
	var found differences
	buckets := maps.Clone(want)
	maps.Copy(buckets, got)
	for _, b := range slices.Sorted(maps.Keys(buckets)) {
		if want[b].Equal(got[b]) || found.enough() {
			continue
		}
		lake, err := rebuilt.Prints(ctx, v.dataset.Relation, schema, key, b)
		if err != nil {
			return "", err
		}
		warehouse, err := v.published.Prints(ctx, v.dataset.Relation, schema, key, b)
		if err != nil {
			return "", err
		}
		found.compare(lake, warehouse)
	}
	said := found.say()
	if len(columns) > 0 {
		said = append([]string{"they differ in " + strings.Join(columns, ", ")}, said...)
	}
	return strings.Join(said, "; "), nil
}

// columnsThatDiffer takes the digest of each column by itself.
func (v verification) columnsThatDiffer(ctx context.Context, rebuilt tables, schema elt.Schema) (names []string, err error) {
	for _, c := range schema {
		one := elt.Schema{c}
		want, err := rebuilt.Digest(ctx, v.dataset.Relation, one)
		if err != nil {
			return nil, err
		}
		got, err := v.published.Digest(ctx, v.dataset.Relation, one)
		if err != nil {
			return nil, err
		}
		if !want.Equal(got) {
			names = append(names, c.Name)
		}
	}
	return names, nil
}

// differences are the keys of rows that differ, by how they do.
type differences struct{ missing, extra, doubled, altered []string }

// enough reports whether there is nothing more to show.
func (d *differences) enough() bool {
	return max(len(d.missing), len(d.extra), len(d.doubled), len(d.altered)) > shownKeys
}

// compare compares the rows of one part of both tables.
func (d *differences) compare(lake, warehouse []elt.RowPrint) {
	byKey := func(prints []elt.RowPrint) map[string][]string {
		out := make(map[string][]string)
		for _, p := range prints {
			out[p.Key] = append(out[p.Key], p.Hash)
		}
		return out
	}
	want, got := byKey(lake), byKey(warehouse)
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		w, g := want[key], got[key]
		slices.Sort(w)
		slices.Sort(g)
		switch {
		case slices.Equal(w, g):
		case len(g) < len(w):
			d.missing = append(d.missing, key)
		case len(w) == 0:
			d.extra = append(d.extra, key)
		case len(g) > len(w):
			d.doubled = append(d.doubled, key)
		default:
			d.altered = append(d.altered, key)
		}
	}
}

// say names the first keys of each kind.
func (d *differences) say() (said []string) {
	for _, kind := range []struct {
		keys []string
		text string
	}{
		{d.missing, "missing in the warehouse"}, {d.extra, "in the warehouse alone"}, {d.doubled, "more than once in the warehouse"}, {d.altered, "altered"},
	} {
		if len(kind.keys) == 0 {
			continue
		}
		var keys []string
		for _, k := range kind.keys[:min(len(kind.keys), shownKeys)] {
			if runes := []rune(k); len(runes) > longestKey { // a whole row, of a table without a key
				k = string(runes[:longestKey]) + "…"
			}
			keys = append(keys, k)
		}
		shown := strings.Join(keys, " · ")
		if len(kind.keys) > shownKeys {
			shown += " and more"
		}
		said = append(said, fmt.Sprintf("%s: %s", kind.text, shown))
	}
	return said
}
