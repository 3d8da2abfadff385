package workers_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// crawling is how many kilobytes a second each connection carries until what is to happen has happened: nobody is through with
// the table within most of a minute.
const crawling = 8

// bigNight is a night of a table of many chunks and of small ones.
func bigNight(t *testing.T, source string) *night {
	t.Helper()
	n := newNightOf(t, source, append([]int{8000}, slices.Repeat([]int{200}, 5)...), 0)
	n.worker.ChunkBytes = 32 << 10
	return n
}

// pair are two workers of which one reads the large table.
type pair struct {
	lender, helper         *exec.Cmd
	lenderName, helperName elt.WorkerID
	hurry                  func() // lets the rest go faster
}

// atEase has two workers, a and b, read the small tables in one snapshot. The large one waits until it is begun, at a crawl, by one
// of them, with the other free to help it; hurry lets it go faster.
func (n *night) atEase(a, b worker) (workers map[elt.WorkerID]*exec.Cmd, begin func() (hurry func())) {
	n.t.Helper()
	n.exec(n.books, `UPDATE steps SET state = 'retrying', next_attempt_at = '2999-01-01T00:00:00.000000Z' WHERE dataset = 'shop.t00'`)
	network := testenv.Toxiproxy(n.t).Before(n.t, n.shop)
	a.Name, b.Name, a.Source, b.Source = "a", "b", network.URL, network.URL
	workers = map[elt.WorkerID]*exec.Cmd{"a": a.start(n.t)} // which takes three small tables, and leaves two
	n.await("a shares its snapshot", shares, "a")
	workers["b"] = b.start(n.t)
	n.await("b shares it, too", shares, "b")
	n.goOn()
	n.await("the small tables have been brought", `SELECT count(*) = $1 FROM steps WHERE state = 'succeeded'`, len(n.rows)-1)
	return workers, func() (hurry func()) {
		n.t.Helper()
		hurry = network.Add(n.t, testenv.Bandwidth(crawling), testenv.Answers)
		n.exec(n.books, `UPDATE steps SET state = 'pending', next_attempt_at = NULL WHERE dataset = 'shop.t00'`)
		return hurry
	}
}

// seated has two workers be at ease until the large table is released: then one of them lends chunks of it.
func (n *night) seated(a, b worker) (release func() pair) {
	n.t.Helper()
	workers, begin := n.atEase(a, b)
	return func() pair {
		n.t.Helper()
		hurry := begin()
		n.await("chunks are lent", `SELECT EXISTS (SELECT FROM lent_chunks)`)
		var lender elt.WorkerID
		if err := n.books.QueryRow(n.t.Context(), `SELECT worker FROM steps WHERE dataset = 'shop.t00'`).Scan(&lender); err != nil {
			n.t.Fatal(err)
		}
		helper := map[elt.WorkerID]elt.WorkerID{"a": "b", "b": "a"}[lender]
		return pair{workers[lender], workers[helper], lender, helper, hurry}
	}
}

// together has one worker read the large table and another help it, both at a crawl until they are to hurry.
func (n *night) together() pair {
	n.t.Helper()
	p := n.seated(n.worker, n.worker)()
	n.awaitHelp(p)
	return p
}

func (n *night) awaitHelp(p pair) {
	n.t.Helper()
	n.await("the other helps", `SELECT EXISTS (SELECT FROM lent_chunks WHERE worker = $1 AND brought IS NULL)`, string(p.helperName))
}

