package oidc_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/oidc"
)

const secret = "a client's secret"

// issuer is an OpenID provider on loopback: discovery, keys, and a token endpoint that checks client, code and PKCE.
type issuer struct {
	*httptest.Server
	t      *testing.T
	key    *rsa.PrivateKey
	claims map[string]any // of the next ID token, over the usual ones
	signer *rsa.PrivateKey
	asked  url.Values // the last request to sign in
	codes  map[string]bool
	broken bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key, signer: key, codes: make(map[string]bool)}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if i.broken {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		id, password, _ := r.BasicAuth()
		if id == "" {
			id, password = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		given, _ := url.QueryUnescape(password)
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if id != "daybreak" || given != secret || !i.codes[r.FormValue("code")] ||
			base64.RawURLEncoding.EncodeToString(sum[:]) != i.asked.Get("code_challenge") || i.asked.Get("code_challenge_method") != "S256" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]string{"error": "invalid_grant", "error_description": "the code or its verifier is wrong"})
			return
		}
		delete(i.codes, r.FormValue("code"))
		answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": i.token()})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// token signs what the issuer says of ann.
func (i *issuer) token() string {
	claims := map[string]any{
		"iss": i.URL, "aud": "daybreak", "sub": "1", "email": "ann@example.com", "email_verified": true, "nonce": i.asked.Get("nonce"),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "groups": []string{"everyone", "data-on-call"},
	}
	maps.Copy(claims, i.claims)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.signer, KeyID: "k1"}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// signIn goes through the provider as a browser would, and returns what it brings back.
func (i *issuer) signIn(p *oidc.Provider) (answer url.Values, ticket string) {
	i.t.Helper()
	redirect, ticket, err := p.Begin(i.t.Context(), "/runs")
	if err != nil {
		i.t.Fatal(err)
	}
	u, err := url.Parse(redirect)
	if err != nil {
		i.t.Fatal(err)
	}
	i.asked = u.Query()
	code := rand.Text()
	i.codes[code] = true
	return url.Values{"state": {i.asked.Get("state")}, "code": {code}}, ticket
}

func provider(i *issuer, now func() time.Time, change ...func(*oidc.Options)) *oidc.Provider {
	o := oidc.Options{
		Issuer: i.URL, ClientID: "daybreak", ClientSecret: secret, RedirectURL: "https://daybreak.example.com/login/callback",
		Domains: []string{"example.com"}, Groups: map[elt.Role][]string{elt.Viewer: {"everyone"}, elt.Operator: {"data-on-call"}, elt.Admin: {"data-admins"}}, Now: now, Patience: 5 * time.Minute,
	}
	for _, c := range change {
		c(&o)
	}
	return oidc.New(o)
}

