package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/queue/pool"
	"github.com/daybreak-data/daybreak/schedules"
)

// worker is the job of another process, which the test binary becomes with this variable.
type worker struct {
	Name        elt.WorkerID
	Ledger      string
	Source      string
	Lake        string
	Tables      []string
	Connections int
	Threads     int
	Lease       time.Duration
	LockTimeout time.Duration // of the source
	Level       elt.Level
	Gate        string // a file: until it is there, no table is finished,
	Free        int32  // but so many
	ChunkBytes  int64
	Rules       elt.ColumnRules // of the first table
	MaskKey     string
	DiesAt      string // a failpoint, if nobody else has died: its name is then in the file
	Died        string
}

const workerVariable = "DAYBREAK_TEST_WORKER"

const runID elt.RunID = "night"

func TestMain(m *testing.M) {
	text := os.Getenv(workerVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var w worker
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := json.Unmarshal([]byte(text), &w)
	if err == nil {
		err = w.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// start begins the worker's process; what it logs is shown when the test fails.
func (w worker) start(t testing.TB) *exec.Cmd {
	t.Helper()
	w.Ledger += "&application_name=" + string(w.Name) // by which the ledger's server tells its sessions
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), string(w.Name)+".log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute) // who waits for it waits no longer
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = cmd.Process.Kill(), cmd.Wait() // it may have ended long ago
		log.Close()
		if t.Failed() {
			said, _ := os.ReadFile(path)
			t.Logf("worker %s:\n%s", w.Name, said)
		}
	})
	return cmd
}

func (w worker) extractions() (tables []elt.Extraction) {
	for i, name := range w.Tables {
		tables = append(tables, elt.Extraction{
			Dataset: elt.DatasetName("shop." + name), Source: "shop", Table: "public." + name, Mode: elt.Full, Verify: w.Level,
		})
		if i == 0 {
			tables[i].ColumnRules = w.Rules
		}
	}
	return tables
}

// die kills the process when it is the first that passes its failpoint.
func (w worker) die(passed string) {
	if passed != w.DiesAt {
		return
	}
	first, err := os.OpenFile(w.Died, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err == nil {
		_, err = first.WriteString(string(w.Name))
	}
	if err != nil {
		panic(err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // a process may always kill itself
	select {}
}

// run carries the night to its end.
func (w worker) run(ctx context.Context) error {
	if w.DiesAt != "" {
		failpoint.Arm(w.die)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l, err := ledger.Open(ctx, w.Ledger, log)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Migrate(ctx); err != nil {
		return err
	}
	lake, err := disk.Open(w.Lake)
	if err != nil {
		return err
	}
	source, err := postgres.New(postgres.Options{
		Name: "shop", URL: w.Source, Connections: w.Connections, ChunkBytes: w.ChunkBytes, Budget: extract.Budget{LockTimeout: w.LockTimeout}, Log: log,
	})
	if err != nil {
		return err
	}
	stage := &extracting{ledger: l, tables: make(map[elt.DatasetName]elt.Extraction)}
	for _, e := range w.extractions() {
		stage.tables[e.Dataset] = e
	}
	extractor := extract.New(extract.Options{
		Sources: map[elt.SourceName]extract.Source{"shop": source}, Lake: &gated{lake: lake, worker: w}, Sharing: l, Loans: l, Worker: w.Name,
		Lease: w.Lease, Rest: 100 * time.Millisecond, MaskKey: []byte(w.MaskKey), Log: log,
	})
	stage.night = sync.OnceValue(func() *extract.Night { return extractor.Begin(runID, w.extractions(), w.extractions()) })
	runner := &schedules.Runner{
		Ledger: l, Stages: stage, Observer: silent{}, Worker: w.Name, Lease: w.Lease, Log: log,
		Retries: func(context.Context, elt.RunID) (schedules.Retries, error) {
			// Enough for a server that takes minutes to come back.
			return schedules.Retries{Attempts: 300, First: 100 * time.Millisecond, Max: time.Second, Wait: 5 * time.Minute}, nil
		},
	}
	err = w.carry(ctx, runner, l)
	return errors.Join(err, stage.night().Close())
}

// gated is a worker's lake before its gate.
type gated struct {
	lake   extract.Lake
	worker worker
	passed atomic.Int32
}

// Put stores an object; a manifest, which is a table's last, once the gate lets it through.
func (g *gated) Put(ctx context.Context, key string, body io.Reader) (elt.Object, error) {
	if strings.HasSuffix(key, "manifest.json") && g.passed.Add(1) > g.worker.Free {
		if err := g.open(ctx); err != nil {
			return elt.Object{}, err
		}
	}
	return g.lake.Put(ctx, key, body)
}

func (g *gated) open(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(g.worker.Gate); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// carry sweeps until the run has ended.
func (w worker) carry(ctx context.Context, runner *schedules.Runner, l *ledger.Ledger) error {
	workers := pool.New(w.Threads, runner.Log, runner.Work)
	defer workers.Drain()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		going, err := runner.Sweep(ctx, workers)
		if err != nil || going == 0 {
			return err
		}
		select {
		case <-workers.Done():
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// extracting is the stage of a night that only extracts.
type extracting struct {
	ledger *ledger.Ledger
	tables map[elt.DatasetName]elt.Extraction
	night  func() *extract.Night
}

func (x *extracting) Do(ctx context.Context, s elt.Step, lease elt.Lease, progress func(elt.Progress)) (elt.Result, error) {
	m, err := x.night().Extract(ctx, extract.Job{Extraction: x.tables[s.Dataset], Run: s.Run, Date: s.Date, Attempt: lease.Attempt, Lease: lease}, progress)
	if err != nil {
		return elt.Result{}, err
	}
	if err := x.ledger.SaveManifest(ctx, lease, m); err != nil {
		return elt.Result{}, err
	}
	return elt.Result{Rows: m.Rows(), Bytes: m.Bytes(), Manifest: m.ObjectKey()}, nil
}

// silent shows nobody anything.
type silent struct{}

func (silent) Started(elt.Step)                           {}
func (silent) Progressed(elt.Step, elt.Progress)          {}
func (silent) Ended(elt.Step, elt.Outcome, time.Duration) {}
