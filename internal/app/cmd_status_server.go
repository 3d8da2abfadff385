package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/status"
)

// StatusServer serves the status page and API alone.
type StatusServer struct {
	Listen string `placeholder:"ADDR" help:"Where it listens; by default status.listen of daybreak.yaml."`
}

// Help is the long help of the command.
func (StatusServer) Help() string {
	return `Serves the status page and API from the ledger and nothing else: it reads no source, touches no warehouse and starts no run, so it stays up whatever becomes of the pipeline. Any number of them may run beside daybreak serve, with a ledger in PostgreSQL on any machine. While the ledger is away, the last that was known is shown with its age and every gate answers 503.

  daybreak status-server --listen 0.0.0.0:8080`
}

// Run runs the command.
func (v *StatusServer) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	if g.Log == "auto" {
		g.Log = "text"
	}
	log := c.Logger(g, slog.LevelInfo)
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	if v.Listen != "" {
		ws.config.Status.Listen = v.Listen
	}
	book, err := ledger.Open(ctx, ws.config.Ledger.Reveal(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	if _, err := book.Revision(ctx); err != nil { // one that was never made is told now, not on every page
		return err
	}
	service, err := ws.newStatus(book, log)
	if err != nil {
		return err
	}
	listener, err := listen(ws.config.Status)
	if err != nil {
		return err
	}
	server := status.NewServer("", service.Handler())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var looking sync.WaitGroup
	looking.Go(func() {
		if err := service.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			log.Error("the status service stopped looking at the ledger", "error", err)
		}
	})
	failed := make(chan error, 1)
	looking.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	})
	log.Info("serving", "url", "http://"+listener.Addr().String())
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stop()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if shut := server.Shutdown(closing); shut != nil {
		log.Warn("some clients were still connected", "error", shut, "closed", server.Close())
	}
	looking.Wait()
	return err
}
