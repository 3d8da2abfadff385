// Daybreak runs the nightly ELT of a data team and answers, for everybody else: is my data ready, and if
// not, when?
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // schedules need zones where the machine has none

	"github.com/alecthomas/kong"

	"github.com/daybreak-data/daybreak/internal/app"
)

// commandLine is the table of contents: each command is one short file of internal/app.
type commandLine struct {
	app.Globals

	Demo     app.Demo     `cmd:"" group:"begin" help:"Try it: make a workspace, run seven nights, serve the status page."`
	Init     app.Init     `cmd:"" group:"begin" help:"Write a first daybreak.yaml and the folders beside it."`
	Discover app.Discover `cmd:"" group:"begin" help:"Print a schedule for the tables of a source."`
	Check    app.Check    `cmd:"" group:"begin" help:"Name every problem of the workspace at once."`
	Doctor   app.Doctor   `cmd:"" group:"begin" help:"Look at everything that a night will need, and say what is wrong with it."`

	Plan    app.Plan    `cmd:"" group:"night" help:"Show what a run would do, and ask nothing of production but its catalog."`
	Ls      app.Ls      `cmd:"" group:"night" help:"List the datasets that a selection means."`
	Compile app.Compile `cmd:"" group:"night" help:"Print a model's SQL as it will run."`
	Run     app.Run     `cmd:"" group:"night" help:"Run a night now: extract, load, verify, transform, test, publish."`
	Serve   app.Serve   `cmd:"" group:"night" help:"Run the schedules and serve the status page and API."`
	Worker  app.Worker  `cmd:"" group:"night" help:"Work at the steps of runs, beside other workers on any machines."`

	StatusServer app.StatusServer `cmd:"" group:"night" help:"Serve the status page and API alone, beside or without a pipeline."`

	Schedules   app.Schedules   `cmd:"" group:"night" help:"List, pause, resume and trigger schedules."`
	Maintenance app.Maintenance `cmd:"" group:"night" help:"Announce, list and end times in which data will not come."`

	Backfill app.Backfill `cmd:"" group:"repair" help:"Bring days of the past: plan, look, confirm; pause, resume, cancel, retry."`
	Rollback app.Rollback `cmd:"" group:"repair" help:"Show the version before again."`
	Withdraw app.Withdraw `cmd:"" group:"repair" help:"Mark a day as bad: its gates answer impossible."`
	Allow    app.Allow    `cmd:"" group:"repair" help:"Let a day pass once that a guard holds back."`
	Load     app.Load     `cmd:"" group:"repair" help:"Load from the lake again, or rebuild a lost warehouse, without touching production."`
	GC       app.GC       `cmd:"" name:"gc" group:"repair" help:"Drop what nobody needs any more."`
	Ledger   app.Ledger   `cmd:"" group:"repair" help:"Back up the ledger, check a backup, restore one."`
	Audit    app.Audit    `cmd:"" group:"repair" help:"List what people did: who, when, why."`

	Status app.Status `cmd:"" group:"ask" help:"Say how far every dataset is."`
	Wait   app.Wait   `cmd:"" group:"ask" help:"Wait until days are ready; exit 0 ready, 1 impossible, 2 timeout, 3 unknown."`
	Test   app.Test   `cmd:"" group:"ask" help:"Run the tests of published data now."`
	Verify app.Verify `cmd:"" group:"ask" help:"Compare a published dataset with what was extracted for it."`
	Query  app.Query  `cmd:"" group:"ask" help:"Run SQL on the published warehouse, read-only."`

	Quarantine app.Quarantine `cmd:"" group:"ask" help:"Show the rows that a dataset's extraction has left out."`

	Token app.Token `cmd:"" group:"people" help:"Make, list and revoke the tokens of the status service."`

	Version app.Version `cmd:"" group:"ask" help:"Print the version."`
}

var groups = []kong.Group{
	{Key: "begin", Title: "To begin"},
	{Key: "night", Title: "The night"},
	{Key: "ask", Title: "To ask"},
	{Key: "repair", Title: "To put right"},
	{Key: "people", Title: "Who may"},
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	var line commandLine
	exited := -1
	parser, err := kong.New(&line,
		kong.Name("daybreak"),
		kong.Description(app.About),
		kong.ExplicitGroups(groups),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		fmt.Fprintln(stderr, "daybreak:", err)
		return app.ExitInternal
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help has printed what was asked for
		return exited
	}
	if err != nil {
		if parseErr, ok := errors.AsType[*kong.ParseError](err); ok {
			fmt.Fprintf(stderr, "daybreak: %v; see %s --help\n", err, meant(parseErr))
			return app.ExitUsage
		}
		return app.Report(stderr, err)
	}
	// A file that reaches a limit on its size is an error to tell, like a full disk, and no reason to be killed.
	signal.Ignore(syscall.SIGXFSZ)
	ctx, stop := untilSignal(context.Background())
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(&line.Globals, &app.Console{Out: stdout, Err: stderr})
	return app.Report(stderr, command.Run())
}

// meant is the command that was begun to be written, as it is called for its help.
func meant(err *kong.ParseError) string {
	name := []string{"daybreak"}
	for _, step := range err.Context.Path {
		if step.Command != nil {
			name = append(name, step.Command.Name)
		}
	}
	return strings.Join(name, " ")
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, which asks for an orderly end. By then
// signals do again what they do to any process, so that a second one ends it at once.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}
