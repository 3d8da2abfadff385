package status

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const (
	sessionCookie = "daybreak_session"
	sessionLength = 12 * time.Hour

	// believed is for how long a token or session that the ledger vouched for is not asked about again: a revoked one
	// ends within it.
	believed = time.Second
	// remembered is for how long one is still let in while the ledger does not answer, so that the last snapshot can be
	// read.
	remembered = 5 * time.Minute
	// mostRemembered bounds the memory of callers.
	mostRemembered = 10_000
)

// TokenLedger vouches for tokens and keeps the sessions of browsers.
type TokenLedger interface {
	Authenticate(ctx context.Context, id elt.TokenID, digest elt.Digest) (t elt.Token, ok bool, err error)
	Session(ctx context.Context, digest elt.Digest) (s elt.Session, ok bool, err error)
	StartSession(ctx context.Context, s elt.Session, digest elt.Digest, length time.Duration) error
	EndSession(ctx context.Context, digest elt.Digest) error
}

// caller is who sent a request. The zero value is nobody, who may do nothing.
type caller struct {
	Name  string
	Role  elt.Role
	Token elt.TokenID // of the ledger's tokens; empty for the workspace's own
}

// access decides who a request is from. Without a token nobody may read, unless the service is public.
type access struct {
	public bool
	own    caller     // whoever has the workspace's own token
	digest elt.Digest // of that token; comparing digests takes the same time whatever is sent
	key    []byte     // signs its sessions; follows from the token, so that a new token ends every session
	tokens TokenLedger
	now    func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	vouches map[elt.Digest]acquaintance
}

// acquaintance is a caller for whom the ledger vouched, and when.
type acquaintance struct {
	caller
	at time.Time
}

func newAccess(o Options) *access {
	key := hmac.New(sha256.New, []byte(o.Token))
	key.Write([]byte("daybreak session key"))
	return &access{
		public: o.Public, own: caller{Name: "status.token", Role: o.TokenRole}, digest: elt.DigestOf(string(o.Token)), key: key.Sum(nil),
		tokens: o.Tokens, now: o.Now, log: o.Log, vouches: make(map[elt.Digest]acquaintance),
	}
}

// who returns the sender of the request. A wrong token is nobody even where reading is public: its holder is mistaken
// and should know.
func (a *access) who(r *http.Request) caller {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return caller{}
		}
		return a.bearer(r.Context(), token)
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if c := a.browser(r.Context(), cookie.Value); c.Role != "" {
			return c
		}
	}
	if a.public {
		return caller{Role: elt.Viewer}
	}
	return caller{}
}

// bearer returns whose token that is.
func (a *access) bearer(ctx context.Context, token string) caller {
	if token == "" {
		return caller{}
	}
	if a.digest.Equal(elt.DigestOf(token)) {
		return a.own
	}
	id, digest, ok := elt.ParseToken(token)
	if !ok || a.tokens == nil {
		return caller{}
	}
	return a.vouched(digest, func() (caller, bool, error) {
		t, ok, err := a.tokens.Authenticate(ctx, id, digest)
		return caller{Name: t.Name, Role: t.Role, Token: t.ID}, ok, err
	})
}

// browser returns who has signed in in a browser with that cookie.
func (a *access) browser(ctx context.Context, cookie string) caller {
	if a.isOwnSession(cookie) {
		return a.own
	}
	if a.tokens == nil || len(cookie) > 200 {
		return caller{}
	}
	digest := elt.DigestOf(cookie)
	return a.vouched(digest, func() (caller, bool, error) {
		s, ok, err := a.tokens.Session(ctx, digest)
		return caller{Name: s.Name, Role: s.Role, Token: s.Token}, ok, err
	})
}

// vouched asks the ledger, unless it vouched a moment ago. Whoever it vouched for lately is let in while it is away.
func (a *access) vouched(digest elt.Digest, ask func() (caller, bool, error)) caller {
	now := a.now()
	a.mu.Lock()
	before, known := a.vouches[digest]
	a.mu.Unlock()
	if known && now.Sub(before.at) < believed {
		return before.caller
	}
	c, ok, err := ask()
	if err != nil {
		a.log.Warn("the ledger cannot say who asks", "error", err)
		if known && now.Sub(before.at) < remembered {
			return before.caller
		}
		return caller{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !ok {
		delete(a.vouches, digest)
		return caller{}
	}
	if len(a.vouches) >= mostRemembered {
		clear(a.vouches)
	}
	a.vouches[digest] = acquaintance{c, now}
	return c
}

// forget makes the ledger be asked about everybody again: a token was revoked.
func (a *access) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.vouches)
}

// known returns the sender of the request if that is known without asking the ledger.
func (a *access) known(r *http.Request) caller {
	secret := ""
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		secret = token
	} else if cookie, err := r.Cookie(sessionCookie); err == nil {
		secret = cookie.Value
	}
	if secret == "" {
		return caller{}
	}
	digest := elt.DigestOf(secret)
	if a.digest.Equal(digest) || a.isOwnSession(secret) {
		return a.own
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.vouches[digest].caller
}

// signIn returns a cookie that gives a browser the rights of the token; nil for a token that is none.
func (a *access) signIn(ctx context.Context, token string, secure bool) (*http.Cookie, error) {
	c := a.bearer(ctx, token)
	switch {
	case c.Role == "":
		return nil, nil
	case c.Token == "":
		return sessionOf(a.ownSession(), secure), nil
	}
	return a.begin(ctx, c, secure)
}

// begin keeps a session for the caller in the ledger.
func (a *access) begin(ctx context.Context, c caller, secure bool) (*http.Cookie, error) {
	value := elt.NewSecret()
	err := a.tokens.StartSession(ctx, elt.Session{Token: c.Token, Name: c.Name, Role: c.Role}, elt.DigestOf(value), sessionLength)
	if err != nil {
		return nil, err
	}
	return sessionOf(value, secure), nil
}

// signOut ends the browser's session and returns the cookie that makes the browser forget it.
func (a *access) signOut(r *http.Request, secure bool) (*http.Cookie, error) {
	gone := sessionOf("", secure)
	gone.MaxAge = -1
	if a.tokens == nil {
		return gone, nil
	}
	for _, cookie := range r.CookiesNamed(sessionCookie) {
		if err := a.tokens.EndSession(r.Context(), elt.DigestOf(cookie.Value)); err != nil {
			return nil, err
		}
	}
	a.forget()
	return gone, nil
}

func sessionOf(value string, secure bool) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: int(sessionLength.Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
}

// ownSession is a cookie's value for whoever knows the workspace's own token. It does not hold the token.
func (a *access) ownSession() string {
	until := strconv.FormatInt(a.now().Add(sessionLength).Unix(), 10)
	return until + "." + a.sign(until)
}

func (a *access) isOwnSession(value string) bool {
	until, signature, ok := strings.Cut(value, ".")
	if !ok || subtle.ConstantTimeCompare([]byte(signature), []byte(a.sign(until))) != 1 {
		return false
	}
	seconds, err := strconv.ParseInt(until, 10, 64)
	return err == nil && a.now().Unix() < seconds
}

func (a *access) sign(until string) string {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(until))
	return hex.EncodeToString(mac.Sum(nil))
}

// callerKey is where the guard leaves the caller for the handlers.
const callerKey = "daybreak.caller"

// callerOf returns who sent the request; the guard has let them pass.
func callerOf(c echo.Context) caller {
	who, ok := c.Get(callerKey).(caller)
	if !ok {
		return caller{}
	}
	return who
}

// localPath returns next if it is a path of this service, else "/": a login must not lead elsewhere.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}
