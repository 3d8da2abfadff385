package duckdb

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// anyValues is a SELECT of values that lesser formats than a DuckDB file would not bring back as they were.
const anyValues = `SELECT 170141183460469231731687303715884105727::HUGEINT AS h, 1.10::DECIMAL(38,2) AS d, {'a': [1, NULL]} AS s, MAP {'k': 2} AS m,
	'2026-01-05 23:59:59.999999+00'::TIMESTAMPTZ AS z, '24:00:00'::TIME AS t, INTERVAL '1 month 2 days' AS i, 'happy'::ENUM('sad', 'happy') AS e,
	'\x00\xFF'::BLOB AS b, NULL::UUID AS u, '"'::JSON AS j, 'nan'::DOUBLE AS f, '' AS empty, NULL AS nothing FROM range(3)`

func builtIn(t *testing.T, file string, statements ...string) {
	t.Helper()
	db, err := sql.Open("duckdb", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// What is handed out and taken back is what it was, value by value and type by type.
func TestARoundTripThroughAFile(t *testing.T) {
	w := open(t, Options{})
	if _, err := w.Build(t.Context(), elt.Build{Run: "n", Dataset: "any", Materialized: elt.AsTable, SQL: strings.Replace(anyValues, `'"'::JSON`, `'"x"'::JSON`, 1)}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "other's.duckdb")
	in := elt.Exchange{Dataset: "any", From: w.Staged("n", "any"), Schema: "Some \"schema\"", Name: "a.b"}
	if err := w.HandOut(t.Context(), file, []elt.Exchange{in}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file + ".wal"); err == nil {
		t.Error("the file has a log beside it")
	}
	builtIn(t, file, `CREATE VIEW shown AS SELECT * FROM "other's"."Some ""schema"""."a.b"`, "CREATE TABLE none (x INTEGER)")
	rows, err := w.TakeBack(t.Context(), "n", file, []elt.Exchange{
		{Dataset: "back", Schema: in.Schema, Name: in.Name}, {Dataset: "view", Schema: "main", Name: "SHOWN"}, {Dataset: "none", Schema: "main", Name: "none"},
	})
	if err != nil || !cmp.Equal(rows, map[elt.DatasetName]int64{"back": 3, "view": 3, "none": 0}) {
		t.Fatalf("%v, %v", rows, err)
	}
	want := rowsOf(t, w, "SELECT * FROM "+w.Staged("n", "any"))
	for _, d := range []elt.DatasetName{"back", "view"} {
		if diff := cmp.Diff(want, rowsOf(t, w, "SELECT * FROM "+w.Staged("n", d))); diff != "" {
			t.Errorf("%s (-handed out +taken back):\n%s", d, diff)
		}
		types := func(d elt.DatasetName) []string {
			return rowsOf(t, w, "SELECT column_name, column_type FROM (DESCRIBE "+w.Staged("n", d)+")")
		}
		if diff := cmp.Diff(types("any"), types(d)); diff != "" {
			t.Errorf("%s (-handed out +taken back):\n%s", d, diff)
		}
	}
	if has, err := w.HasStaged(t.Context(), "n", "back"); !has || err != nil {
		t.Errorf("back is staged: %v, %v", has, err)
	}
	if err := w.Unstage(t.Context(), "n", []elt.DatasetName{"back", "never"}); err != nil {
		t.Error(err)
	}
	if has, err := w.HasStaged(t.Context(), "n", "back"); has || err != nil {
		t.Errorf("back is staged after all: %v, %v", has, err)
	}
}

func TestWhatCannotBeTakenBack(t *testing.T) {
	dir := t.TempDir()
	w := open(t, Options{Path: filepath.Join(dir, "main.duckdb")})
	take := func(file, name string) error {
		_, err := w.TakeBack(t.Context(), "n", file, []elt.Exchange{{Dataset: "d", Schema: "main", Name: name}})
		return err
	}
	rubbish := filepath.Join(dir, "rubbish.duckdb")
	if err := os.WriteFile(rubbish, []byte(strings.Repeat("rubbish ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantCode(t, take(rubbish, "x"), codeFileUnreadable)
	file := filepath.Join(dir, "built.duckdb")
	builtIn(t, file, "CREATE TABLE numbers AS SELECT range AS n FROM range(2)", "CREATE VIEW wrong AS SELECT CAST('x' AS INTEGER) / n AS q FROM numbers",
		"CREATE VIEW other AS SELECT n FROM numbers, range((random() * 1000000)::BIGINT)")
	wantCode(t, take(file, "absent"), warehouse.CodeNotBuilt)
	wantCode(t, take(file, "wrong"), codeNotReadable)
	wantCode(t, take(file, "other"), warehouse.CodeTakenWrong)
	if has, err := w.HasStaged(t.Context(), "n", "d"); has || err != nil {
		t.Errorf("something of it is staged: %v, %v", has, err)
	}
	if err := take(file, "numbers"); err != nil {
		t.Error(err)
	}
	holder, lines := child(t, "hold", dir)
	if !lines.Scan() {
		t.Fatal("the other process says nothing")
	}
	wantCode(t, take(optionsIn(dir).Path, "numbers"), codeFileBusy)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err == nil {
		t.Error("the other process was not killed")
	}
}

// Over fifty publications a reader who looks all the time sees no night of which one dataset shows another than the
// rest. The same reader sees mixed nights as soon as the swap is made one dataset at a time: so the test can fail.
func TestFiftyPublicationsShowNoMixedNight(t *testing.T) {
	for name, c := range map[string]struct {
		oneByOne, mixed bool
		publications    int
	}{"together": {false, false, 50}, "one by one": {true, true, 5}} {
		t.Run(name, func(t *testing.T) {
			w := open(t, Options{})
			looked, stop := poll(t, w.readPath)
			for n := 1; n <= c.publications; n++ {
				for _, p := range bothEngines(t, w, n, c.oneByOne) {
					if _, err := w.Publish(t.Context(), p); err != nil {
						t.Fatal(err)
					}
					looked()
				}
			}
			polls, mixed := stop()
			if (mixed > 0) != c.mixed || polls < c.publications {
				t.Errorf("%d of %d looks saw a mixed night", mixed, polls)
			}
			t.Logf("%d of %d looks saw a mixed night", mixed, polls)
		})
	}
}

// bothEngines stages a night, two datasets as the native engine does and two as dbt does, and returns how it is
// published.
func bothEngines(t *testing.T, w *Warehouse, n int, oneByOne bool) (out []elt.Publication) {
	t.Helper()
	run := elt.RunID(fmt.Sprintf("night-%d", n))
	for _, d := range []elt.DatasetName{"native_a", "native_b"} {
		if _, err := w.Build(t.Context(), elt.Build{Run: run, Dataset: d, Materialized: elt.AsTable, SQL: fmt.Sprintf("SELECT %d AS night", n)}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "dbt.duckdb")
	builtIn(t, file, fmt.Sprintf("CREATE TABLE dbt_a AS SELECT %d AS night", n), "CREATE VIEW dbt_b AS SELECT night FROM dbt_a")
	if _, err := w.TakeBack(t.Context(), run, file, []elt.Exchange{{Dataset: "dbt_a", Schema: "main", Name: "dbt_a"}, {Dataset: "dbt_b", Schema: "main", Name: "dbt_b"}}); err != nil {
		t.Fatal(err)
	}
	var all elt.Publication
	for _, d := range mixable {
		item := elt.PublicationItem{Relation: "analytics." + string(d), Version: elt.Version{ID: elt.NewVersionID(d, run), Dataset: d, Run: run, Date: elt.Date{Year: 2026, Month: 1, Day: 1}.AddDays(n)}}
		all = elt.Publication{Run: run, Fence: int64(n), Items: append(all.Items, item)}
		out = append(out, elt.Publication{Run: run, Fence: int64(n), Items: []elt.PublicationItem{item}})
	}
	if !oneByOne {
		out = []elt.Publication{all}
	}
	return out
}

var mixable = []elt.DatasetName{"native_a", "native_b", "dbt_a", "dbt_b"}

// poll looks at the read copy without a pause until it is stopped. looked returns once the reader has looked since it
// was called.
func poll(t *testing.T, path string) (looked func(), stop func() (polls, mixed int)) {
	t.Helper()
	var reader sync.WaitGroup
	end, asked := make(chan struct{}), make(chan chan struct{})
	polls, mixed := 0, 0
	look := func() {
		if _, err := os.Stat(path); err != nil {
			return
		}
		r, err := OpenReadOnly(t.Context(), path)
		if err != nil {
			t.Errorf("open the read copy: %v", err)
			return
		}
		defer r.Close()
		var nights []string
		for _, d := range mixable {
			for range readerRows(t, r, "SELECT 1 FROM information_schema.tables WHERE table_schema = 'analytics' AND table_name = '"+string(d)+"'") {
				nights = append(nights, readerRows(t, r, "SELECT night FROM analytics."+string(d))...)
			}
		}
		polls++
		if slices.ContainsFunc(nights, func(n string) bool { return n != nights[0] }) || len(nights) != len(mixable) {
			mixed++
		}
	}
	reader.Go(func() {
		for {
			select {
			case <-end:
				return
			case done := <-asked:
				look()
				close(done)
			default:
				look()
			}
		}
	})
	return func() {
			done := make(chan struct{})
			asked <- done
			<-done
		}, func() (int, int) {
			close(end)
			reader.Wait()
			return polls, mixed
		}
}