func TestSignIn(t *testing.T) {
	i := newIssuer(t)
	p := provider(i, time.Now)
	answer, ticket := i.signIn(p)
	for key, want := range map[string]string{"client_id": "daybreak", "response_type": "code", "redirect_uri": "https://daybreak.example.com/login/callback", "scope": "openid email profile"} {
		if got := i.asked.Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	name, role, next, err := p.Finish(t.Context(), answer, ticket)
	if err != nil || name != "ann@example.com" || role != elt.Operator || next != "/runs" {
		t.Errorf("%q %q %q, %v", name, role, next, err)
	}
	// Another process of the service redeems what this one has sealed.
	answer, ticket = i.signIn(p)
	if _, role, _, err = provider(i, time.Now).Finish(t.Context(), answer, ticket); err != nil || role != elt.Operator {
		t.Errorf("%q, %v", role, err)
	}
}

// Whatever is wrong with a sign-in is one sentence, and nobody is let in.
func TestSignInRefuses(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		claims map[string]any
		spoil  func(i *issuer, answer url.Values, ticket *string)
		change func(*oidc.Options)
		code   elt.Code
		says   string
	}{
		"wrong audience":       {claims: map[string]any{"aud": "another"}, code: "login_refused", says: "audience"},
		"wrong issuer":         {claims: map[string]any{"iss": "https://evil.example.com"}, code: "login_refused", says: "issued by a different provider"},
		"expired":              {claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, code: "login_refused", says: "expired"},
		"another nonce":        {claims: map[string]any{"nonce": "x"}, code: "login_refused", says: "another sign-in"},
		"forged":               {spoil: func(i *issuer, _ url.Values, _ *string) { i.signer = other }, code: "login_refused", says: "not valid"},
		"another state":        {spoil: func(_ *issuer, a url.Values, _ *string) { a.Set("state", "x") }, code: "login_refused", says: "another sign-in"},
		"no ticket":            {spoil: func(_ *issuer, _ url.Values, ticket *string) { *ticket = "" }, code: "login_refused", says: "not begun a sign-in"},
		"a ticket changed":     {spoil: func(_ *issuer, _ url.Values, ticket *string) { *ticket = "A" + (*ticket)[1:] + "A" }, code: "login_refused", says: "not begun a sign-in"},
		"denied":               {spoil: func(_ *issuer, a url.Values, _ *string) { a.Set("error", "access_denied") }, code: "login_refused", says: "access_denied"},
		"a wrong code":         {spoil: func(_ *issuer, a url.Values, _ *string) { a.Set("code", "x") }, code: "login_refused", says: "invalid_grant"},
		"no address":           {claims: map[string]any{"email": ""}, code: "login_refused", says: "no e-mail address"},
		"unverified":           {claims: map[string]any{"email_verified": false}, code: "login_forbidden", says: "not been verified"},
		"another domain":       {claims: map[string]any{"email": "ann@evil.example.org"}, code: "login_forbidden", says: "none of the domains"},
		"no group":             {claims: map[string]any{"groups": []string{"sales"}}, code: "login_forbidden", says: "none of the groups"},
		"groups are missing":   {claims: map[string]any{"groups": nil}, code: "login_forbidden", says: "none of the groups"},
		"groups are a number":  {claims: map[string]any{"groups": 7}, code: "login_forbidden", says: "none of the groups"},
		"the issuer breaks":    {spoil: func(i *issuer, _ url.Values, _ *string) { i.broken = true }, code: "login_away", says: "does not answer"},
		"the issuer goes away": {spoil: func(i *issuer, _ url.Values, _ *string) { i.Close() }, code: "login_away", says: "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			i.claims = tc.claims
			p := provider(i, time.Now)
			answer, ticket := i.signIn(p)
			if tc.spoil != nil {
				tc.spoil(i, answer, &ticket)
			}
			name, role, _, err := p.Finish(t.Context(), answer, ticket)
			if elt.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.says) || name != "" || role != "" {
				t.Errorf("%q %q: %v", name, role, err)
			}
		})
	}
}

func TestASignInServesOnce(t *testing.T) {
	i := newIssuer(t)
	now := time.Now()
	p := provider(i, func() time.Time { return now })
	answer, ticket := i.signIn(p)
	if _, _, _, err := p.Finish(t.Context(), answer, ticket); err != nil {
		t.Fatal(err)
	}
	i.codes[answer.Get("code")] = true // even where the provider would take it again
	if _, _, _, err := p.Finish(t.Context(), answer, ticket); elt.CodeOf(err) != "login_refused" || !strings.Contains(err.Error(), "used already") {
		t.Errorf("replayed: %v", err)
	}
	answer, ticket = i.signIn(p)
	now = now.Add(11 * time.Minute)
	if _, _, _, err := p.Finish(t.Context(), answer, ticket); elt.CodeOf(err) != "login_refused" || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("late: %v", err)
	}
}

func TestRoles(t *testing.T) {
	i := newIssuer(t)
	for groups, want := range map[string]elt.Role{"data-admins everyone": elt.Admin, "everyone": elt.Viewer, "data-on-call": elt.Operator, "sales": elt.Viewer} {
		p := provider(i, time.Now, func(o *oidc.Options) { o.Everybody, o.GroupsClaim = elt.Viewer, "roles" })
		i.claims = map[string]any{"roles": strings.Fields(groups), "groups": []string{"data-admins"}}
		answer, ticket := i.signIn(p)
		if _, role, _, err := p.Finish(t.Context(), answer, ticket); err != nil || role != want {
			t.Errorf("%s: %q, %v", groups, role, err)
		}
	}
}

// A provider that is away when the service starts is asked again.
func TestTheIssuerComesBack(t *testing.T) {
	i := newIssuer(t)
	up := false
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"issuer":"http://%s","authorization_endpoint":"%s/authorize","token_endpoint":"%s/token","jwks_uri":"%s/keys"}`, r.Host, i.URL, i.URL, i.URL)
	}))
	defer front.Close()
	p := provider(i, time.Now, func(o *oidc.Options) { o.Issuer = front.URL })
	if _, _, err := p.Begin(t.Context(), "/"); elt.CodeOf(err) != "login_away" {
		t.Errorf("%v", err)
	}
	up = true
	if _, _, err := p.Begin(t.Context(), "/"); err != nil {
		t.Errorf("%v", err)
	}
}
