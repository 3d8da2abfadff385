package testenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The ports that tests take for their servers, from the first to the last but one. The system gives outgoing connections
// ports from above: a server that is down for a moment keeps its own.
const firstPort, endOfPorts = 15000, 32768

// ports is how many ports a server is tried on before its start is given up.
const ports = 5

// freePort returns a port of the loopback interface that nobody listens on, and that no other test takes until this
// process is gone. A program that is none of ours may take it before the caller does, so the caller tries again with
// another.
func freePort() (int, error) {
	dir := filepath.Join(os.TempDir(), "daybreak-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("make a folder for the ports that are taken: %w", err)
	}
	size := portsBelowOutgoing() - firstPort
	for first, n := rand.IntN(size), 0; n < size; n++ {
		port := firstPort + (first+n)%size
		claimed, err := claim(filepath.Join(dir, strconv.Itoa(port)))
		if err != nil {
			return 0, err
		}
		if claimed && unused(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("every port from %d to %d of the loopback interface is taken", firstPort, firstPort+size-1)
}

// claim locks the file for as long as this process lives, and tells whether nobody else has. The descriptor is never
// closed: the system lets go of it with the process.
func claim(path string) (bool, error) {
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	switch err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false, syscall.Close(fd)
	case err != nil:
		return false, errors.Join(fmt.Errorf("lock %s: %w", path, err), syscall.Close(fd))
	}
	return true, nil
}

func unused(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	return err == nil && l.Close() == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// portsBelowOutgoing is where the tests' ports end: where this system's for outgoing connections begin, unless that leaves
// too few.
func portsBelowOutgoing() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return endOfPorts // not Linux, whose range begins there unless somebody has moved it
	}
	low, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\t")
	begin, err := strconv.Atoi(low)
	if err != nil || begin < firstPort+1000 {
		return endOfPorts
	}
	return min(begin, endOfPorts)
}

// NobodyListens returns an address of the loopback interface, host:port, on which nobody listens, and no test will.
func NobodyListens(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return loopback(port)
}
