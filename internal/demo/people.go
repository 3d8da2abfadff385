package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

var (
	industries = []string{"", "", "education", "finance", "games", "healthcare", "logistics", "media", "public sector", "retail", "software", "travel"}
	locales    = map[string]string{"en": "en-GB", "de": "de-DE", "fr": "fr-FR", "es": "es-ES", "pt": "pt-BR", "pl": "pl-PL", "el": "el-GR", "ja": "ja-JP"}
	heardFrom  = []string{"a colleague", "conference", "newsletter", "podcast", "search", "webinar"}
)

func (w *world) makeCompanies(n int) {
	d := newDice(w.seed, "companies")
	where := newWeights(w.places, func(p place) float64 { return p.weight })
	for range n {
		c := &company{
			name:      pick(d, house.stems) + pick(d, house.ends) + pick(d, house.trades),
			place:     &w.places[where.pick(d)],
			plan:      "free",
			industry:  pick(d, industries),
			createdAt: w.longAgo(d, 900),
			traffic:   min(d.logNormal(1, 1.8), 150),
			test:      d.chance(.01),
			deleted:   d.chance(.015),
		}
		if d.chance(.95) {
			c.domain = fmt.Sprintf("%s-%d.example", slug(c.name), d.between(10, 9999))
		}
		if d.chance(.85) {
			c.employees = max(1, int(d.logNormal(22, 1.4)*min(c.traffic, 8)))
		}
		if d.chance(.7) {
			c.settings = fmt.Sprintf(`{"office_hours":{"from":"%02d:00","to":"%02d:00"},"auto_reply":%t,"seats_limit":%d}`,
				d.between(7, 10), d.between(16, 20), d.chance(.4), 5*d.between(1, 40))
		}
		c.updatedAt = c.createdAt
		w.touch(&c.updatedAt, c.createdAt.Add(d.after(90*24*time.Hour, 1.6)))
		w.companies = append(w.companies, c)
	}
}

// makeUsers gives every company its agents and its contacts, the busier the more.
func (w *world) makeUsers(n int) {
	d := newDice(w.seed, "users")
	traffic := newWeights(w.companies, func(c *company) float64 {
		if c.deleted {
			return .1
		}
		return c.traffic
	})
	for _, c := range w.companies {
		for range 1 + min(int(d.logNormal(1.2, .8)*(1+c.traffic/2)), 60) {
			w.addUser(d, c, "agent", c.createdAt)
		}
		w.addUser(d, c, "user", c.createdAt)
	}
	for len(w.users) < n {
		c := w.companies[traffic.pick(d)]
		role := "user"
		if d.chance(.3) {
			role = "lead"
		}
		age := w.end.Sub(c.createdAt).Hours() / 24
		if d.chance(.35) {
			age = min(age, 60)
		}
		w.addUser(d, c, role, later(w.longAgo(d, age), c.createdAt.Add(time.Second)))
	}
	for _, c := range w.companies {
		byCreation(c.contacts, func(u *user) time.Time { return u.createdAt })
	}
}

func (w *world) addUser(d dice, c *company, role string, at time.Time) {
	u := &user{company: c, role: role, createdAt: at.Add(time.Duration(d.IntN(3_600_000)) * time.Millisecond)}
	if !u.createdAt.Before(w.end) {
		u.createdAt = at
	}
	u.updatedAt = u.createdAt
	domain := c.domain
	if role != "agent" || domain == "" {
		domain = pick(d, []string{"mail.example", "post.example", "inbox.example", "correo.example"})
	}
	if role != "lead" || d.chance(.25) {
		u.name = scripts[c.place.names].person(d)
		u.email = fmt.Sprintf("%s.%d@%s", strings.ToLower(pick(d, house.stems)), d.between(1, 99999), domain)
		u.verified = d.chance(.8)
	}
	if d.chance(.2) {
		u.phone = fmt.Sprintf("+999 %03d %06d", d.IntN(1000), d.IntN(1_000_000))
	}
	if d.chance(.4) {
		u.attributes = fmt.Sprintf(`{"heard_from":%q,"logins":%d,"beta":%t}`, pick(d, heardFrom), int(d.logNormal(12, 1.3)), d.chance(.1))
	}
	w.touch(&u.updatedAt, u.createdAt.Add(d.after(25*24*time.Hour, 1.5)))
	if role == "agent" {
		c.agents = append(c.agents, u)
	} else {
		c.contacts = append(c.contacts, u)
	}
	w.users = append(w.users, u)
}

// contactAt returns one of the company's contacts that existed at t; recent ones write more often.
func (c *company) contactAt(d dice, t time.Time) *user {
	n, _ := slices.BinarySearchFunc(c.contacts, t, func(u *user, t time.Time) int { return u.createdAt.Compare(t) })
	if n == 0 {
		return nil
	}
	return c.contacts[n-1-int(d.Float64()*d.Float64()*float64(n))]
}

// anAgent returns one of the company's agents; some take much more than others.
func (c *company) anAgent(d dice) *user {
	return c.agents[int(d.Float64()*d.Float64()*float64(len(c.agents)))]
}

// seen records that the user was active at t.
func (w *world) seen(u *user, t time.Time) {
	w.touch(&u.lastSeen, t)
	w.touch(&u.updatedAt, t)
}
