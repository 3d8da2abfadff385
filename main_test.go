package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what should happen soon before something is held to be wrong: nothing of it is lost on
// a quiet machine, and a busy one is slow. For what processes take longer, they have processTime.
const patience = 5 * time.Minute

// firstProcess is when each test that goes on has started its first process, by its *testing.T.
var firstProcess sync.Map

// timeIsUp is when the processes of a test have had their processTime. Those that are at work then are told to say where they
// are, and no other is started. So no test waits for a process, or calls one again and again, for ever.
func timeIsUp(t *testing.T) time.Time {
	first, known := firstProcess.LoadOrStore(t, time.Now())
	if !known {
		t.Cleanup(func() { firstProcess.Delete(t) })
	}
	return first.(time.Time).Add(processTime)
}

// asProgram makes the test binary behave as daybreak itself, so that tests run the real program as processes of
// their own, with the race detector where the tests have it.
const asProgram = "DAYBREAK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		if err := armFailpoints(); err != nil {
			panic(err)
		}
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	if os.Getenv(asClients) == "1" {
		if err := clients(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(tests(m))
}

// tests runs the tests, with a folder for what they share.
func tests(m *testing.M) (code int) {
	var err error
	if fixtures, err = os.MkdirTemp("", "daybreak-fixtures-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(fixtures); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	if err := atOnce(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// mostlyWaiting is how many tests run at the same time unless -parallel says it: most of what they do is to wait for
// processes, which wait for each other.
const mostlyWaiting = 4

func atOnce() error {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given || runtime.GOMAXPROCS(0) >= mostlyWaiting {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(mostlyWaiting))
}

// program returns the command of a daybreak process in dir, with an empty HOME and no environment but env.
func program(ctx context.Context, t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(ctx, timeIsUp(t))
	t.Cleanup(cancel)
	if ctx.Err() != nil {
		t.Fatalf("daybreak %s is not started: %v; the test's processes have had %s", strings.Join(args, " "), ctx.Err(), processTime)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Dir = dir
	cmd.Cancel = func() error {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("daybreak %s is at work when the test's processes have had %s", strings.Join(args, " "), processTime)
		}
		return cmd.Process.Signal(syscall.SIGQUIT) // who hangs says where
	}
	cmd.WaitDelay = time.Minute
	// The race detector would let every process sleep for a second at its end.
	cmd.Env = append([]string{asProgram + "=1", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}, env...)
	return cmd
}

// command returns the command of a program that is not daybreak.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), timeIsUp(t))
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Minute // what it has started may hold its output
	return cmd
}

// answer is how a process ended.
type answer struct {
	code        int
	out, errors string
}

// do runs daybreak to its end.
func do(t *testing.T, dir string, env []string, args ...string) answer {
	t.Helper()
	return toItsEnd(t, program(t.Context(), t, dir, env, args...))
}

// toItsEnd runs a program that daybreak is.
func toItsEnd(t *testing.T, cmd *exec.Cmd) answer {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || !time.Now().Before(timeIsUp(t)) {
		t.Fatalf("daybreak %s: %v\n%s%s", strings.Join(cmd.Args[1:], " "), err, out.String(), errs.String())
	}
	return answer{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// wasKilled reports whether a process that has ended died by SIGKILL.
func wasKilled(p *os.ProcessState) bool {
	status, ok := p.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// must runs daybreak and fails the test unless it exits with 0.
func must(t *testing.T, dir string, env []string, args ...string) answer {
	t.Helper()
	a := do(t, dir, env, args...)
	if a.code != 0 {
		t.Fatalf("daybreak %s: exit %d\n%s%s", strings.Join(args, " "), a.code, a.out, a.errors)
	}
	return a
}

func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	help := must(t, t.TempDir(), nil, "--help").out
	for _, want := range []string{"To begin", "The night", "To ask", "To put right", "daybreak demo", "daybreak wait"} {
		if !strings.Contains(help, want) {
			t.Errorf("--help does not say %q:\n%s", want, help)
		}
	}
	for _, command := range []string{"demo", "init", "discover", "check", "plan", "run", "serve", "status", "wait", "verify", "query", "version", "rollback", "withdraw", "allow", "load", "gc", "audit", "ledger", "doctor"} {
		if h := must(t, t.TempDir(), nil, command, "--help").out; len(h) < 200 {
			t.Errorf("%s --help teaches little:\n%s", command, h)
		}
	}
	if bare := do(t, t.TempDir(), nil); bare.out != help || bare.code != 0 {
		t.Errorf("daybreak alone exits with %d and says:\n%s", bare.code, bare.out)
	}
}

func TestAWrongCommandLineExitsWith64(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"rnu"}, {"run", "--dat", "2026-01-05"}, {"query"}, {"wait"}} {
		a := do(t, t.TempDir(), nil, args...)
		if a.code != 64 || !strings.Contains(a.errors, "daybreak: ") {
			t.Errorf("daybreak %s: exit %d, want 64: %s", strings.Join(args, " "), a.code, a.errors)
		}
	}
}
