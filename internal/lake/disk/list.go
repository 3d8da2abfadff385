package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// List yields the objects below a prefix. See lake.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[elt.Object, error] {
	return func(yield func(elt.Object, error) bool) { s.walk(ctx, ".", prefix, yield) }
}

// walk yields the folder's objects whose keys begin with prefix, and reports whether the caller wants more.
func (s *Store) walk(ctx context.Context, folder, prefix string, yield func(elt.Object, error) bool) bool {
	fail := func(err error) bool {
		if !errors.Is(err, fs.ErrNotExist) { // what another process deletes meanwhile isn't there
			yield(elt.Object{}, err)
			return false
		}
		return true
	}
	if err := context.Cause(ctx); err != nil {
		return fail(fmt.Errorf("list %s: %w", s, err))
	}
	entries, err := fs.ReadDir(s.root.FS(), folder)
	if err != nil {
		return fail(s.failure("list", prefix, err))
	}
	// The slash behind a folder takes part in the order of keys: "a-b" comes before "a/b".
	name := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(name(a), name(b)) })
	for _, e := range entries {
		key := path.Join(folder, name(e))
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			if below := key + "/"; strings.HasPrefix(below, prefix) || strings.HasPrefix(prefix, below) {
				if !s.walk(ctx, key, prefix, yield) {
					return false
				}
			}
		case e.Type().IsRegular() && strings.HasPrefix(key, prefix):
			info, err := e.Info()
			if err != nil {
				if !fail(s.failure("list", prefix, err)) {
					return false
				}
				continue
			}
			if !yield(elt.Object{Key: key, Bytes: info.Size(), ModifiedAt: info.ModTime()}, nil) {
				return false
			}
		}
	}
	return true
}
