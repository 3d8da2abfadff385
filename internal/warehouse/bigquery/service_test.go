//go:build bigquery

package bigquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/iterator"

	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

// TestService runs the whole suite against BigQuery itself, in datasets of its own that it drops. docs/bigquery.md says
// what it needs and costs:
//
//	DAYBREAK_TEST_BIGQUERY_PROJECT=acme-test go test -tags bigquery -run TestService ./internal/warehouse/bigquery
func TestService(t *testing.T) {
	project := os.Getenv("DAYBREAK_TEST_BIGQUERY_PROJECT")
	if project == "" {
		t.Fatal("set DAYBREAK_TEST_BIGQUERY_PROJECT to a project in which datasets may be made and dropped")
	}
	location := cmp.Or(os.Getenv("DAYBREAK_TEST_BIGQUERY_LOCATION"), "EU")
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprintf("together=%v", together), func(t *testing.T) {
			warehousetest.Run(t, func(t *testing.T) warehousetest.Harness {
				prefix := "daybreak_test_" + unique() + "_"
				h := remote(t, Options{
					Project: project, Location: location, DatasetPrefix: prefix, Together: together, StagingDays: 1,
					Bucket: os.Getenv("DAYBREAK_TEST_BIGQUERY_BUCKET"), MaxBytesBilled: 1 << 30,
				})
				h.ListValues = `{"list":[{"element":""},{"element":null},{"element":"é"}]}`
				w := h.Warehouse.(*Warehouse)
				t.Cleanup(func() { w.dropDatasets(t, prefix) })
				return h
			})
		})
	}
}

// dropDatasets drops every dataset whose name begins with the prefix.
func (w *Warehouse) dropDatasets(t *testing.T, prefix string) {
	ctx, done := context.WithTimeout(context.Background(), time.Minute) // the test's own context has ended
	defer done()
	fresh, err := Open(ctx, Options{Project: w.Project, Location: w.Location, ReadOnly: true})
	if err != nil {
		t.Error(err)
		return
	}
	defer fresh.Close()
	it := fresh.client.Datasets(ctx)
	it.ListHidden = true
	for {
		d, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return
		}
		if err != nil {
			t.Errorf("list the datasets to drop: %v", err)
			return
		}
		if !strings.HasPrefix(d.DatasetID, prefix) {
			continue
		}
		if err := d.DeleteWithContents(ctx); err != nil {
			t.Errorf("drop %s: %v", d.DatasetID, err)
		}
	}
}

// emulated are the tests of the suite that bqemulator 1.4.0 covers. It does not refuse a job ID that it has seen, and the
// destination table of a query is not there afterwards, so that nothing which depends on either can pass.
var emulated = []string{
	"incremental/a key that is no column", "incremental/a key twice", "incremental/a masked key twice", "incremental/columns changed since",
	"incremental/two first loads", "publish/a cancelled context", "publish/a name that is taken", "publish/all or nothing", "publish/nothing to publish",
}

// TestEmulator runs what an emulator that others wrote covers:
//
//	DAYBREAK_TEST_BIGQUERY_EMULATOR=http://127.0.0.1:9050 go test -tags bigquery -run TestEmulator ./internal/warehouse/bigquery
func TestEmulator(t *testing.T) {
	endpoint := os.Getenv("DAYBREAK_TEST_BIGQUERY_EMULATOR")
	if endpoint == "" {
		t.Fatal("set DAYBREAK_TEST_BIGQUERY_EMULATOR to the URL of a bqemulator")
	}
	covered := func(name string) bool { return slices.Contains(emulated, name) }
	warehousetest.RunOnly(t, covered, func(t *testing.T) warehousetest.Harness {
		return remote(t, Options{Project: "test-" + unique(), Location: "EU", Endpoint: endpoint, Pause: time.Millisecond})
	})
}
