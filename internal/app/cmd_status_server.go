package app

import (
	"context"
	"errors"

	"github.com/daybreak-data/daybreak/internal/ledger"
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
	log := c.Lines(g)
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
	site, err := ws.openSite(book, log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	site.start(ctx)
	log.Info("serving", "url", site.url())
	select {
	case <-ctx.Done():
	case err = <-site.failed:
	}
	stop()
	site.stop(ctx)
	return err
}
