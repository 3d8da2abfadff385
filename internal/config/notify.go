package config

import (
	"fmt"
	"net/netip"
	"net/url"

	"github.com/daybreak-data/daybreak/internal/elt"
)

func (c *checker) notify() {
	n := c.config.Notify
	if c.has("notify", "slack") {
		c.destination("Slack's webhook", n.Slack.Webhook, "notify", "slack", "webhook")
	}
	seen := make(map[elt.DestinationName]bool)
	for i, w := range n.Webhooks {
		at := func(key string) []any { return []any{"notify", "webhooks", i, key} }
		c.destination(fmt.Sprintf("url of %s", w.Name), w.URL, at("url")...)
		switch {
		case !elt.ValidPlainName(string(w.Name)) || w.Name == "slack" || w.Name == "openlineage":
			c.problem(CodeBadNotify, fmt.Sprintf("%q cannot name a webhook", w.Name), "use lower-case letters, digits, _ and -, beginning with a letter; slack and openlineage are taken", at("name")...)
		case seen[w.Name]:
			c.problem(CodeBadNotify, fmt.Sprintf("two webhooks are called %s", w.Name), "give each a name of its own", at("name")...)
		}
		seen[w.Name] = true
		const leastSecret = 16
		switch secret := w.Secret.Reveal(); {
		case secret == "":
			c.problem(CodeBadNotify, fmt.Sprintf("%s has no secret: it could not tell whose messages it gets", w.Name), "add secret: from ${env:…}, as from openssl rand -hex 32", at("secret")...)
		case len(secret) < leastSecret:
			c.problem(CodeWeakSecret, fmt.Sprintf("the secret of %s has %d characters: signatures could be forged", w.Name, len(secret)), "use 32 random bytes, as from openssl rand -hex 32", at("secret")...)
		}
	}
}

// openLineage checks the endpoint, which is held to the same rules.
func (c *checker) openLineage() {
	if !c.has("openlineage") {
		return
	}
	o := c.config.OpenLineage
	c.destination("OpenLineage's url", o.URL, "openlineage", "url")
	if o.Namespace == "" {
		c.problem(CodeBadNotify, "OpenLineage's namespace is empty: its jobs would have no place", "name it, as after your team or your workspace", "openlineage", "namespace")
	}
}

// destination checks the URL of one, which no problem may quote. Where a name leads is found out when it is dialled.
func (c *checker) destination(what string, s Secret, path ...any) {
	u, err := url.Parse(s.Reveal())
	switch {
	case s == "":
		c.problem(CodeBadNotify, what+" is missing", "write it as ${env:SLACK_WEBHOOK} or the like", path...)
		return
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		c.problem(CodeBadNotify, what+" is not a URL", "write it as https://host/path, best from ${env:…}", path...)
		return
	case c.config.Notify.AllowPrivate:
		return
	case u.Scheme == "http":
		c.problem(CodeBadNotify, what+" has no TLS, so that everybody on the way could read and change what is told", "use https", path...)
		return
	}
	if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()) {
		c.problem(CodeBadNotify, what+" leads to this machine or a private network", "correct it, or set notify.allow_private if it is meant", path...)
	}
}
