package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ToxiproxyServer makes proxies that stand between a client and a server of this machine and do to their
// connections what networks do.
type ToxiproxyServer struct {
	api     string  // "http://127.0.0.1:41234"
	keeper  *keeper // held, for its pipe would be closed with it
	proxies atomic.Int64
}

// sharedToxiproxy is the one server of the test process; its keeper ends it with the process.
var sharedToxiproxy = sync.OnceValues(startToxiproxy)

// Toxiproxy returns the server that all tests of this process share. Each test has proxies of its own.
func Toxiproxy(t testing.TB) *ToxiproxyServer {
	t.Helper()
	s, err := sharedToxiproxy()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Proxy is one address behind which a server answers. All of its methods may be called from any goroutine.
type Proxy struct {
	// Addr is the host:port that clients connect to instead of the server's own.
	Addr string
	// URL is the URL that Before was given, with Addr in it; empty if that was a bare host:port.
	URL string

	at     string // the proxy in the API
	toxics atomic.Int64
}

// Before puts a proxy before a server of the loopback interface, which is named by a URL of any scheme, such as
// PostgresServer.URL or S3Server.Endpoint, or by host:port. The proxy goes with the test.
func (s *ToxiproxyServer) Before(t testing.TB, server string) *Proxy {
	t.Helper()
	address, parsed := server, (*url.URL)(nil)
	if strings.Contains(server, "://") {
		var err error
		if parsed, err = url.Parse(server); err != nil {
			t.Fatal(err)
		}
		address = parsed.Host
	}
	name := fmt.Sprintf("proxy-%d", s.proxies.Add(1))
	var err error
	var made struct{ Listen string }
	for range ports { // a port of the proxy's own, that it has again after a cut
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		if err = call(t, http.MethodPost, s.api+"/proxies", map[string]any{"name": name, "listen": loopback(port), "upstream": address}, &made); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: made.Listen, at: s.api + "/proxies/" + name}
	if parsed != nil {
		parsed.Host = p.Addr
		p.URL = parsed.String()
	}
	t.Cleanup(func() {
		if err := call(t, http.MethodDelete, p.at, nil, nil); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Cut ends every connection at once and refuses new ones, until Restore.
func (p *Proxy) Cut(t testing.TB) { p.enable(t, false) }

// Restore takes connections again.
func (p *Proxy) Restore(t testing.TB) { p.enable(t, true) }

func (p *Proxy) enable(t testing.TB, enabled bool) {
	t.Helper()
	if err := call(t, http.MethodPost, p.at, map[string]any{"enabled": enabled}, nil); err != nil {
		t.Error(err)
	}
}

// Direction is a way through a proxy.
type Direction string

// The two directions, as seen by the client.
const (
	Answers  Direction = "downstream" // from the server
	Requests Direction = "upstream"   // to the server
)

// Toxic is what a proxy does to the connections that it has and will have, until it is removed.
type Toxic struct {
	kind       string
	attributes map[string]int64
}

// Latency delays everything.
func Latency(by time.Duration) Toxic {
	return Toxic{"latency", map[string]int64{"latency": by.Milliseconds()}}
}

// Bandwidth lets through that many kilobytes a second.
func Bandwidth(kilobytes int64) Toxic {
	return Toxic{"bandwidth", map[string]int64{"rate": kilobytes}}
}

// HalfOpen lets nothing through and tells nobody: the connection stays open as if the other side were gone.
// Removing it ends the connections that it was on.
func HalfOpen() Toxic { return Toxic{"timeout", map[string]int64{"timeout": 0}} }

// ResetPeer ends a connection with the next bytes that come; one that was opened after it was added ends with a TCP
// reset.
func ResetPeer() Toxic { return Toxic{"reset_peer", map[string]int64{"timeout": 0}} }

// LimitData ends a connection once that many bytes went through it, counted from now on.
func LimitData(size int64) Toxic { return Toxic{"limit_data", map[string]int64{"bytes": size}} }

// Add begins to do the toxic to one direction, and returns what ends it; that may be left to the end of the test.
func (p *Proxy) Add(t testing.TB, toxic Toxic, to Direction) (remove func()) {
	t.Helper()
	name := fmt.Sprintf("%s-%d", toxic.kind, p.toxics.Add(1))
	err := call(t, http.MethodPost, p.at+"/toxics", map[string]any{
		"name": name, "type": toxic.kind, "stream": to, "toxicity": 1, "attributes": toxic.attributes,
	}, nil)
	if err != nil {
		t.Error(err)
	}
	return func() {
		if err := call(t, http.MethodDelete, p.at+"/toxics/"+name, nil, nil); err != nil {
			t.Error(err)
		}
	}
}

// call asks the API, again where no answer came: the server hangs up on who has said nothing for a while, and either may have
// stood still meanwhile. It has no part in the test's context, which is over when clean-up runs.
func call(t testing.TB, method, address string, body, answer any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	for tried := 1; ; tried++ {
		status, text, err := askOnce(ctx, method, address, body)
		again := tried > 1
		switch made, _ := body.(map[string]any); {
		case err != nil && ctx.Err() == nil && tried < 10 && !errors.Is(err, syscall.ECONNREFUSED):
			continue
		case err != nil:
			return fmt.Errorf("toxiproxy: %w", err)
		case again && status == http.StatusNotFound && method == http.MethodDelete: // the first time it was heard
			return nil
		case again && status == http.StatusConflict && made["name"] != nil: // likewise
			method, address, body = http.MethodGet, fmt.Sprint(address, "/", made["name"]), nil
			continue
		case status >= http.StatusBadRequest:
			return fmt.Errorf("toxiproxy: %s %s: %d: %s", method, address, status, text)
		case answer == nil:
			return nil
		}
		return json.Unmarshal(text, answer)
	}
}

// askOnce returns the API's answer.
func askOnce(ctx context.Context, method, address string, body any) (status int, text []byte, err error) {
	if text, err = json.Marshal(body); err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	return res.StatusCode, text, err
}

func startToxiproxy() (*ToxiproxyServer, error) {
	program, err := tool("github.com/Shopify/toxiproxy/v2/cmd/server")
	if err != nil {
		return nil, err
	}
	for range ports {
		var port int
		if port, err = freePort(); err != nil {
			return nil, err
		}
		s := &ToxiproxyServer{api: fmt.Sprintf("http://127.0.0.1:%d", port)}
		if err = s.start(program, port); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// start runs the server until this process is gone.
func (s *ToxiproxyServer) start(program string, port int) error {
	dir, err := os.MkdirTemp("", "daybreak-toxiproxy-")
	if err != nil {
		return fmt.Errorf("make a folder for toxiproxy: %w", err)
	}
	// A proxy that only this server has tells its answers from another's on this port.
	mark := filepath.Base(dir)
	config := fmt.Sprintf(`[{"name": %q, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:0", "enabled": false}]`, mark)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		return fmt.Errorf("configure toxiproxy: %w", err)
	}
	s.keeper, err = keep(`dir=$1; shift; cd "$dir"; "$@" >log 2>&1 & server=$!; `+untilGone+`; kill -9 $server; rm -rf -- "$dir"`,
		dir, "env", "-i", "LOG_LEVEL=warn", program, "-host", "127.0.0.1", "-port", strconv.Itoa(port), "-config", "config.json")
	if err != nil {
		return err
	}
	if err := awaitOK(s.api+"/proxies/"+mark, patience); err != nil {
		log, readErr := os.ReadFile(filepath.Join(dir, "log"))
		return errors.Join(fmt.Errorf("start toxiproxy: %w\n%s", err, log), readErr, s.keeper.end())
	}
	return nil
}
