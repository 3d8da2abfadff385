package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// login checks where people sign in with their company's account.
func (c *checker) login() {
	o := c.config.Status.OIDC
	if !c.has("status", "oidc") {
		return
	}
	wrong := func(what, do string, key ...any) {
		c.problem(CodeBadLogin, what, do, append([]any{"status", "oidc"}, key...)...)
	}
	switch u, err := url.Parse(o.Issuer); {
	case o.Issuer == "":
		wrong("status.oidc names no issuer", "add issuer:, such as https://login.example.com")
	case err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		wrong(fmt.Sprintf("the issuer %q is not an address", o.Issuer), "write it as the provider does, such as https://login.example.com", "issuer")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		wrong("the issuer has no TLS, so that anybody on the way could sign in as anybody", "use https", "issuer")
	}
	if o.ClientID == "" {
		wrong("status.oidc has no client_id", "add the one that the provider gave you")
	}
	if len(o.ClientSecret.Reveal()) < 8 {
		wrong("status.oidc has no client_secret, or one that could be guessed", "add client_secret: ${env:…}", "client_secret")
	}
	if c.config.Status.BaseURL == "" {
		wrong("status.oidc needs status.base_url: the provider sends people back there", "add base_url:, and allow base_url/login/callback with the provider")
	}
	groups := len(o.Viewers) + len(o.Operators) + len(o.Admins)
	role := elt.Role(o.Everybody)
	switch {
	case o.Everybody != "" && role != elt.Viewer && role != elt.Operator:
		wrong(fmt.Sprintf("everybody cannot be %q", o.Everybody), "write viewer or operator, or leave it out: then only members of the groups come in", "everybody")
	case groups == 0 && o.Everybody == "":
		wrong("nobody could sign in: no group has a role, and everybody has none", "add viewers, operators or admins, or everybody: viewer")
	case o.Everybody != "" && len(o.Domains) == 0:
		wrong("everybody whom the provider knows could sign in", "add allowed_domains, or leave everybody out and name groups", "everybody")
	}
	for i, d := range o.Domains {
		if d == "" || strings.ContainsAny(d, "@/ ") || slices.Contains(o.Domains[:i], d) {
			wrong(fmt.Sprintf("%q is not a domain, or is named twice", d), "write it as example.com", "allowed_domains", i)
		}
	}
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
