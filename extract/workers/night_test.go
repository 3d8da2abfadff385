package workers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// night is a run over tables whose sum never changes while units move between them, read through a slow network. No table is
// finished before the night is let go on: whatever is to happen in its midst has happened by then, however slow the machine.
type night struct {
	t      testing.TB
	worker worker // as every worker of the night is
	ledger *ledger.Ledger
	lake   *disk.Store
	books  *pgx.Conn // on the ledger's database
	shop   string    // the source without the slow network
	rows   []int     // of each table
}

// units is what each row begins with.
const units = 1000

// patience is for what should happen at once, on a machine that is very busy, and wholeNight for the end of the run.
const (
	patience   = 5 * time.Minute
	wholeNight = 10 * time.Minute
)

// lease is for who never falls silent for so long, however busy the machine: whose has run out is the test's to say, by bury.
const lease = time.Minute

// newNight makes the tables of the source, of 200 rows each, behind a network of so many kilobytes a second, and the run.
func newNight(t testing.TB, source string, tables int, kilobytes int64) *night {
	t.Helper()
	return newNightOf(t, source, slices.Repeat([]int{200}, tables), kilobytes)
}

func newNightOf(t testing.TB, source string, rows []int, kilobytes int64) *night {
	t.Helper()
	n := &night{t: t, shop: source, rows: rows}
	n.worker = worker{
		Ledger: testenv.Postgres(t).URL, Lake: t.TempDir(), Connections: 8, Threads: 3, Lease: lease, Level: elt.LevelRows,
		Gate: filepath.Join(t.TempDir(), "open"),
	}
	shop := n.connect(source)
	for i, rows := range rows {
		name := fmt.Sprintf("t%02d", i)
		n.worker.Tables = append(n.worker.Tables, name)
		n.exec(shop, fmt.Sprintf(`CREATE TABLE %s AS SELECT i AS id, %d::bigint AS units, repeat(md5(i::text), 10) AS note FROM generate_series(1, %d) i`, name, units, rows))
	}
	n.worker.Source = source
	if kilobytes > 0 {
		n.worker.Source = n.network(kilobytes).URL
	}
	var err error
	if n.ledger, err = ledger.Open(t.Context(), n.worker.Ledger, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.ledger.Close() })
	if err := n.ledger.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.lake, err = disk.Open(n.worker.Lake); err != nil {
		t.Fatal(err)
	}
	n.books = n.connect(n.worker.Ledger)
	n.plan()
	return n
}

// network is a way to the source that carries so many kilobytes a second for each connection.
func (n *night) network(kilobytes int64) *testenv.Proxy {
	n.t.Helper()
	proxy := testenv.Toxiproxy(n.t).Before(n.t, n.shop)
	proxy.Add(n.t, testenv.Bandwidth(kilobytes), testenv.Answers)
	return proxy
}

func (n *night) plan() {
	n.t.Helper()
	run := elt.Run{ID: runID, Schedule: "nightly", Date: elt.Date{Year: 2026, Month: 1, Day: 5}, Kind: elt.ScheduledRun}
	var steps []elt.Step
	var days []elt.Day
	for _, e := range n.worker.extractions() {
		steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, elt.ExtractStep, e.Dataset), Run: run.ID, Kind: elt.ExtractStep, Dataset: e.Dataset, Date: run.Date})
		days = append(days, elt.Day{Dataset: e.Dataset, Date: run.Date, Run: run.ID})
	}
	if _, _, err := n.ledger.CreateRun(n.t.Context(), run, steps, days); err != nil {
		n.t.Fatal(err)
	}
}

