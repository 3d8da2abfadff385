package load_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
	"github.com/daybreak-data/daybreak/load"
)

// remoteLake is a folder whose objects can only be streamed.
type remoteLake string

func (l remoteLake) Open(_ context.Context, key string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(string(l), key))
	if os.IsNotExist(err) {
		return nil, &elt.Error{Code: "object_missing", Class: elt.Data, What: "no object " + key}
	}
	return f, err
}

// localLake is a folder that can be read in place.
type localLake struct{ remoteLake }

func (l localLake) Local(key string) (string, bool) {
	return filepath.Join(string(l.remoteLake), key), true
}

// bench is a loader with all that is around it.
type bench struct {
	*load.Loader
	warehouse warehousetest.Warehouse
	lake      string
	spool     string
}

// onEachLake runs the test on a lake that is read in place, on one whose parts are spooled for a warehouse that reads
// files, and on one that streams into a warehouse, with a bucket in between and without.
func onEachLake(t *testing.T, test func(t *testing.T, b bench)) {
	for name, make := range map[string]func(t *testing.T, dir string) (load.Lake, warehousetest.Warehouse){
		"local": func(t *testing.T, dir string) (load.Lake, warehousetest.Warehouse) {
			return localLake{remoteLake(dir)}, embedded(t)
		},
		"remote": func(t *testing.T, dir string) (load.Lake, warehousetest.Warehouse) {
			return remoteLake(dir), embedded(t)
		},
		"streamed": func(t *testing.T, dir string) (load.Lake, warehousetest.Warehouse) {
			return remoteLake(dir), cloud(t, "")
		},
		"bucket": func(t *testing.T, dir string) (load.Lake, warehousetest.Warehouse) {
			return localLake{remoteLake(dir)}, cloud(t, "parts")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := bench{lake: filepath.Join(dir, "lake"), spool: filepath.Join(dir, "spool")}
			lake, w := make(t, b.lake)
			b.warehouse = w
			b.Loader = load.New(load.Options{Lake: lake, Warehouse: w, Spool: b.spool})
			test(t, b)
			left, err := os.ReadDir(b.spool)
			if err != nil && !os.IsNotExist(err) || len(left) > 0 {
				t.Errorf("left in the spool: %v, %v", left, err)
			}
		})
	}
}

func embedded(t *testing.T) warehousetest.Warehouse {
	w, err := duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(t.TempDir(), "warehouse.duckdb")})
	return opened(t, w, err)
}

// cloud is BigQuery's double, with a bucket where it has a name; nothing stays in it.
func cloud(t *testing.T, bucket string) warehousetest.Warehouse {
	server := bigquerytest.New(t)
	server.MakeBucket(bucket)
	w, err := bigquery.Open(t.Context(), bigquery.Options{Project: "acme", Location: "EU", Endpoint: server.URL, Bucket: bucket, Pause: time.Millisecond})
	t.Cleanup(func() {
		if left := server.Objects(t, bucket); len(left) > 0 {
			t.Errorf("left in the bucket: %v", left)
		}
	})
	return opened(t, w, err)
}

func opened[W interface {
	warehousetest.Warehouse
	Close() error
}](t *testing.T, w W, err error) warehousetest.Warehouse {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// day writes a day of shop.users into the lake, its manifest last, and returns it.
func (b bench) day(t *testing.T, change func(*elt.Manifest), parts ...[]warehousetest.Row) warehousetest.Day {
	t.Helper()
	m := elt.Manifest{
		Dataset: "shop.users", Date: elt.Date{Year: 2026, Month: 1, Day: 5}, Run: "nightly-1", Attempt: 1,
		Schema: elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "name", Type: elt.Type{Kind: elt.String}}},
	}
	day := warehousetest.NewDay(t, b.lake, m, parts...)
	if change != nil {
		change(day.Manifest)
	}
	content, err := day.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.lake, day.ObjectKey())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return day
}

func (b bench) load(t *testing.T, day warehousetest.Day) (elt.Result, error) {
	t.Helper()
	return b.Load(t.Context(), day.ObjectKey(), "shop.users", func(elt.Progress) {})
}

