package oidc

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Options are what a provider and those whom it vouches for are known by.
type Options struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	RedirectURL  string   // where the provider sends people back to: …/login/callback
	Scopes       []string // beside openid, email and profile
	Domains      []string // of the addresses that may sign in; none allows every one that the provider knows
	GroupsClaim  string   // the claim that lists somebody's groups; empty means groups
	// Groups are those whose members have a role, the highest of theirs.
	Groups map[elt.Role][]string
	// Everybody is the role of whoever is allowed in and in no such group; empty lets only members of groups in.
	Everybody elt.Role
	Now       func() time.Time
	Patience  time.Duration // how long the provider may take for one answer; 0 means ten seconds
}

// Provider is an OpenID provider. It is asked for its addresses and keys when the first person signs in, and again until
// it has answered: a service starts without it.
type Provider struct {
	Options
	tickets tickets
	client  *http.Client

	mu    sync.Mutex
	found *discovered
}

type discovered struct {
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// patience is how long the provider may take for one answer where the options do not say.
const patience = 10 * time.Second

// New returns a provider. Nothing is connected to yet.
func New(o Options) *Provider {
	if o.GroupsClaim == "" {
		o.GroupsClaim = "groups"
	}
	return &Provider{Options: o, tickets: newTickets(o.ClientSecret, o.Now), client: &http.Client{Timeout: cmp.Or(o.Patience, patience)}}
}

// discover returns the provider's addresses.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	// The keys are asked for as long as the service lives, not only while this request does.
	lasting := oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	provider, err := oidc.NewProvider(lasting, p.Issuer)
	if err != nil {
		return nil, unreachable(err)
	}
	p.found = &discovered{
		config: oauth2.Config{
			ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: provider.Endpoint(), RedirectURL: p.RedirectURL,
			Scopes: slices.Concat([]string{oidc.ScopeOpenID, "email", "profile"}, p.Scopes),
		},
		verifier: provider.VerifierContext(lasting, &oidc.Config{ClientID: p.ClientID, Now: p.Now}),
	}
	return p.found, nil
}

// Begin returns where to send a browser that wants to sign in and to go on to next, and the ticket that it brings back.
func (p *Provider) Begin(ctx context.Context, next string) (redirect, ticket string, err error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", "", err
	}
	t := claim{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next, Until: p.Now().Add(ticketLife)}
	redirect = found.config.AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier))
	ticket, err = p.tickets.seal(t)
	return redirect, ticket, err
}

// Finish returns who has come back from the provider, what they may do, and where they wanted to go.
func (p *Provider) Finish(ctx context.Context, answer url.Values, ticket string) (name string, role elt.Role, next string, err error) {
	t, err := p.tickets.redeem(ticket, answer.Get("state"))
	if err != nil {
		return "", "", "", err
	}
	if code := answer.Get("error"); code != "" {
		return "", "", "", refused("the sign-in was refused: "+words(code, answer.Get("error_description")), "try again, or ask whoever runs "+p.Issuer)
	}
	found, err := p.discover(ctx)
	if err != nil {
		return "", "", "", err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := found.config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(t.Verifier))
	if err != nil {
		if said, ok := errors.AsType[*oauth2.RetrieveError](err); ok && said.Response != nil && said.Response.StatusCode < 500 {
			return "", "", "", refused(strings.TrimSuffix("the provider refused the code of the sign-in: "+words(said.ErrorCode, said.ErrorDescription), ": "), "sign in again; if it stays, check client_id and client_secret")
		}
		return "", "", "", unreachable(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return "", "", "", refused("the provider's answer has no ID token", "check that the client is one of OpenID Connect, with the scope openid")
	}
	id, err := found.verifier.Verify(ctx, raw)
	if err != nil {
		if away := new(url.Error); errors.As(err, &away) {
			return "", "", "", unreachable(err)
		}
		return "", "", "", refused("the provider's ID token is not valid: "+strings.TrimPrefix(err.Error(), "oidc: "), "sign in again; if it stays, check client_id, and this machine's clock")
	}
	if id.Nonce != t.Nonce {
		return "", "", "", refused("the provider's ID token belongs to another sign-in", "sign in again, in one tab")
	}
	name, role, err = p.admit(id)
	return name, role, t.Next, err
}

// admit decides what whoever the token names may do.
func (p *Provider) admit(id *oidc.IDToken) (name string, role elt.Role, err error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return "", "", refused("the provider's ID token cannot be read", "ask whoever runs "+p.Issuer)
	}
	email, _ := claims["email"].(string)
	verified, told := claims["email_verified"].(bool)
	_, domain, ok := strings.Cut(email, "@")
	inside := slices.ContainsFunc(p.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
	switch {
	case !ok || len(email) > 200 || strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "", "", refused("the provider tells no e-mail address, so nobody would know who acts", "allow the client the scope email")
	case told && !verified:
		return "", "", forbidden(fmt.Sprintf("the address %s has not been verified", email), "verify it with the provider, and sign in again")
	case len(p.Domains) > 0 && !inside:
		return "", "", forbidden(fmt.Sprintf("%s is of none of the domains that may sign in", email), "sign in with an account of "+strings.Join(p.Domains, " or "))
	}
	groups := textsOf(claims[p.GroupsClaim])
	for _, r := range elt.Roles() { // the highest is the last
		if slices.ContainsFunc(p.Groups[r], func(g string) bool { return slices.Contains(groups, g) }) {
			role = r
		}
	}
	if role == "" {
		role = p.Everybody
	}
	if role == "" {
		return "", "", forbidden(fmt.Sprintf("%s is in none of the groups that may sign in", email), "ask to be put into one; the claim "+p.GroupsClaim+" must list it")
	}
	return email, role, nil
}

// textsOf reads a claim that is a list of texts, or one text.
func textsOf(claim any) (out []string) {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		for _, v := range c {
			if s, ok := v.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

func words(code, description string) string {
	text := strings.TrimSuffix(code+": "+description, ": ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
}

func unreachable(err error) error {
	return &elt.Error{Code: "login_away", Class: elt.Transient, What: "the provider of sign-ins does not answer", Do: "try again in a moment, or sign in with a token", Err: err}
}

func refused(what, do string) error {
	return &elt.Error{Code: "login_refused", Class: elt.Config, What: what, Do: do}
}

func forbidden(what, do string) error {
	return &elt.Error{Code: "login_forbidden", Class: elt.Config, What: what, Do: do}
}
