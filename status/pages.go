package status

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

//go:embed templates/*.html static/*
var embedded embed.FS

// assets are the files that pages ask for. Their address holds a digest, so that a browser keeps them
// until they change.
type assets struct {
	files   map[string][]byte
	version string
}

func loadAssets() (*assets, error) {
	a := &assets{files: make(map[string][]byte)}
	entries, err := embedded.ReadDir("static")
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	for _, e := range entries {
		b, err := embedded.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		a.files[e.Name()] = b
		digest.Write(b)
	}
	a.version = hex.EncodeToString(digest.Sum(nil)[:6])
	return a, nil
}

func (s *Service) getStatic(c echo.Context) error {
	name := c.Param("file")
	b, ok := s.assets.files[name]
	if !ok {
		return echo.ErrNotFound
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	h := c.Response().Header()
	h.Set("Cache-Control", "public, max-age=3600")
	if c.QueryParam("v") == s.assets.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	return c.Blob(http.StatusOK, kinds[path.Ext(name)], b)
}

// pages are the parsed templates, each with the frame around it.
type pages struct {
	templates map[string]*template.Template
	version   string
}

func newPages(a *assets) (*pages, error) {
	p := &pages{templates: make(map[string]*template.Template), version: a.version}
	base, err := template.New("base").Funcs(template.FuncMap{"prose": prose, "sentences": sentences, "sentence": sentence,
		"paused": func() pill { return pill{"waiting", "‖", "Paused"} }}).ParseFS(embedded, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(embedded, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "frame" || name == "parts" {
			continue
		}
		page, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if p.templates[name], err = page.ParseFS(embedded, file); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// frame is what is around every page.
type frame struct {
	Heading string // of the browser's tab
	Title   string // the company's
	Version string
	Assets  string
	Nav     []navItem
	Inside  bool // the reader is signed in, or need not be
	Caller  caller
	Path    string // of this page, to come back to it
	Known   bool   // there is a snapshot
	Stale   bool
	Age     string // "12 s ago"
	AsOf    stamp
	Note    string // what a reader must know before the page itself
	LagMS   int64
	StaleMS int64
	Zone    string

	Past        *pastFrame // as of which moment the page is; nil for now
	Picker      string     // the page's path, where it can be asked as of a moment
	PickerKeeps []asked    // what else was asked of it
}

type navItem struct {
	Text, Href string
	Current    bool
}

// stamp is a moment: machine-readable, and as people read it in the zone of the data.
type stamp struct{ ISO, Text, Zone string }

// stampOf tells a moment as a clock time, with its date when that is not today's.
func stampOf(t time.Time, zone *time.Location, today elt.Date) stamp {
	if t.IsZero() {
		return stamp{}
	}
	return stamp{ISO: t.UTC().Format(time.RFC3339), Text: moment(t, zone, today), Zone: t.In(zone).Format("Mon 2 Jan 2006, 15:04:05 MST")}
}

// page renders a page whole before the first byte of it leaves.
func (s *Service) page(c echo.Context, status int, name, heading string, body any) error {
	var data struct {
		Frame frame
		Page  any
	}
	data.Frame, data.Page = s.frame(c, heading), body
	var buf bytes.Buffer
	if err := s.pages.templates[name].ExecuteTemplate(&buf, "frame", data); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	h := c.Response().Header()
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	if s.moment.IsZero() {
		return c.HTMLBlob(status, buf.Bytes())
	}
	return c.HTMLBlob(status, s.keepMoment(buf.Bytes()))
}

func (s *Service) frame(c echo.Context, heading string) frame {
	f := frame{
		Heading: heading, Title: s.opts.Title, Version: s.opts.Version, Assets: s.assets.version,
		StaleMS: s.opts.StaleAfter.Milliseconds(), Zone: s.opts.Location.String(),
	}
	who := callerOf(c)
	if who.Role == "" { // an open route, or one that was refused
		who = s.access.who(c.Request())
	}
	if who.Role == "" {
		return f // somebody who has still to sign in learns nothing, not even what pages there are
	}
	f.Inside, f.Caller, f.Path = true, who, c.Request().URL.RequestURI()
	at := c.Request().URL.Path
	for _, item := range s.navigation(who) {
		item.Current = at == item.Href || item.Href != "/" && strings.HasPrefix(at, item.Href+"/") || item.Href == "/" && strings.HasPrefix(at, "/datasets/")
		f.Nav = append(f.Nav, item)
	}
	if v, ok := s.current(); ok {
		today := elt.DateOf(s.now().In(s.opts.Location))
		f.Known, f.Stale, f.Age, f.LagMS = true, v.stale, span(v.lag.Truncate(time.Second))+" ago", v.lag.Milliseconds()
		f.AsOf = stampOf(v.asOf, s.opts.Location, today)
		if v.stale && at != "/" { // the overview says it in its heading
			f.Note = "Unknown: the ledger was last read " + f.Age + ". What follows was true then."
		}
	}
	s.frameAsOf(c, &f)
	return f
}

// navigation is the pages that the reader may open.
func (s *Service) navigation(who caller) []navItem {
	items := []navItem{{Text: "Datasets", Href: "/"}, {Text: "Lineage", Href: "/lineage"}, {Text: "Runs", Href: "/runs"}, {Text: "Incidents", Href: "/incidents"}, {Text: "Schedules", Href: "/schedules"}}
	if s.opts.Acts == nil {
		return items
	}
	if s.opts.Backfills != nil {
		items = append(items, navItem{Text: "Backfills", Href: "/backfills"})
	}
	if who.Role.Includes(elt.Operator) {
		items = append(items, navItem{Text: "Audit", Href: "/audit"})
	}
	if who.Role.Includes(elt.Admin) {
		items = append(items, navItem{Text: "Tokens", Href: "/tokens"})
	}
	return items
}

// errorPage is what people see instead of problem+json.
func (s *Service) errorPage(c echo.Context, p *problem) error {
	if p.status == http.StatusUnauthorized {
		return s.signIn(c, p.status, localPath(c.Request().URL.RequestURI()), false)
	}
	body := struct {
		Sentence, Detail, Do string
		Code                 elt.Code
	}{sentence(p.err.What), "", sentence(p.err.Do), p.err.Code}
	switch p.err.Code {
	case codeNothingKnownYet:
		body.Sentence, body.Detail = "Nothing is known yet.", "Daybreak has not been able to read its ledger, so it vouches for nothing."
	case codeRouteUnknown:
		body.Do = "The address may be mistyped, or what it named is gone."
	case codeDayUnknown, codeDatasetUnknown, codeRunUnknown:
		body.Do = ""
	}
	return s.page(c, p.status, "error", http.StatusText(p.status), body)
}

func (s *Service) signIn(c echo.Context, status int, next string, wrong bool) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	account := ""
	if s.opts.Login != nil && s.opts.Tokens != nil {
		account = loginPath + "?next=" + url.QueryEscape(next)
	}
	return s.page(c, status, "login", "Sign in", struct {
		Next, Account, Name string
		Wrong               bool
	}{next, account, s.opts.LoginName, wrong})
}

func (s *Service) loginPage(c echo.Context) error {
	return s.signIn(c, http.StatusOK, localPath(c.QueryParam("next")), false)
}

// postLogin gives a browser that knows the token a session.
func (s *Service) postLogin(c echo.Context) error {
	if err := wantsForm(c.Request()); err != nil {
		return err
	}
	next := localPath(c.FormValue("next"))
	cookie, err := s.access.signIn(c.Request().Context(), strings.TrimSpace(c.FormValue("token")), c.Scheme() == "https")
	switch {
	case err != nil:
		return ledgerAway(err)
	case cookie == nil:
		return s.signIn(c, http.StatusUnauthorized, next, true)
	}
	c.SetCookie(cookie)
	return c.Redirect(http.StatusSeeOther, next)
}

// postLogout ends the browser's session.
func (s *Service) postLogout(c echo.Context) error {
	if err := wantsForm(c.Request()); err != nil {
		return err
	}
	cookie, err := s.access.signOut(c.Request(), c.Scheme() == "https")
	if err != nil {
		return ledgerAway(err)
	}
	c.SetCookie(cookie)
	return c.Redirect(http.StatusSeeOther, "/")
}
