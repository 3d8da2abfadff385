package workers_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// around are the failpoints around a chunk that is lent, and whether the lender passes them; the helper passes the others.
var around = map[string]bool{
	"extract.lend": true, "extract.lent": true,
	"extract.chunk_take": false, "extract.chunk_taken": false,
	"extract.chunk_bring": false, "extract.chunk_brought": false,
	"extract.chunk_adopt": true, "extract.chunk_adopted": true,
	"extract.lending_end": true, "extract.lending_ended": true,
}

// died returns who was the first to pass its failpoint, "" as long as nobody has.
func (n *night) died() elt.WorkerID {
	n.t.Helper()
	name, err := os.ReadFile(n.worker.Died)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.t.Fatal(err)
	}
	return elt.WorkerID(name)
}

// bury ends the leases of a worker that is dead, or cut off from the ledger.
func (n *night) bury(w elt.WorkerID) {
	n.t.Helper()
	n.await("the ledger has heard the last of "+string(w), heard, string(w))
	n.runOut(w)
}

// runOut has the ledger see what it sees once the leases have run out that a worker had who does not keep them any more.
func (n *night) runOut(w elt.WorkerID) {
	n.t.Helper()
	for _, statement := range []string{
		`UPDATE steps SET lease_until = started_at WHERE state = 'running' AND worker = $1`,
		`UPDATE steps SET finished_at = '2000-01-01T00:00:00.000000Z' WHERE finished_at IS NOT NULL AND worker = $1`,
		`UPDATE snapshot_seats SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE lease_until IS NOT NULL AND worker = $1`,
		`UPDATE lent_chunks SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE lease_until IS NOT NULL AND worker = $1`,
	} {
		if _, err := n.books.Exec(n.t.Context(), statement, string(w)); err != nil {
			n.t.Fatal(err)
		}
	}
}

// TestKilledAroundAChunk: the lender or the helper dies before or after each thing that outlives it. A helper's death costs the
// chunk that it had not handed over, a lender's the attempt; every row is there once, as the snapshot has it.
func TestKilledAroundAChunk(t *testing.T) {
	t.Parallel()
	for place, lends := range around {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			n := bigNight(t, testenv.Postgres(t).URL)
			n.worker.DiesAt, n.worker.Died = place, filepath.Join(t.TempDir(), "died")
			workers, begin := n.atEase(n.worker, n.worker)
			scan := n.scan("t00")
			hurry := begin()
			testenv.Within(t, patience, "a chunk is taken, or somebody dies", func() bool {
				var taken bool
				if err := n.books.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM lent_chunks WHERE fence <> 0)`).Scan(&taken); err != nil {
					t.Fatal(err)
				}
				return taken || n.died() != ""
			})
			hurry()
			testenv.Within(t, patience, "somebody dies at "+place, func() bool { return n.died() != "" })
			who := n.died()
			var exit *exec.ExitError
			if err := workers[who].Wait(); !errors.As(err, &exit) || exit.Success() {
				t.Fatalf("%s has not died: %v", who, err)
			}
			var reads bool
			if err := n.books.QueryRow(t.Context(), `SELECT worker = $1 FROM steps WHERE dataset = 'shop.t00'`, string(who)).Scan(&reads); err != nil {
				t.Fatal(err)
			}
			if reads != lends {
				t.Errorf("%s has died, which reads the table: %t", who, reads)
			}
			n.bury(who)
			n.start("c")
			all := n.manifests()
			want := scan()
			n.oneMoment(all)
			if diff := cmp.Diff(want, n.rowsOf(all[0])); diff != "" {
				t.Errorf("the rows are not those of the snapshot:\n%.2000s", diff)
			}
			if again := all[0].Attempt > 1; again != lends {
				t.Errorf("the table was brought by attempt %d", all[0].Attempt)
			}
			for _, p := range all[0].Parts {
				if !strings.HasPrefix(p.Key, all[0].Prefix()) {
					t.Errorf("part %s is of another attempt than %s", p.Key, all[0].Prefix())
				}
			}
			n.nothingLent()
		})
	}
}
