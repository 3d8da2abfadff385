package app

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/schedules"
)

// tickerVariable names the workspace over which the test binary is another process that schedules.
const tickerVariable = "DAYBREAK_APP_TEST_TICKER"

func TestMain(m *testing.M) {
	dir := os.Getenv(tickerVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := tickAlong(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	tickers   = 20 // goroutines of each process
	tickDates = 8
)

// tickAlong has many schedulers of this process look at each of the coming days, all of them at the same time, with no
// regard to who leads.
func tickAlong(ctx context.Context, dir string) error {
	ws, err := loadWorkspace(ctx, dir)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	p, err := (&parts{ws: ws, log: log, extractsOnly: true}).open(ctx, logLines{log})
	if err != nil {
		return err
	}
	defer p.close(log)
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	var all sync.WaitGroup
	failures := make(chan error, tickers*tickDates)
	for range tickers {
		all.Go(func() {
			clock := &clocked{Ledger: p.ledger}
			s := &schedules.Scheduler{Schedules: ws.schedules, Ledger: clock, Controls: clock, Going: p.ledger, Starter: p.nights, Log: log}
			for i := range tickDates {
				clock.now = time.Date(2026, 1, 10+i, 12, 0, 0, 0, time.UTC)
				if err := s.Tick(ctx); err != nil {
					failures <- err
				}
			}
		})
	}
	all.Wait()
	close(failures)
	return <-failures
}

// Three processes of twenty schedulers each look at the same days at the same time, as if each led: every date has one run,
// and one tick.
func TestThreeProcessesOfSchedulersMakeOneRunForEachDate(t *testing.T) {
	t.Parallel()
	dir, dsn := t.TempDir(), testenv.Postgres(t).URL
	for name, content := range map[string]string{
		"daybreak.yaml": "ledger: ${env:LEDGER_URL}\nsources: {shop: {sqlite: shop.db}}\n",
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
catch_up: all
overlap: queue
owners: [a@example.com, b@example.com]
tables:
  shop.users: {mode: full, key: [id]}
`,
	} {
		if err := makeFolders(ownFolder, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type process struct {
		cmd *exec.Cmd
		in  interface{ Write([]byte) (int, error) }
		out strings.Builder
	}
	var processes []*process
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // who waits for it waits no longer
		t.Cleanup(cancel)
		c := &process{cmd: exec.CommandContext(ctx, os.Args[0])}
		c.cmd.Env = append(os.Environ(), tickerVariable+"="+dir, "LEDGER_URL="+dsn)
		c.cmd.Stderr = &c.out
		in, err := c.cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // it may have ended
		c.in = in
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("a process said %q: %v\n%s", line, err, c.out.String())
		}
		processes = append(processes, c)
	}
	for _, c := range processes {
		if _, err := c.in.Write([]byte("go\n")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range processes {
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("a process ended with %v\n%s", err, c.out.String())
		}
	}
	book, err := ledger.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	runs, err := book.Runs(t.Context(), elt.RunFilter{})
	if err != nil {
		t.Fatal(err)
	}
	ticks, err := book.Ticks(t.Context(), "nightly", 100)
	if err != nil {
		t.Fatal(err)
	}
	byDate := make(map[string]int)
	for _, r := range runs {
		byDate[r.Date.String()]++
	}
	want := make(map[string]int)
	for _, tick := range ticks {
		if tick.Run != "" {
			want[tick.Date.String()]++
		}
	}
	if diff := cmp.Diff(want, byDate); diff != "" || len(runs) < tickDates-1 {
		t.Errorf("%d runs; dates by their ticks and by their runs (-ticks +runs):\n%s", len(runs), diff)
	}
}