func wantCode(t *testing.T, err error, code elt.Code, says ...string) {
	t.Helper()
	f := elt.NewFailure(err)
	if f == nil || f.Code != code || f.Do == "" {
		t.Fatalf("error %v, want code %s", err, code)
	}
	for _, part := range says {
		if !strings.Contains(f.Message, part) {
			t.Errorf("message %q does not say %q", f.Message, part)
		}
	}
}

var twoParts = [][]warehousetest.Row{
	{{int64(1), "one"}, {int64(2), "two"}}, {{int64(3), nil}},
}

func TestLoadAndVerify(t *testing.T) {
	onEachLake(t, func(t *testing.T, b bench) {
		day := b.day(t, nil, twoParts...)
		for range 2 {
			var last elt.Progress
			result, err := b.Load(t.Context(), day.ObjectKey(), "shop.users", func(p elt.Progress) {
				if p.Rows < last.Rows || p.Bytes < last.Bytes {
					t.Errorf("progress went back from %v to %v", last, p)
				}
				last = p
			})
			if err != nil {
				t.Fatal(err)
			}
			want := elt.Result{Rows: 3, Bytes: day.Bytes(), Manifest: day.ObjectKey()}
			if diff := cmp.Diff(want, result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(elt.Progress{Rows: 3, RowsExpected: 3, Bytes: day.Bytes()}, last); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
		}
		result, err := b.Verify(t.Context(), day.ObjectKey(), load.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		want := elt.Result{Rows: 3, Manifest: day.ObjectKey(), Checks: elt.ChecksPassed, Level: "columns"}
		if diff := cmp.Diff(want, result); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
	})
}

// TestFlippedBytes: whichever byte of a part is flipped, the load is refused.
func TestFlippedBytes(t *testing.T) {
	onEachLake(t, func(t *testing.T, b bench) {
		day := b.day(t, nil, twoParts...)
		path := day.Files[1]
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(content); at += 1 + len(content)/20 {
			flipped := bytes.Clone(content)
			flipped[at] ^= 0x10
			if err := os.WriteFile(path, flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := b.load(t, day)
			wantCode(t, err, "part_corrupt", "part-00001.parquet", "shop.users")
		}
		for name, other := range map[string][]byte{"cut": content[:len(content)-1], "empty": nil, "longer": append(bytes.Clone(content), 0)} {
			if err := os.WriteFile(path, other, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := b.load(t, day)
			t.Run(name, func(t *testing.T) { wantCode(t, err, "part_corrupt") })
		}
		if n, err := b.warehouse.Count(t.Context(), "SELECT * FROM "+b.warehouse.Staged(day.Run, day.Dataset)); err == nil {
			t.Errorf("a corrupt day staged %d rows", n)
		}
	})
}

func TestMissing(t *testing.T) {
	onEachLake(t, func(t *testing.T, b bench) {
		day := b.day(t, nil, twoParts...)
		if err := os.Remove(day.Files[0]); err != nil {
			t.Fatal(err)
		}
		_, err := b.load(t, day)
		wantCode(t, err, "part_missing", "part-00000.parquet")
		_, err = b.Load(t.Context(), "shop.users/nowhere/manifest.json", "shop.users", func(elt.Progress) {})
		wantCode(t, err, "manifest_missing", "nowhere")
		_, err = b.Verify(t.Context(), "shop.users/nowhere/manifest.json", load.Rules{})
		wantCode(t, err, "manifest_missing", "nowhere")
		if err := os.WriteFile(filepath.Join(b.lake, day.ObjectKey()), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = b.load(t, day)
		wantCode(t, err, "manifest_unreadable", day.ObjectKey())
	})
}

// TestRowsDiffer: a part with another number of rows than the manifest says, under the right checksum.
func TestRowsDiffer(t *testing.T) {
	onEachLake(t, func(t *testing.T, b bench) {
		day := b.day(t, func(m *elt.Manifest) { m.Parts[1].Rows, m.Stats.Rows = 2, 4 }, twoParts...)
		_, err := b.load(t, day)
		wantCode(t, err, "rows_differ", "3 rows", "has 4")
	})
}

// TestVerificationFailed: each fact that does not hold is caught and named.
func TestVerificationFailed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*elt.TableStats)
		says   []string
	}{
		"sum":      {func(s *elt.TableStats) { s.Columns[0].Sum = "7" }, []string{"shop.users.id: sum is 6, expected 7"}},
		"min":      {func(s *elt.TableStats) { s.Columns[0].Min = "0" }, []string{"shop.users.id: min is 1, expected 0"}},
		"non_null": {func(s *elt.TableStats) { s.Columns[1].NonNull = 3 }, []string{"shop.users.name: non_null is 2, expected 3"}},
		"length":   {func(s *elt.TableStats) { s.Columns[1].Length++ }, []string{"shop.users.name: length is 6, expected 7"}},
		"max":      {func(s *elt.TableStats) { s.Columns[1].Max = "7a" }, []string{"shop.users.name: max differs"}},
		"many": {func(s *elt.TableStats) {
			for i := range s.Columns {
				s.Columns[i] = elt.ColumnStats{Column: s.Columns[i].Column, NaNs: 9}
			}
		}, []string{"shop.users.id: non_null is 3, expected 0", "and 5 more"}},
		"a column without facts":     {func(s *elt.TableStats) { s.Columns = s.Columns[:1] }, []string{"columns is 1 with facts"}},
		"a column that is not there": {func(s *elt.TableStats) { s.Columns[1].Column = "nickname" }, []string{"shop.users.nickname: missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			onEachLake(t, func(t *testing.T, b bench) {
				day := b.day(t, func(m *elt.Manifest) { c.change(&m.Stats) }, twoParts...)
				if _, err := b.load(t, day); err != nil {
					t.Fatal(err)
				}
				_, err := b.Verify(t.Context(), day.ObjectKey(), load.Rules{})
				wantCode(t, err, "verification_failed", c.says...)
				if strings.Contains(err.Error(), "7a") {
					t.Errorf("the message %q shows a value of a text column", err)
				}
			})
		})
	}
}