// scan returns what reads every row of a table in the night's first snapshot, as text by key, until the test ends.
func (n *night) scan(table string) func() map[string]string {
	n.t.Helper()
	conn := n.connect(n.shop)
	var name string
	if err := n.books.QueryRow(n.t.Context(), `SELECT taken::json->'position'->>'snapshot' FROM snapshots`).Scan(&name); err != nil {
		n.t.Fatal(err)
	}
	n.exec(conn, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '`+name+`'`)
	return func() map[string]string {
		n.t.Helper()
		all := make(map[string]string)
		rows, err := conn.Query(n.t.Context(), `SELECT id::text, units::text || ' ' || note FROM `+table)
		if err != nil {
			n.t.Fatal(err)
		}
		var id, row string
		if _, err := pgx.ForEachRow(rows, []any{&id, &row}, func() error { all[id] = row; return nil }); err != nil {
			n.t.Fatal(err)
		}
		return all
	}
}

// rowsOf returns every row of the manifest's parts, as scan does.
func (n *night) rowsOf(m *elt.Manifest) map[string]string {
	n.t.Helper()
	all := make(map[string]string)
	for _, p := range m.Parts {
		r, err := n.lake.Open(n.t.Context(), p.Key)
		if err != nil {
			n.t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			n.t.Fatal(err)
		}
		if _, err := parquet.Read(bytes.NewReader(data), m.Schema, func(b *parquet.Batch) error {
			var columns [][]string
			for _, v := range b.Columns {
				columns = append(columns, v.Texts())
			}
			for i, id := range columns[0] {
				if _, twice := all[id]; twice {
					return fmt.Errorf("row %s came twice", id)
				}
				all[id] = columns[1][i] + " " + strings.Trim(columns[2][i], `"`)
			}
			return nil
		}); err != nil {
			n.t.Fatal(err)
		}
	}
	return all
}

var lentPart = regexp.MustCompile(`/part-lent-(\d+)-\d+\.parquet$`)

