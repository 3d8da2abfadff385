package bigquery

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

// TestMain lets more tests run at a time than there are processors: most wait for the client, which repeats what failed
// after a second.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) { conform(t, Options{}, func(string) bool { return true }) }

// The other ways are held to what they do differently: to publish, and to stage.

func TestConformanceTogether(t *testing.T) {
	conform(t, Options{Together: true}, func(name string) bool {
		return !strings.HasPrefix(name, "stage/") && !strings.HasPrefix(name, "build/")
	})
}

func TestConformanceBucket(t *testing.T) {
	conform(t, Options{Bucket: "parts"}, func(name string) bool {
		return name != "stage/random rows" && (strings.HasPrefix(name, "stage/") || strings.HasPrefix(name, "incremental/") || strings.HasPrefix(name, "deletes/") || strings.HasPrefix(name, "damage/"))
	})
}

func conform(t *testing.T, o Options, keep func(name string) bool) {
	warehousetest.RunOnly(t, keep, func(t *testing.T) warehousetest.Harness {
		t.Parallel()
		o := o
		server := bigquerytest.New(t)
		server.MakeBucket("parts")
		layouts := make(map[elt.DatasetName]elt.Layout)
		o.Layout = func(d elt.DatasetName) elt.Layout { return layouts[d] }
		w := open(t, server, o)
		return warehousetest.Harness{
			Warehouse: w, Physical: w.physical, Layouts: layouts, Rows: server.Rows, Exec: server.Exec,
			Limits: limits(),
		}
	})
}

// physical returns the name of the table that a run staged.
func (w *Warehouse) physical(t testing.TB, run elt.RunID, d elt.DatasetName) string {
	t.Helper()
	_, table, err := w.stagedShape(t.Context(), run, d)
	if err != nil || table == nil {
		t.Fatalf("run %s has staged nothing for %s (%v)", run, d, err)
	}
	return nameOf(table)
}

// limits are what BigQuery cannot do.
func limits() warehousetest.Limits {
	return warehousetest.Limits{
		PlainColumns: true, Copies: true,
		Lists:      func(of elt.Kind) bool { return of != elt.LocalTimestamp && of != elt.Uint64 },
		ListValues: `{'list': [{'element': ''}, {'element': NULL}, {'element': é}]}`,
	}
}

// open opens a warehouse on the double, which waits as good as not at all before it repeats what failed.
func open(t testing.TB, server *bigquerytest.Server, o Options) *Warehouse {
	t.Helper()
	o.Project, o.Location, o.Endpoint = "acme", "EU", server.URL
	if o.Pause == 0 {
		o.Pause = time.Millisecond
	}
	w, err := Open(t.Context(), o)
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
