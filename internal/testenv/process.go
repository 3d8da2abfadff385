package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// keeper is a shell that runs the end of a script when the test process closes its pipe or dies.
type keeper struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// untilGone is the line of a keeper's script that returns when the test process is gone.
const untilGone = `cat >/dev/null`

// keep starts the script, whose $1, $2, … are args. It has a session of its own, so that an interrupt
// from the terminal ends the test process and leaves the clean-up to the script.
func keep(script string, args ...string) (*keeper, error) {
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	return &keeper{cmd, pipe}, nil
}

// end runs the rest of the script and waits for it. The script's exit code tells nothing: it ends with
// servers that may be gone already.
func (k *keeper) end() error {
	closed := k.pipe.Close()
	var exit *exec.ExitError
	if err := k.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("end keeper: %w", err)
	}
	return closed
}

// patience is how long a server may take to start, or to do what it is told, on a machine that does much else.
const patience = 5 * time.Minute

// moduleDir returns the root of the source tree, which this file is part of.
func moduleDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("the tests were built with -trimpath: the source tree cannot be found")
	}
	dir := filepath.Join(filepath.Dir(file), "..", "..")
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	return dir, nil
}

// awaitOK asks for the URL until it answers 200.
func awaitOK(url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		last := "no answer"
		if res, err := http.DefaultClient.Do(req); err == nil {
			if err := res.Body.Close(); err != nil {
				return err
			}
			if res.StatusCode == http.StatusOK {
				return nil
			}
			last = res.Status
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %s within %s", url, last, limit)
		case <-tick.C:
		}
	}
}

// tool returns the path of a program of the module of test tools beside this file, which the go command builds
// and caches.
func tool(pkg string) (string, error) {
	root, err := moduleDir()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "-C", filepath.Join(root, "internal", "testenv", "tools"), "tool", "-n", pkg)
	// What the caller builds for, -race or another system, is not what the tool is built for.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GOFLAGS=") || strings.HasPrefix(v, "GOOS=") || strings.HasPrefix(v, "GOARCH=")
	}), "GOFLAGS=-buildvcs=false")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build %s, of the test tools; run once with a network: %s: %w\n%s", pkg, cmd, err, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}
