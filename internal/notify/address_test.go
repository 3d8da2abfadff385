package notify

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

func TestPrivate(t *testing.T) {
	for _, s := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "0.1.2.3", "::", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.100.100.200",
		"169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "fec0::1", "168.63.129.16", "224.0.0.1", "ff02::1",
		"255.255.255.255", "240.0.0.1", "192.0.0.192", "198.18.0.1", "203.0.113.9", "2001:db8::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1",
	} {
		if !isPrivate(netip.MustParseAddr(s)) {
			t.Errorf("%s counts as public", s)
		}
	}
	if !isPrivate(netip.Addr{}) {
		t.Error("no address at all counts as public")
	}
	for _, s := range []string{"1.1.1.1", "52.84.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1"} {
		if isPrivate(netip.MustParseAddr(s)) {
			t.Errorf("%s counts as private", s)
		}
	}
}

// The refusal comes before any packet is sent: these addresses are never reached by a test.
func TestAddressesAreCheckedWhereTheyAreDialled(t *testing.T) {
	for url, c := range map[string]struct {
		allowed bool
		want    string
	}{
		"https://169.254.169.254/latest/hunter2":   {false, "169.254.169.254 is an address of a private network"},
		"https://[::ffff:169.254.169.254]/hunter2": {false, "169.254.169.254 is an address of a private network"},
		"https://localhost/hunter2":                {false, "is an address of a private network"},
		"http://1.1.1.1/hunter2":                   {true, "1.1.1.1 is a public address, and the URL has no TLS"},
		"HTTP://[2606:4700::1111]:8080/hunter2":    {true, "2606:4700::1111 is a public address, and the URL has no TLS"},
	} {
		d := Webhook("pager", url, "0123456789abcdef")
		client := newClient(d, c.allowed, patience)
		got := d.send(t.Context(), client, failed(nil), "", time.Now())
		if got.State == elt.MessageDelivered || got.Error == nil || strings.Contains(got.Error.Message+got.Error.Do, "hunter2") {
			t.Fatalf("%s: %+v", url, got)
		}
		if c.want != "" && (got.Error.Code != "destination_private" || !strings.Contains(got.Error.Message, c.want)) {
			t.Errorf("%s: %+v", url, got.Error)
		}
		client.CloseIdleConnections()
	}
}

func TestRetryAfter(t *testing.T) {
	now := at("2026-11-21T05:12:00Z")
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "30": 30 * time.Second, "999999": time.Hour, "9999999999999": time.Hour, "soon": 0,
		"Sat, 21 Nov 2026 05:12:45 GMT": 45 * time.Second, "Sat, 21 Nov 2026 05:00:00 GMT": 0, "Sun, 21 Nov 2100 05:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("Retry-After %q is %s, want %s", value, got, want)
		}
	}
}
