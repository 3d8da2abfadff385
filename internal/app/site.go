package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/status"
)

// site is the status service at its address.
type site struct {
	*status.Service
	listener net.Listener
	server   *http.Server
	log      *slog.Logger
	running  sync.WaitGroup
	failed   chan error // receives why nobody is served any more
}

// openSite takes the address that the workspace names. Nobody is served before start.
func (ws *workspace) openSite(book *ledger.Ledger, log *slog.Logger) (*site, error) {
	listener, err := listen(ws.config.Status)
	if err != nil {
		return nil, err
	}
	service, err := ws.newStatus(book, log)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &site{Service: service, listener: listener, server: status.NewServer("", service.Handler()), log: log, failed: make(chan error, 1)}, nil
}

// start serves until stop, and looks at the ledger until ctx ends.
func (s *site) start(ctx context.Context) {
	s.running.Go(func() {
		if err := s.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("the status service stopped looking at the ledger", "error", err)
		}
	})
	s.running.Go(func() {
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
		}
	})
}

// url is where the site is.
func (s *site) url() string { return "http://" + s.listener.Addr().String() }

// stop takes no more requests, and gives those under way a few seconds. The context of start has ended.
func (s *site) stop(ctx context.Context) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if shut := s.server.Shutdown(closing); shut != nil {
		s.log.Warn("some clients were still connected", "error", shut, "closed", s.server.Close())
	}
	s.running.Wait()
}

// listen takes the status service's address, or says who should change what.
func listen(s config.Status) (net.Listener, error) {
	l, err := net.Listen("tcp", s.Listen)
	switch {
	case err == nil:
	case !errors.Is(err, syscall.EADDRINUSE):
		return nil, &elt.Error{
			Code: "address_unusable", Class: elt.Config,
			What: fmt.Sprintf("cannot listen on %s", s.Listen), Err: err,
			Do: "write an address of this machine and a port, such as 127.0.0.1:8080 or :8080; a port below 1024 needs root",
		}
	default:
		return nil, &elt.Error{
			Code: "address_in_use", Class: elt.Conflict,
			What: fmt.Sprintf("cannot listen on %s", s.Listen), Err: err,
			Do: "stop what listens there, or choose another address with --listen or status.listen",
		}
	}
	return netutil.LimitListener(l, s.Connections), nil
}
