package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/eta"
)

// Secret is a text that prints as ***.
type Secret string

// String returns ***.
func (Secret) String() string { return "***" }

// GoString returns ***.
func (Secret) GoString() string { return "***" }

// LogValue keeps the text out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalText keeps the text out of JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Options are what the service needs. The zero value of what guards it denies.
type Options struct {
	Ledger Ledger
	// Public lets everybody read. Otherwise every route but the open ones needs a token.
	Public bool
	// Token is the workspace's own, and TokenRole what it may do; empty means read.
	Token     Secret
	TokenRole elt.Role
	// Tokens vouches for the tokens that were made since; nil means that there are none.
	Tokens TokenLedger
	// RequestsPerSecond is how many one token or address may send; 0 is no limit.
	RequestsPerSecond int
	// Acts carries out what people and programs ask for; nil makes a service that only reads.
	Acts ActLedger
	// Backfills tells of backfills, and BackfillDesk plans and starts them; nil makes a service that knows of none.
	Backfills    Backfills
	BackfillDesk BackfillDesk
	// Rollbacks goes back to earlier versions; nil makes a service that cannot.
	Rollbacks Rollbacks
	// Login lets people sign in with an account that they have elsewhere, which pages call LoginName; nil: by token alone.
	Login     Login
	LoginName string
	// Controls tells of ticks, pauses and maintenance, and keeps what operators say of them; nil shows and keeps none.
	Controls Controls
	// Trigger starts a schedule's run now; nil starts none.
	Trigger Trigger
	// Title names the company or team at the top of each page; empty for Daybreak.
	Title   string
	Version string
	// Location is the zone in which times over several datasets are told; nil means UTC.
	Location *time.Location
	// Past tells the ledger as it was at a moment, for ?as_of=; nil makes a service that knows nothing but now.
	Past func(ctx context.Context, moment time.Time) (PastLedger, error)
	// Schedules tells each schedule with its next five ticks after now; nil means there are none.
	Schedules func(now time.Time) []api.Schedule
	// SQL tells a model's SQL, for operators; nil tells none.
	SQL func(elt.DatasetName) (api.ModelSQL, bool)
	// BaseURL is the service's address as others reach it, for the lines to copy; empty means the
	// address of the request.
	BaseURL string
	// PollEvery is how often the ledger's revision is read; 0 means 500 ms.
	PollEvery time.Duration
	// StaleAfter is the age at which the snapshot vouches for nothing any more; 0 means 30 s.
	StaleAfter time.Duration
	Log        *slog.Logger
	Now        func() time.Time
}

// Service answers the API and the pages.
type Service struct {
	opts Options
	log  *slog.Logger
	now  func() time.Time
	feed *feed

	estimator *estimator

	said     remarkLedger   // nil where nobody can say anything
	calendar CalendarLedger // nil where nothing is known of ticks, pauses and maintenance
	pasts    *pasts
	moment   time.Time // as of which everything is said; zero for now

	pages   *pages
	metrics *metrics
	readers map[string]elt.Role // the least role that may read a route
	access  *access
	waiters *waiters
	usuals  *usuals
	limits  *limits
	assets  *assets
	openAPI []byte
	handler http.Handler
	closing chan struct{} // closed when Run ends: streams and waits end with it
}

