package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// closed are the ranges that no message goes to unless private addresses are allowed, beside what netip itself calls
// private, loopback, link-local or multicast: https://www.iana.org/assignments/iana-ipv4-special-registry and its
// IPv6 sibling. Ranges that hold IPv4 addresses inside are among them, as is the metadata address of Azure.
var closed = []string{
	"0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10",
}

// isPrivate reports whether an address belongs to this machine, to a private network, to a cloud's metadata or to
// nobody at all.
func isPrivate(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return true
	}
	for _, prefix := range closed {
		if netip.MustParsePrefix(prefix).Contains(a) {
			return true
		}
	}
	return false
}

// errAddress is the refusal to open a connection.
type errAddress struct{ what string }

func (e *errAddress) Error() string { return e.what }

// newClient returns the client for one destination. The address is checked where it is dialled, after its name was
// resolved, so that no name can lead elsewhere later; for the same reason there is no proxy and no redirect is
// followed. Without TLS, nothing but a private address is dialled.
func newClient(d Destination, allowPrivate bool, timeout time.Duration) *http.Client {
	plain := !strings.HasPrefix(strings.ToLower(d.url), "https:")
	dialer := &net.Dialer{
		Timeout: timeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return &errAddress{fmt.Sprintf("%s is no address", address)}
			}
			switch private := isPrivate(at.Addr()); {
			case private && !allowPrivate:
				return &errAddress{fmt.Sprintf("%s is an address of a private network", at.Addr())}
			case !private && plain:
				return &errAddress{fmt.Sprintf("%s is a public address, and the URL has no TLS", at.Addr())}
			}
			return nil
		},
	}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, MaxResponseHeaderBytes: maxAnswer,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
	}
}

// unanswered judges a request that got no answer. The error itself is never kept: it quotes the URL.
func (d Destination) unanswered(err error) elt.Delivery {
	if refused, ok := errors.AsType[*errAddress](err); ok {
		if d.lineage != nil {
			return withClass(elt.Config, later("destination_private", fmt.Sprintf("%s is not connected to: %s", d.name, refused.what),
				"correct openlineage.url, or set notify.allow_private if it is meant", 0))
		}
		return gaveUp("destination_private", elt.Config, fmt.Sprintf("%s is not connected to: %s", d.name, refused.what),
			"correct its URL, or set notify.allow_private if it is meant")
	}
	return later("destination_unreachable", fmt.Sprintf("%s cannot be reached: %s", d.name, reason(err)),
		"nothing: it is tried again; if it stays, check its URL and the network", 0)
}

// reason says in a few words why there was no answer.
func reason(err error) string {
	var timeout net.Error
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return "its certificate is not trusted"
	case errors.As(err, &name):
		return "its host's name cannot be resolved"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time"
	case errors.Is(err, context.Canceled):
		return "this process was stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was cut"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to its address"
	}
	return "the connection failed"
}
