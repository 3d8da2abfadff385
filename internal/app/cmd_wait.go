package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/client"
)

// Wait waits until days are ready.
type Wait struct {
	Service
	Needs   []string      `arg:"" name:"need" help:"Days, such as revenue@2026-01-05."`
	Timeout time.Duration `default:"6h" help:"How long to wait; 0 asks once."`
	As      string        `env:"DAYBREAK_WAITER" placeholder:"NAME" help:"Who waits, for the dataset's page; by default user@machine."`
	Quiet   bool          `short:"q" help:"Say nothing; only exit."`
}

// Help is the long help of the command.
func (Wait) Help() string {
	return `Returns as soon as every day is ready, or as soon as waiting has become pointless because something failed: the first line of a job that needs data.

Exit codes: 0 ready; 1 impossible without a person, with the root cause; 2 timeout; 3 unknown, nobody can vouch for it. Everything else that goes wrong exits with 64 or more.

  daybreak wait revenue@2026-01-05 && ./report.sh
  daybreak wait --url https://data.example.com --timeout 2h shop.users@2026-01-05 revenue@2026-01-05`
}

// Run runs the command.
func (w *Wait) Run(ctx context.Context, g *Globals, c *Console) error {
	needs := make([]client.Need, len(w.Needs))
	for i, text := range w.Needs {
		need, err := client.ParseNeed(text)
		if err != nil {
			return &elt.Error{Code: "bad_need", Class: elt.Config, What: err.Error(), Do: "write each need as dataset@date"}
		}
		needs[i] = need
	}
	service, stop, err := w.client(ctx, g, c.Logger(g, slog.LevelError))
	if err != nil {
		return err
	}
	service.As(cmp.Or(w.As, here()))
	gate, err := w.ask(ctx, c, service, needs)
	if ended := stop(); err == nil {
		err = ended
	}
	if client.IsUnknown(err) {
		w.say(c, "unknown: %v\n", err)
		return exitStatus(ExitUnknown)
	}
	if err != nil {
		return clientError(err)
	}
	for _, n := range gate.Needs {
		w.say(c, "%s %s: %s\n", n.Verdict, client.Need{Dataset: n.Dataset, Date: n.Date}, n.Reason)
	}
	return exitStatus(gateExit(gate))
}

// here names this user on this machine.
func here() string {
	host, err := os.Hostname()
	if err != nil {
		return actor()
	}
	return actor() + "@" + host
}

// stillSo is for how long what the service said last can be told as its answer: the age at which it vouches for nothing
// itself.
const stillSo = 30 * time.Second

func (w *Wait) ask(ctx context.Context, c *Console, service *client.Client, needs []client.Need) (api.Gate, error) {
	gate, err := service.Ready(ctx, needs...)
	if w.Timeout <= 0 || err == nil && (gate.Verdict == api.Ready || gate.Verdict == api.Impossible) {
		return gate, err
	}
	answered := err == nil
	if answered {
		w.tell(ctx, c, service, gate)
	}
	asked := time.Now()
	within, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	later, err := service.Wait(within, needs...)
	// Who waits for a moment only may be out of time before the next answer: the one before is known all the same.
	if answered && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && time.Since(asked) < stillSo {
		gate.TimedOut = true
		return gate, nil
	}
	return later, err
}

// tell says on standard error what is waited for, when it is expected, and how often that was kept.
func (w *Wait) tell(ctx context.Context, c *Console, service *client.Client, gate api.Gate) {
	const told = 10 // more of them nobody reads
	for _, n := range gate.Needs[:min(len(gate.Needs), told)] {
		if w.Quiet || n.Verdict == api.Ready {
			continue
		}
		line := n.Reason
		if n.Day != nil {
			if d, err := service.Dataset(ctx, n.Dataset); err == nil && d.Headline.Latest.Date == n.Date && !d.ExpectedAt.IsZero() {
				line += " " + d.EstimateRecord.String() + "."
			}
		}
		fmt.Fprintf(c.Err, "waiting for %s: %s\n", client.Need{Dataset: n.Dataset, Date: n.Date}, line)
	}
}

func (w *Wait) say(c *Console, format string, args ...any) {
	if !w.Quiet {
		c.printf(format, args...)
	}
}

// gateExit is the exit code of a gate's verdict.
func gateExit(gate api.Gate) int {
	switch gate.Verdict {
	case api.Ready:
		return ExitOK
	case api.Impossible:
		return ExitImpossible
	case api.Unknown:
		return ExitUnknown
	}
	return ExitTimeout
}