// New builds the service. It reads nothing yet: Run or the first request does.
func New(o Options) (*Service, error) {
	if o.Ledger == nil {
		return nil, errors.New("status.New: no ledger")
	}
	if !o.Public && o.Token == "" && o.Tokens == nil {
		return nil, &elt.Error{
			Code: "status_no_token", Class: elt.Config,
			What: "the status service is not public and knows no token, so nobody could read it",
			Do:   "set status.token to a secret of at least 16 characters, or status.public: true",
		}
	}
	if o.Token != "" && len(o.Token) < 16 {
		return nil, &elt.Error{
			Code: "status_weak_token", Class: elt.Config,
			What: fmt.Sprintf("status.token has %d characters: it could be guessed", len(o.Token)),
			Do:   "use at least 16 characters, for example from: openssl rand -hex 32",
		}
	}
	o = o.withDefaults()
	assets, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("read the page's own files: %w", err)
	}
	s := &Service{opts: o, log: o.Log, now: o.Now, assets: assets, access: newAccess(o), waiters: newWaiters(o.Now), usuals: new(usuals), limits: newLimits(o.RequestsPerSecond), closing: make(chan struct{}), pasts: newPasts()}
	if o.Acts != nil {
		s.said = o.Acts
	}
	if o.Controls != nil {
		s.calendar = o.Controls
	}
	s.metrics = newMetrics(s.current)
	s.feed = &feed{
		ledger: o.Ledger, schedule: s.nextTicks, location: o.Location, now: o.Now, log: o.Log,
		stale: o.StaleAfter, observe: s.metrics.observe, changed: make(chan struct{}),
	}
	s.estimator = &estimator{Estimator: eta.NewEstimator(o.Ledger)}
	if s.pages, err = newPages(assets); err != nil {
		return nil, fmt.Errorf("read the page templates: %w", err)
	}
	routes := s.routes()
	if s.openAPI, err = newOpenAPI(routes, o.Version, o.Public); err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	s.readers = readers(routes)
	s.handler = s.spare(s.newHandler())
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PollEvery <= 0 {
		o.PollEvery = 500 * time.Millisecond
	}
	if o.StaleAfter <= 0 {
		o.StaleAfter = 30 * time.Second
	}
	if o.Title == "" {
		o.Title = "Daybreak"
	}
	if o.TokenRole == "" {
		o.TokenRole = elt.Viewer
	}
	if o.Schedules == nil {
		o.Schedules = func(time.Time) []api.Schedule { return nil }
	}
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	return o
}

// Handler returns the service's routes with everything that guards them.
func (s *Service) Handler() http.Handler { return s.handler }

// Refresh looks at the ledger once. Run does it by itself; a test or a command that wants the first
// snapshot before it serves calls it.
func (s *Service) Refresh(ctx context.Context) error { return s.feed.check(ctx) }

// prepared is how long it may take to learn what can be expected, before it is told without.
const prepared = 5 * time.Second

// Prepare looks at the ledger and estimates arrivals once, for whoever asks once and leaves. Run does both by itself, and
// must not have begun.
func (s *Service) Prepare(ctx context.Context) error {
	if err := s.Refresh(ctx); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, prepared)
	defer cancel()
	if err := s.Estimate(within); err != nil {
		s.log.Warn("arrivals cannot be estimated; deadlines and usual times are told", "error", err)
		return ctx.Err()
	}
	return s.Refresh(ctx)
}

// Run keeps the board fresh until ctx ends, and then ends every stream and wait. A ledger that cannot be
// read is logged once and tried again at the next poll: the last snapshot keeps serving. Run is called once.
func (s *Service) Run(ctx context.Context) error {
	defer close(s.closing)
	var estimating sync.WaitGroup
	estimating.Go(func() { s.keepEstimating(ctx) })
	defer estimating.Wait()
	ticker := time.NewTicker(s.opts.PollEvery)
	defer ticker.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, s.opts.StaleAfter)
		err := s.feed.check(look)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.metrics.failures.Inc()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// NewServer returns an http.Server for the handler with limits that a slow or hostile client cannot
// stretch. Streams extend their own write deadline as long as they are being read.
func NewServer(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// current returns the view that requests read.
func (s *Service) current() (view, bool) { return s.feed.current() }

// look returns the current view, reading the ledger once if nobody has yet.
func (s *Service) look(c echo.Context) (view, error) {
	if v, ok := s.current(); ok {
		return v, nil
	}
	// The reading is shared with others: it does not end when this client leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), 5*time.Second)
	defer cancel()
	err := s.feed.check(ctx)
	if v, ok := s.current(); ok {
		return v, nil
	}
	return view{}, unavailable(codeNothingKnownYet, "the ledger has not been read yet, so nothing is known", "ask again in a few seconds; if it stays, see the service's log", err)
}

func (s *Service) nextTicks(now time.Time) map[elt.ScheduleName]elt.Tick {
	next := make(map[elt.ScheduleName]elt.Tick)
	for _, sch := range s.opts.Schedules(now) {
		if len(sch.Next) > 0 {
			next[sch.Name] = sch.Next[0]
		}
	}
	return next
}

func (v view) meta() api.Meta {
	return api.Meta{AsOf: v.asOf.UTC(), EvaluatorLag: float64(v.lag.Milliseconds()) / 1000}
}

// meta is the age of what is known, nil while nothing is.
func (s *Service) meta() *api.Meta {
	if v, ok := s.current(); ok {
		m := v.meta()
		return &m
	}
	return nil
}
