package app

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
)

// careless is a store with one fault.
type careless struct {
	lake.Store
	overwrites, damages, keeps bool
}

func (c careless) Put(ctx context.Context, key string, body io.Reader) (elt.Object, error) {
	o, err := c.Store.Put(ctx, key, body)
	if c.overwrites && elt.CodeOf(err) == "object_exists" {
		return o, nil
	}
	return o, err
}

func (c careless) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	body, err := c.Store.Open(ctx, key)
	if err != nil || !c.damages {
		return body, err
	}
	b, err := io.ReadAll(body)
	b[len(b)/2] ^= 1
	return io.NopCloser(strings.NewReader(string(b))), errors.Join(err, body.Close())
}

func (c careless) Delete(ctx context.Context, key string) error {
	if c.keeps {
		return &elt.Error{Code: "lake_denied", Class: elt.Config, What: "no right to delete", Do: "grant it"}
	}
	return c.Store.Delete(ctx, key)
}

// A lake on which a night could not rely is found out, and nothing is left in one that is sound.
func TestDoctorOfALake(t *testing.T) {
	for name, c := range map[string]struct {
		fault careless
		want  elt.Code
	}{
		"sound": {careless{}, ""}, "overwrites": {careless{overwrites: true}, "lake_overwrites"}, "damages": {careless{damages: true}, "lake_damaged"}, "no deletes": {careless{keeps: true}, "lake_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			store, err := disk.Open(folder)
			if err != nil {
				t.Fatal(err)
			}
			c.fault.Store = store
			got := tryLake(t.Context(), c.fault)
			if got.Code != c.want || (got.Verdict == fine) != (c.want == "") || c.want != "" && got.Do == "" {
				t.Errorf("%+v", got)
			}
			left := 0
			for _, err := range store.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				left++
			}
			if left > 0 && !c.fault.keeps {
				t.Errorf("%d objects are left", left)
			}
		})
	}
}

func TestDoctorOfClocks(t *testing.T) {
	now := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	for apart, want := range map[time.Duration]string{0: "within", time.Second: "within", time.Minute: "1m0s ahead of", -time.Hour: "1h0m0s behind"} {
		if f := skewed("ledger's clock", now.Add(apart), now, now); !strings.Contains(f.What, want) || (f.Verdict == doubtful) != (f.Code == "clock_skew") {
			t.Errorf("%s: %+v", apart, f)
		}
	}
	// An answer that takes long was given at any moment of it.
	for apart, want := range map[time.Duration]verdictWord{-4 * time.Second: doubtful, -2 * time.Second: fine, 0: fine, 10 * time.Second: fine, 22 * time.Second: fine, 24 * time.Second: doubtful} {
		if f := skewed("ledger's clock", now.Add(apart), now, now.Add(20*time.Second)); f.Verdict != want {
			t.Errorf("%s after a question that took 20 s: %+v", apart, f)
		}
	}
}

// What strangers may read is told only where they can get at it.
func TestDoctorOfModes(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{root, filepath.Dir(root)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		folder, file os.FileMode
		want         bool
	}{{0o755, 0o644, true}, {0o755, 0o600, false}, {0o750, 0o644, false}} {
		folder := filepath.Join(root, c.folder.String()+c.file.String())
		path := filepath.Join(folder, "mask.key")
		if err := errors.Join(os.Mkdir(folder, c.folder), os.Chmod(folder, c.folder), os.WriteFile(path, nil, c.file)); err != nil {
			t.Fatal(err)
		}
		if got := readableByAll(path); got != c.want {
			t.Errorf("%v in %v: %t", c.file, c.folder, got)
		}
	}
	if readableByAll(filepath.Join(root, "absent")) {
		t.Error("a file that is not there can be read")
	}
}