func (n *night) connect(url string) *pgx.Conn {
	n.t.Helper()
	conn, err := pgx.Connect(n.t.Context(), url)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (n *night) exec(conn *pgx.Conn, statement string) {
	n.t.Helper()
	if _, err := conn.Exec(n.t.Context(), statement); err != nil {
		n.t.Fatalf("%s: %v", statement, err)
	}
}

// start begins a worker of that name.
func (n *night) start(name elt.WorkerID) *exec.Cmd {
	n.t.Helper()
	w := n.worker
	w.Name = name
	return w.start(n.t)
}

// goOn lets tables be finished.
func (n *night) goOn() {
	n.t.Helper()
	if err := os.WriteFile(n.worker.Gate, nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// trade moves units between the tables until the test ends: only one moment of all of them adds up.
func (n *night) trade() (stop func()) {
	n.t.Helper()
	conn := n.connect(n.shop)
	ctx, cancel := context.WithCancel(n.t.Context())
	var trader sync.WaitGroup
	trader.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond) // the machine has other things to do
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			from := rand.IntN(len(n.worker.Tables))
			to := (from + 1 + rand.IntN(len(n.worker.Tables)-1)) % len(n.worker.Tables) // another
			statement := fmt.Sprintf(`WITH x AS (UPDATE %s SET units = units - 1 WHERE id = %d) UPDATE %s SET units = units + 1 WHERE id = %d`,
				n.worker.Tables[from], 1+rand.IntN(n.rows[from]), n.worker.Tables[to], 1+rand.IntN(n.rows[to]))
			if _, err := conn.Exec(ctx, statement); err != nil && ctx.Err() == nil {
				n.t.Error(err)
				return
			}
		}
	})
	return func() {
		cancel()
		trader.Wait()
	}
}

// await waits until the ledger's query says true.
func (n *night) await(what, query string, args ...any) {
	n.t.Helper()
	awaitOn(n.t, n.books, patience, what, query, args...)
}

// awaitOn waits until a query says true. It asks at leisure: the server has other things to do.
func awaitOn(t testing.TB, conn *pgx.Conn, limit time.Duration, what, query string, args ...any) {
	t.Helper()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		var yes bool
		if err := conn.QueryRow(t.Context(), query, args...).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if yes {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", limit, what)
		}
	}
}

