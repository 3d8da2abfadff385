package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/status"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/client"
	"github.com/daybreak-data/daybreak/status/oidc"
	"github.com/daybreak-data/daybreak/transform"
)

// newStatus builds the status service as the workspace configures it.
func (ws *workspace) newStatus(book *ledger.Ledger, log *slog.Logger) (*status.Service, error) {
	o := ws.statusOptions(book, log)
	o.RequestsPerSecond = ws.config.Status.RequestsPerSecond
	o.Public, o.Token = ws.config.Status.Public, status.Secret(ws.config.Status.Token.Reveal())
	if in := ws.config.Status.OIDC; in.Issuer != "" {
		o.LoginName = cmp.Or(in.Name, "your account")
		o.Login = oidc.New(oidc.Options{
			Issuer: in.Issuer, ClientID: in.ClientID, ClientSecret: in.ClientSecret.Reveal(), Scopes: in.Scopes,
			RedirectURL: strings.TrimRight(ws.config.Status.BaseURL, "/") + "/login/callback", Domains: in.Domains, GroupsClaim: in.GroupsClaim,
			Groups:    map[elt.Role][]string{elt.Viewer: in.Viewers, elt.Operator: in.Operators, elt.Admin: in.Admins},
			Everybody: elt.Role(in.Everybody), Now: time.Now,
		})
	}
	return status.New(o)
}

func (ws *workspace) statusOptions(book *ledger.Ledger, log *slog.Logger) status.Options {
	return status.Options{
		Ledger: book, Tokens: book, Acts: book, Rollbacks: rollbacks{ws, book}, Controls: book, Trigger: ws.triggerer(book, log),
		Backfills: book, BackfillDesk: planner{ws, book},
		Past:  func(ctx context.Context, moment time.Time) (status.PastLedger, error) { return book.AsOf(ctx, moment) },
		Title: ws.config.Title, Version: version, Location: ws.location(), BaseURL: ws.config.Status.BaseURL,
		Schedules: ws.upcoming, SQL: ws.sqlOf, Log: log, Now: time.Now,
	}
}

// sqlOf tells a model's SQL as it is written, and as it runs for the last date that has ended. A model that cannot be
// compiled is shown as it is written: its step says what is wrong.
func (ws *workspace) sqlOf(d elt.DatasetName) (api.ModelSQL, bool) {
	native, ok := ws.project.(*transform.Project)
	if !ok {
		return api.ModelSQL{}, false
	}
	engine := transform.New(transform.EngineOptions{Project: native, Warehouse: publishedNames{config: ws.config.Warehouse}, Dir: ws.config.Models.Dir})
	file, text, ok := engine.Source(d)
	if !ok {
		return api.ModelSQL{}, false
	}
	date := elt.DateOf(time.Now().In(ws.catalog.zone(d))).AddDays(-1)
	scope := transform.Scope{Date: date, Window: date.Window(ws.catalog.zone(d)), Published: func(elt.DatasetName) bool { return true }}
	compiled, err := engine.Compile(scope, d)
	if err != nil {
		compiled = "-- " + err.Error()
	}
	return api.ModelSQL{Dataset: d, File: file, Written: text, Compiled: compiled, Date: date}, true
}

// upcoming tells each schedule with its next five ticks.
func (ws *workspace) upcoming(now time.Time) []api.Schedule {
	out := make([]api.Schedule, len(ws.schedules))
	for i, s := range ws.schedules {
		out[i] = api.Schedule{
			Name: s.Name, Zone: s.Zone.String(), Deadline: s.Deadline, CatchUp: string(s.CatchUp), When: when(s),
			Next: s.Next(now, 5), Datasets: len(ws.catalog.of(s.Name)), Overlap: string(s.Overlap), WaitFor: s.WaitFor.Datasets,
		}
		if s.Holidays != nil {
			out[i].Calendar, out[i].OnHoliday = s.Holidays.Name, string(s.OnHoliday)
		}
		if s.WaitFor.AtMost > 0 {
			out[i].WaitAtMost = s.WaitFor.AtMost.String()
		}
	}
	return out
}

// when says in the file's own words when a schedule fires.
func when(s *schedules.Schedule) string {
	if s.Cron != "" {
		return s.Cron
	}
	return fmt.Sprintf("at %02d:%02d", s.Hour, s.Minute)
}

// Service says which status service a command asks: one at an address, or that of the workspace, answered by this
// process from the ledger.
type Service struct {
	URL   string `env:"DAYBREAK_URL" placeholder:"URL" help:"The status service to ask, such as https://data.example.com; by default the workspace's ledger is read."`
	Token string `env:"DAYBREAK_TOKEN" placeholder:"TOKEN" help:"Its token, where reading is not public."`
}

// client returns a client of the service, and what ends it.
func (s *Service) client(ctx context.Context, g *Globals, log *slog.Logger) (*client.Client, func() error, error) {
	if s.URL != "" {
		c, err := client.New(s.URL, s.Token)
		return c, func() error { return nil }, clientError(err)
	}
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return nil, nil, err
	}
	if err := ws.hasLedger(); err != nil {
		return nil, nil, err
	}
	book, err := ledger.Open(ctx, ws.config.Ledger.Reveal(), log)
	if err != nil {
		return nil, nil, err
	}
	if _, err := book.Revision(ctx); err != nil { // such as ledger_older: a service would only say that nothing is known
		return nil, nil, errors.Join(err, book.Close())
	}
	c, stop, err := ws.private(ctx, book, log)
	if err != nil {
		return nil, nil, errors.Join(err, book.Close())
	}
	return c, func() error { return errors.Join(stop(), book.Close()) }, nil
}

// hasLedger refuses a workspace whose ledger is a file that nobody has made yet.
func (ws *workspace) hasLedger() error {
	path, isFile := strings.CutPrefix(ws.config.Ledger.Reveal(), "sqlite:")
	if !isFile {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return &elt.Error{
			Code: "ledger_missing", Class: elt.Config,
			What: fmt.Sprintf("there is no ledger at %s: nothing has run here yet", path),
			Do:   "run a night first, daybreak run; or ask a service with --url",
		}
	}
	return nil
}

// private serves the workspace's status on a port of this machine that only the returned client can read, so that a
// command and a page come to the same conclusions by the same code.
func (ws *workspace) private(ctx context.Context, book *ledger.Ledger, log *slog.Logger) (*client.Client, func() error, error) {
	token := rand.Text()
	o := ws.statusOptions(book, log)
	o.Token, o.TokenRole = status.Secret(token), elt.Admin // whoever may read the ledger's file may do anything
	service, err := status.New(o)
	if err != nil {
		return nil, nil, err
	}
	if err := service.Prepare(ctx); err != nil {
		log.Info("the ledger does not answer yet", "error", err) // the client is told, or waits
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen on loopback: %w", err)
	}
	c, err := client.New("http://"+listener.Addr().String(), token)
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	server := status.NewServer("", service.Handler())
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- service.Run(ctx) }()
	go func() { ended <- server.Serve(listener) }()
	return c, func() error {
		cancel()
		err := server.Close()
		for range cap(ended) {
			if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
				err = errors.Join(err, e)
			}
		}
		return err
	}, nil
}

// clientError gives the errors of the client package their exit codes.
func clientError(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	class := elt.Config
	if client.IsUnknown(err) {
		class = elt.Transient
	}
	return &elt.Error{Code: e.Code, Class: class, What: e.Error(), Do: e.Do}
}
