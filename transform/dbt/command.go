package dbt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Command says how the team's dbt is called.
type Command struct {
	Program string   // a name on PATH, or a path
	Project string   // the folder of the project
	Env     []string // the whole environment
	Log     *slog.Logger
}

// ended is how a dbt process ended.
type ended struct {
	code   int    // its exit code; -1 when a signal ended it
	signal string // which
	said   string // its last word on why it could not go on; empty when it did
	tail   string // the end of what it wrote that is no log
}

// stopTime is how long a dbt that is asked to stop may take to let go of its connections.
const stopTime = 10 * time.Second

// run runs dbt to its end and calls on for each event of its log. It ends with ctx, and on Linux with this process.
func (c Command) run(ctx context.Context, args []string, on func(event)) (ended, error) {
	program, err := exec.LookPath(c.Program)
	if err != nil {
		return ended{}, notFound(c.Program, err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return ended{}, notFound(c.Program, err)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = c.Project, c.Env
	cmd.SysProcAttr = apart()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	var result ended
	var errs tailWriter
	cmd.Stderr = &errs
	// Where the kernel ends dbt with its parent, the parent is the thread that started it.
	finished := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		finished <- func() error {
			out, err := cmd.StdoutPipe()
			if err != nil {
				return err
			}
			if err := cmd.Start(); err != nil {
				return notFound(c.Program, err)
			}
			c.Log.Debug("dbt started", "pid", cmd.Process.Pid, "args", args)
			tail, readErr := readEvents(out, func(e event) {
				if e.Info.Name == mainError {
					result.said = strings.TrimSpace(strings.TrimPrefix(e.Info.Msg, "Encountered an error:"))
				}
				on(e)
			})
			result.tail = tail
			return errors.Join(cmd.Wait(), readErr)
		}()
	}()
	err = <-finished
	if killed := syscall.Kill(-pidOf(cmd), syscall.SIGKILL); killed != nil && !errors.Is(killed, syscall.ESRCH) && cmd.Process != nil {
		c.Log.Warn("processes that dbt started may go on", "error", killed)
	}
	result.tail = strings.TrimSpace(result.tail + "\n" + errs.String())
	if ctx.Err() != nil {
		return result, fmt.Errorf("dbt was stopped: %w", context.Cause(ctx))
	}
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed && !errors.Is(err, exec.ErrWaitDelay) {
		return result, err
	}
	if failed {
		result.code = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			result.signal = status.Signal().String()
		}
	}
	return result, nil
}

// pidOf returns the process's group, or one that never is where none was started.
func pidOf(cmd *exec.Cmd) int {
	if cmd.Process == nil {
		return 1 << 30
	}
	return cmd.Process.Pid
}

func notFound(program string, err error) error {
	why := "it is not on PATH"
	switch {
	case errors.Is(err, fs.ErrPermission):
		why = "it may not be executed"
	case strings.ContainsRune(program, filepath.Separator):
		why = err.Error()
	}
	return &elt.Error{
		Code: CodeNotFound, Class: elt.Config, What: fmt.Sprintf("cannot run %s: %s", program, why),
		Do: "install dbt with the adapter of the warehouse (pip install dbt-core dbt-duckdb), or say where it is with models.dbt_command",
	}
}

// Environment returns this process's environment for dbt: without the variables to which daybreak.yaml refers, which
// are secrets of Daybreak's own, and with what is added.
func Environment(environ, without []string, add map[string]string) []string {
	out := slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, replaced := add[name]
		return replaced || slices.Contains(without, name)
	})
	for name, value := range add {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// with returns the environment with more variables.
func with(env []string, more map[string]string) []string {
	out := slices.Clone(env)
	for name, value := range more {
		out = append(out, name+"="+value)
	}
	return out
}

// tailWriter keeps the end of what is written to it.
type tailWriter struct{ b []byte }

const tailBytes = 4 << 10

func (w *tailWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	if len(w.b) > 2*tailBytes {
		w.b = slices.Clone(w.b[len(w.b)-tailBytes:])
	}
	return len(p), nil
}

func (w *tailWriter) String() string { return strings.TrimSpace(string(w.b)) }

// writeFile writes a file of Daybreak's own, which nobody else need read.
func writeFile(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}