// Moments of a night.
const (
	shares  = `SELECT EXISTS (SELECT FROM snapshot_seats WHERE worker = $1 AND exports IS NOT NULL)`
	reads   = `SELECT EXISTS (SELECT FROM steps JOIN snapshot_seats USING (worker) WHERE worker = $1 AND state = 'running' AND exports IS NOT NULL)`
	robbed  = `SELECT EXISTS (SELECT FROM attempts WHERE worker = $1 AND outcome = 'lost')`
	came    = `SELECT EXISTS (SELECT FROM snapshot_seats WHERE worker = $1 AND exports IS NOT NULL) OR EXISTS (SELECT FROM steps WHERE worker = $1 AND state = 'succeeded')`
	brought = `SELECT EXISTS (SELECT FROM steps WHERE worker = $1 AND state = 'succeeded')`
	ended   = `SELECT EXISTS (SELECT FROM runs WHERE state <> 'running' AND id = $1)`
	held    = `SELECT EXISTS (SELECT FROM snapshot_seats WHERE lease_until > to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))`
	asked   = `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND state <> 'idle')`
	heard   = `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1)`
	shared  = `SELECT coalesce(sum(connections), 0) <= $1 FROM snapshot_seats WHERE lease_until > to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
)

// manifests waits for the end of the run and returns what was brought, in the order of the tables, after reading every
// part back.
func (n *night) manifests() (all []*elt.Manifest) {
	n.t.Helper()
	awaitOn(n.t, n.books, wholeNight, "the run has ended", ended, string(runID))
	steps, err := n.ledger.Steps(n.t.Context(), runID)
	if err != nil {
		n.t.Fatal(err)
	}
	for i, s := range steps {
		if s.State != elt.StepSucceeded {
			n.t.Fatalf("%s is %s: %v", s.ID, s.State, s.Error)
		}
		m, err := n.ledger.Manifest(n.t.Context(), s.Result.Manifest)
		if err != nil {
			n.t.Fatal(err)
		}
		if m.Rows() != int64(n.rows[i]) || m.SourceDigest == nil && n.worker.Level == elt.LevelRows {
			n.t.Errorf("%s has %d rows, and the digest %v", m.Dataset, m.Rows(), m.SourceDigest)
		}
		n.readBack(m)
		all = append(all, m)
	}
	return all
}

// readBack compares the lake's parts with their manifest.
func (n *night) readBack(m *elt.Manifest) {
	n.t.Helper()
	tally := parquet.NewTally(m.Schema)
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
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
			n.t.Errorf("part %s is not what its manifest says", p.Key)
		}
		if _, err := parquet.Read(bytes.NewReader(data), m.Schema, func(b *parquet.Batch) error { tally.Add(b); return nil }); err != nil {
			n.t.Fatal(err)
		}
	}
	for _, x := range m.Stats.Compare(tally.Stats()) {
		n.t.Errorf("%s: the parts differ from the manifest: %s", m.Dataset, x)
	}
}

// oneMoment checks that all tables are of one snapshot, say so, and add up.
func (n *night) oneMoment(all []*elt.Manifest) {
	n.t.Helper()
	var sum, want int64
	for i, m := range all {
		want += int64(n.rows[i] * units)
		if s := m.Source; !s.CrossTableConsistent || s.Epoch != 1 || s.Snapshot != all[0].Source.Snapshot || s.Server != all[0].Source.Server {
			n.t.Errorf("%s was read at %+v, the first table at %+v", m.Dataset, s, all[0].Source)
		}
		sum += unitsOf(n.t, m)
	}
	if sum != want {
		n.t.Errorf("the tables add up to %d, not %d: they are not of one moment", sum, want)
	}
}

// honest checks that tables which say that they agree are of one snapshot, the first, and that no epoch has two.
func (n *night) honest(all []*elt.Manifest) (epochs []int) {
	n.t.Helper()
	snapshots := make(map[int]string)
	for _, m := range all {
		s := m.Source
		if s.CrossTableConsistent && s.Epoch != 1 {
			n.t.Errorf("%s says of snapshot %d that every table was read in it", m.Dataset, s.Epoch)
		}
		if seen, known := snapshots[s.Epoch]; known && seen != s.Snapshot+s.Server {
			n.t.Errorf("snapshot %d is %q and %q", s.Epoch, seen, s.Snapshot+s.Server)
		} else if !known {
			epochs = append(epochs, s.Epoch)
		}
		snapshots[s.Epoch] = s.Snapshot + s.Server
	}
	slices.Sort(epochs)
	return epochs
}

func unitsOf(t testing.TB, m *elt.Manifest) (sum int64) {
	t.Helper()
	i := slices.IndexFunc(m.Stats.Columns, func(c elt.ColumnStats) bool { return c.Column == "units" })
	if _, err := fmt.Sscan(m.Stats.Columns[i].Sum, &sum); err != nil {
		t.Fatal(err)
	}
	return sum
}

// workers returns who brought a table.
func (n *night) workers() (names []string) {
	n.t.Helper()
	rows, err := n.books.Query(n.t.Context(), `SELECT DISTINCT worker FROM steps WHERE state = 'succeeded' ORDER BY 1`)
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return names
}

// fence returns that of the run's newest snapshot.
func (n *night) fence() (fence int64) {
	n.t.Helper()
	if err := n.books.QueryRow(n.t.Context(), `SELECT fence FROM snapshots`).Scan(&fence); err != nil {
		n.t.Fatal(err)
	}
	return fence
}

// codes returns the codes of every failed attempt.
func (n *night) codes() string {
	n.t.Helper()
	rows, err := n.books.Query(n.t.Context(), `SELECT DISTINCT error::json->>'code' FROM attempts WHERE error IS NOT NULL ORDER BY 1`)
	var codes []string
	if err == nil {
		codes, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.Join(codes, " ")
}
