package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// line is the connection beneath a session. A connection can be open and carry nothing any more; so a Read that has
// waited for a while asks, over another one, whether the server is still at work on the statement.
type line struct {
	net.Conn
	session *session
}

func (l *line) Read(b []byte) (int, error) {
	for {
		if err := l.SetReadDeadline(time.Now().Add(l.session.source.opts.Silence)); err != nil {
			return 0, err
		}
		n, err := l.Conn.Read(b)
		var timeout net.Error
		if n > 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
			return n, err
		}
		if !l.session.atWork() {
			return 0, l.session.source.silent()
		}
	}
}

// silent returns the error of a connection that is open and carries nothing.
func (s *Source) silent() error {
	return lost.error(nil, "source %s has said nothing for %s", s.opts.Name, s.opts.Silence)
}

// soon limits what a server must answer quickly, waiting for locks included.
func (s *Source) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.opts.Budget.LockTimeout+s.opts.Silence, s.silent())
}

// atWork reports whether the server is busy with the session's statement, and not with sending what never arrives.
func (w *session) atWork() bool {
	if w.id == "" { // it has not begun
		return false
	}
	ctx, cancel := w.source.patient()
	defer cancel()
	other := &session{source: w.source}
	if err := other.open(ctx); err != nil {
		return false
	}
	defer other.hangUp()
	rows, err := other.list(ctx, "SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = "+w.id+" AND COMMAND <> 'Sleep'")
	return err == nil && len(rows) > 0 && rows[0][0] != "Writing to net" && rows[0][0] != "Sending to client"
}

// tlsFailed returns the error of an encrypted connection that did not come to be.
func (s *Source) tlsFailed(err error) *elt.Error {
	return &elt.Error{
		Code: "source_tls_failed", Class: elt.Config, Err: err,
		What: fmt.Sprintf("source %s at %s cannot be trusted with tls=%s", s.opts.Name, s.config.Addr, s.tls.mode),
		Do:   "give the certificate of the authority that signed the server's as tls_ca=FILE in the source's URL, and a host name that the server's certificate has; or say tls=verify-ca, which allows any name",
	}
}
