package testenv_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// TestPortsOfAnotherProcess is the process that TestNoTwoTestsTakeOnePort asks for ports; on its own it has nothing to do.
func TestPortsOfAnotherProcess(t *testing.T) {
	if os.Getenv("TESTENV_TAKE_PORTS") == "" {
		return
	}
	for range 100 {
		fmt.Println(testenv.NobodyListens(t))
	}
	fmt.Println("taken")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until the other has compared
		t.Error(err)
	}
}

func TestNoTwoTestsTakeOnePort(t *testing.T) {
	other := exec.Command(os.Args[0], "-test.run=^TestPortsOfAnotherProcess$")
	other.Env = append(os.Environ(), "TESTENV_TAKE_PORTS=yes")
	held, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	taken := make(map[string]bool)
	for line := ""; line != "taken"; {
		if _, err := fmt.Fscanln(out, &line); err != nil {
			t.Fatal(err)
		}
		taken[line] = true
	}
	for range 100 {
		address := testenv.NobodyListens(t)
		if taken[address] {
			t.Errorf("%s was taken twice", address)
		}
		taken[address] = true
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(out)
	if err := errors.Join(err, other.Wait()); err != nil {
		t.Errorf("%v\n%s", err, rest)
	}
}

// TestOutgoingConnectionsTakeNoServersPort tries what the ports are for: the system has none of them to give away.
func TestOutgoingConnectionsTakeNoServersPort(t *testing.T) {
	port := strings.TrimPrefix(testenv.NobodyListens(t), "127.0.0.1:")
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var mine, first, last int
	if _, err := fmt.Sscan(port+" "+string(text), &mine, &first, &last); err != nil {
		t.Fatal(err)
	}
	if first >= 16_000 && mine >= first {
		t.Errorf("port %d is one of those from %d to %d, which connections get", mine, first, last)
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		conn.Close()
		t.Errorf("somebody listens on port %d", mine)
	}
}