func TestEmptyOverRows(t *testing.T) {
	onEachLake(t, func(t *testing.T, b bench) {
		night := func(n int, parts ...[]warehousetest.Row) warehousetest.Day {
			run := elt.RunID(fmt.Sprint("night-", n))
			day := b.day(t, func(m *elt.Manifest) { m.Run = run }, parts...)
			if _, err := b.load(t, day); err != nil {
				t.Fatal(err)
			}
			return day
		}
		publish := func(day warehousetest.Day, fence int64) {
			_, err := b.warehouse.Publish(t.Context(), elt.Publication{Run: day.Run, Fence: fence, Items: []elt.PublicationItem{{
				Version: elt.Version{ID: elt.NewVersionID(day.Dataset, day.Run), Dataset: day.Dataset, Date: day.Date, Run: day.Run}, Relation: "shop.users",
			}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		empty := night(1)
		if _, err := b.Verify(t.Context(), empty.ObjectKey(), load.Rules{}); err != nil {
			t.Fatalf("an empty first load: %v", err)
		}
		publish(empty, 1)
		if _, err := b.Verify(t.Context(), night(2).ObjectKey(), load.Rules{}); err != nil {
			t.Fatalf("empty over empty: %v", err)
		}
		publish(night(3, twoParts...), 2)
		again := night(4)
		_, err := b.Verify(t.Context(), again.ObjectKey(), load.Rules{})
		wantCode(t, err, "empty_over_rows", "shop.users", "3")
		if _, err := b.Verify(t.Context(), again.ObjectKey(), load.Rules{AllowEmpty: true}); err != nil {
			t.Errorf("although it may be empty: %v", err)
		}
	})
}

func TestCancelled(t *testing.T) {
	onEachLake(t, func(t *testing.T, b bench) {
		day := b.day(t, nil, twoParts...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Load(ctx, day.ObjectKey(), "shop.users", func(elt.Progress) {})
		wantCode(t, err, elt.Interrupted)
	})
}

func TestSweep(t *testing.T) {
	onEachLake(t, func(t *testing.T, b bench) {
		if err := b.Sweep(); err != nil {
			t.Fatalf("without a spool: %v", err)
		}
		if err := os.MkdirAll(filepath.Join(b.spool, "load-killed"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := b.Sweep(); err != nil {
			t.Fatal(err)
		}
	})
}