// lent returns the fences of the loans that brought parts.
func lent(m *elt.Manifest) []string {
	fences := make(map[string]bool)
	for _, p := range m.Parts {
		if found := lentPart.FindStringSubmatch(p.Key); found != nil {
			fences[found[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(fences))
}

// loans returns the fences of the chunks that a worker has begun.
func (n *night) loans(w elt.WorkerID) (fences []string) {
	n.t.Helper()
	rows, err := n.books.Query(n.t.Context(), `SELECT fence::text FROM lent_chunks WHERE worker = $1 AND brought IS NULL`, string(w))
	if err == nil {
		fences, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return fences
}

// nothingLent checks that nothing of the loans is left behind.
func (n *night) nothingLent() {
	n.t.Helper()
	n.await("no chunk is lent any more", `SELECT NOT EXISTS (SELECT FROM lent_chunks) AND NOT EXISTS (SELECT FROM lent_tables)`)
}

// TestTwoWorkersReadOneTable: both bring parts of it, of one moment, while units move; every row is there once, as the snapshot
// has it, and the digest that the source took of the chunks is that of the whole table.
func TestTwoWorkersReadOneTable(t *testing.T) {
	t.Parallel()
	n := bigNight(t, testenv.Postgres(t).URL)
	stop := n.trade()
	defer stop()
	release := n.seated(n.worker, n.worker)
	scan := n.scan("t00")
	over := make(chan struct{}, 1)
	watched := n.watchConnections(over)
	p := release()
	n.await("the step tells that the other helps", `SELECT EXISTS (SELECT FROM steps WHERE dataset = 'shop.t00' AND note = $1)`, "some of its chunks are read by "+string(p.helperName))
	n.await("the other reads two chunks", `SELECT count(*) > 1 FROM lent_chunks WHERE worker = $1 AND brought IS NULL`, string(p.helperName))
	p.hurry()
	all := n.manifests()
	want := scan()
	n.oneMoment(all)
	watched()
	if len(over) > 0 {
		t.Error("the seats had more connections than the source allows")
	}
	if diff := cmp.Diff(want, n.rowsOf(all[0])); diff != "" {
		t.Errorf("the rows are not those of the snapshot:\n%.2000s", diff)
	}
	if chunks := lent(all[0]); len(chunks) < 2 || len(chunks) == len(all[0].Parts) {
		t.Errorf("%d of %d parts were brought by the other worker", len(chunks), len(all[0].Parts))
	}
	n.nothingLent()
}

// odd makes the large table one of rows that cannot be held, values that cannot, and values that nobody may see.
func (n *night) odd() {
	n.t.Helper()
	n.exec(n.connect(n.shop), fmt.Sprintf(`DROP TABLE t00; CREATE TABLE t00 AS SELECT i AS id, %d::bigint AS units, repeat(md5(i::text), 10) AS note,
		CASE WHEN i %% 7 = 0 THEN 'NaN' ELSE 1.5 END::numeric(12, 2) AS price, CASE WHEN i %% 100 = 0 THEN 'NaN' ELSE 2.5 END::numeric(12, 2) AS weight,
		CASE WHEN i %% 3 > 0 THEN i || '@example.com' END AS email FROM generate_series(1, %d) i`, units, n.rows[0]))
	n.worker.MaskKey = "of the night"
	n.worker.Rules = elt.ColumnRules{Hash: []string{"email"}, Types: map[string]elt.TypeRule{"price": {Policy: elt.AsNull}}}
}

// large waits for the end of the run and returns what was brought of the large table.
func (n *night) large() *elt.Manifest {
	n.t.Helper()
	awaitOn(n.t, n.books, wholeNight, "the run has ended", ended, string(runID))
	steps, err := n.ledger.Steps(n.t.Context(), runID)
	if err != nil {
		n.t.Fatal(err)
	}
	if steps[0].State != elt.StepSucceeded {
		n.t.Fatalf("%s is %s: %v", steps[0].ID, steps[0].State, steps[0].Error)
	}
	m, err := n.ledger.Manifest(n.t.Context(), steps[0].Result.Manifest)
	if err != nil {
		n.t.Fatal(err)
	}
	n.readBack(m)
	return m
}

// TestRulesHoldInEveryChunk: rows that are set aside, values that become NULL and values that are hashed are those of the whole
// table, whoever met them; and where the source can tell what its rows are, the digests agree.
func TestRulesHoldInEveryChunk(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]struct {
		weight elt.TypeRule
		aside  int64
		uses   []elt.PolicyUse
	}{
		"null":       {elt.TypeRule{Policy: elt.AsNull}, 0, []elt.PolicyUse{{Column: "price", Policy: elt.AsNull, Values: 1142}, {Column: "weight", Policy: elt.AsNull, Values: 80}}},
		"quarantine": {elt.TypeRule{Policy: elt.Quarantine}, 80, []elt.PolicyUse{{Column: "price", Policy: elt.AsNull, Values: 1131}, {Column: "weight", Policy: elt.Quarantine, Values: 80}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := bigNight(t, testenv.Postgres(t).URL)
			n.odd()
			n.worker.Rules.Types["weight"] = set.weight
			n.together().hurry()
			m := n.large()
			if diff := cmp.Diff(set.uses, m.Fidelity); diff != "" || m.SetAside() != set.aside || m.Rows() != int64(n.rows[0])-set.aside {
				t.Errorf("%d rows, %d are set aside (-want +got)\n%s", m.Rows(), m.SetAside(), diff)
			}
			if (m.SourceDigest != nil) != (set.aside == 0) {
				t.Errorf("the source's digest is %v", m.SourceDigest)
			}
			if len(lent(m)) == 0 {
				t.Error("the other worker brought nothing")
			}
		})
	}
}

// says waits until a worker has logged a text.
func (n *night) says(w *exec.Cmd, text string) {
	n.t.Helper()
	testenv.Within(n.t, patience, "a worker says "+text, func() bool {
		said, err := os.ReadFile(w.Stderr.(*os.File).Name())
		if err != nil {
			n.t.Fatal(err)
		}
		return strings.Contains(string(said), text)
	})
}

// TestAHelperWithAnotherKey does not help: what it hashed would join with nothing.
func TestAHelperWithAnotherKey(t *testing.T) {
	t.Parallel()
	n := bigNight(t, testenv.Postgres(t).URL)
	n.odd()
	n.worker.Rules.Types["weight"] = elt.TypeRule{Policy: elt.AsNull}
	other := n.worker
	other.MaskKey = "another"
	p := n.seated(n.worker, other)()
	n.says(p.helper, "which this worker does not have: give every worker the same masking key")
	p.hurry()
	if m := n.large(); len(lent(m)) > 0 || m.Rows() != int64(n.rows[0]) {
		t.Errorf("%d rows, and of loans came %v", m.Rows(), lent(m))
	}
	n.nothingLent()
}

// TestAHelperIsKilled: what it had begun is read again, and what it had brought counts.
func TestAHelperIsKilled(t *testing.T) {
	t.Parallel()
	n := bigNight(t, testenv.Postgres(t).URL)
	stop := n.trade()
	defer stop()
	p := n.together()
	kill(t, p.helper)
	n.bury(p.helperName)
	p.hurry()
	n.oneMoment(n.manifests())
	if codes := n.codes(); codes != "" && codes != "interrupted" {
		t.Errorf("attempts failed with %s", codes)
	}
	n.nothingLent()
}

// TestAHelperIsPaused until its leases are over: awake again it finds its chunks read by others, and nothing that it uploads
// counts.
func TestAHelperIsPaused(t *testing.T) {
	t.Parallel()
	n := bigNight(t, testenv.Postgres(t).URL)
	stop := n.trade()
	defer stop()
	p := n.together()
	n.pause(p.helper, p.helperName)
	begun := n.loans(p.helperName)
	n.await("what it had begun has been taken back", `SELECT NOT EXISTS (SELECT FROM lent_chunks WHERE fence::text = ANY ($1))`, begun)
	send(t, p.helper, syscall.SIGCONT)
	p.hurry()
	all := n.manifests()
	n.oneMoment(all)
	for _, fence := range lent(all[0]) {
		if slices.Contains(begun, fence) {
			t.Errorf("the chunks that it had begun are %v, and of loan %s parts count", begun, fence)
		}
	}
	n.nothingLent()
}

// TestTheLenderIsKilled: its successor begins the table as it does without helpers, and those stop and help it instead.
func TestTheLenderIsKilled(t *testing.T) {
	t.Parallel()
	n := bigNight(t, testenv.Postgres(t).URL)
	stop := n.trade()
	defer stop()
	p := n.together()
	kill(t, p.lender)
	n.bury(p.lenderName)
	p.hurry()
	n.await("the other has taken over the table", `SELECT EXISTS (SELECT FROM steps WHERE dataset = 'shop.t00' AND worker = $1)`, string(p.helperName))
	n.start("c")
	all := n.manifests()
	n.oneMoment(all)
	if all[0].Attempt < 2 {
		t.Errorf("the table was brought by attempt %d", all[0].Attempt)
	}
	for _, p := range all[0].Parts {
		if !strings.HasPrefix(p.Key, all[0].Prefix()) {
			t.Errorf("part %s is of another attempt than %s", p.Key, all[0].Prefix())
		}
	}
	n.nothingLent()
}

// TestTheLenderIsPaused until its leases are over: its table goes to another, and nothing that it merges counts.
func TestTheLenderIsPaused(t *testing.T) {
	t.Parallel()
	n := bigNight(t, testenv.Postgres(t).URL)
	stop := n.trade()
	defer stop()
	p := n.together()
	n.pause(p.lender, p.lenderName)
	n.await("the other has taken over the table", `SELECT EXISTS (SELECT FROM steps WHERE dataset = 'shop.t00' AND worker = $1)`, string(p.helperName))
	send(t, p.lender, syscall.SIGCONT)
	p.hurry()
	n.oneMoment(n.manifests())
	n.nothingLent()
}

// TestTheServerIsRestartedWhileATableIsLent: the table is cut anew in another snapshot, and nothing of the first counts.
func TestTheServerIsRestartedWhileATableIsLent(t *testing.T) {
	t.Parallel()
	server := testenv.NewPostgres(t, nil)
	n := bigNight(t, server.URL)
	p := n.together()
	server.Restart(t)
	p.hurry()
	all := n.manifests()
	if epochs := n.honest(all); all[0].Source.Epoch < 2 {
		t.Errorf("tables were read in the snapshots %v, the large one in %d", epochs, all[0].Source.Epoch)
	}
	n.nothingLent()
}

// TestAHelperIsCutOff from the ledger while it reads: its chunks are read by others, and when it is back it helps again.
func TestAHelperIsCutOff(t *testing.T) {
	t.Parallel()
	n := bigNight(t, testenv.Postgres(t).URL)
	stop := n.trade()
	defer stop()
	ledgers := make(map[elt.WorkerID]*testenv.Proxy)
	through := func(name elt.WorkerID) worker {
		w := n.worker
		ledgers[name] = testenv.Toxiproxy(t).Before(t, w.Ledger)
		w.Ledger = ledgers[name].URL
		return w
	}
	p := n.seated(through("a"), through("b"))()
	n.awaitHelp(p)
	ledgers[p.helperName].Cut(t)
	n.bury(p.helperName)
	begun := n.loans(p.helperName)
	n.await("what it had begun has been taken back or brought", `SELECT NOT EXISTS (SELECT FROM lent_chunks WHERE fence::text = ANY ($1) AND brought IS NULL)`, begun)
	ledgers[p.helperName].Restore(t)
	p.hurry()
	n.oneMoment(n.manifests())
	n.nothingLent()
}
