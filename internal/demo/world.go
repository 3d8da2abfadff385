package demo

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// world is the company's whole history while it is being made up. Rows refer to each other by pointer;
// IDs are given at the end, in order of creation, as an autoincrement would have done.
type world struct {
	seed   int64
	end    time.Time // everything happened before it: the first instant of today
	today  elt.Date
	places []place

	companies     []*company
	users         []*user
	conversations []*conversation
	parts         []part
	subscriptions []*subscription
	invoices      []*invoice
}

type company struct {
	id                   int64
	name, domain         string
	place                *place
	plan, industry       string
	employees            int
	test                 bool
	deleted              bool // gone from production: its ID is a gap
	settings             string
	createdAt, updatedAt time.Time

	traffic  float64 // its share of all conversations
	agents   []*user
	contacts []*user // in order of creation
}

type user struct {
	id                   int64
	company              *company
	name, email, phone   string
	role                 string
	attributes           string
	verified             bool
	lastSeen             time.Time
	createdAt, updatedAt time.Time
}

type conversation struct {
	id                   int64
	company              *company
	contact, assignee    *user
	channel, subject     string
	state                string
	priority             bool
	rating               int // 1 to 5; 0 when nobody rated
	firstReplyAt         time.Time
	closedAt             time.Time
	createdAt, updatedAt time.Time
}

type part struct {
	conversation         *conversation
	author               *user // nil for the bot
	authorType, kind     string
	body                 string
	attachments          int
	createdAt, updatedAt time.Time
}

type subscription struct {
	id                   int64
	company              *company
	plan, interval       string
	status, cancelReason string
	seats                int
	monthly              int64 // in hundredths of the currency
	trialEnds            elt.Date
	startedOn            elt.Date
	cancelledOn          elt.Date
	deleted              bool
	createdAt, updatedAt time.Time
}

type invoice struct {
	id                   int64
	subscription         *subscription
	subtotal, tax        int64 // in hundredths of the currency
	status               string
	issuedOn, dueOn      elt.Date
	paidAt               time.Time
	createdAt, updatedAt time.Time
}

// imagine makes up a world of about the given number of rows.
func imagine(seed int64, today elt.Date, zone *time.Location, rows int) (*world, error) {
	ps, err := places()
	if err != nil {
		return nil, err
	}
	w := &world{seed: seed, end: today.Start(zone).UTC(), today: today, places: ps}
	w.makeCompanies(max(rows/200, 12))
	w.makeUsers(max(rows/8, 60))
	w.makeConversations(max(rows*10/72, 40))
	w.makeBilling()
	w.number()
	return w, nil
}

// number gives every row its ID. What was deleted takes an ID and leaves.
func (w *world) number() {
	byCreation(w.companies, func(c *company) time.Time { return c.createdAt })
	for i, c := range w.companies {
		c.id = int64(i + 1)
	}
	w.companies = slices.DeleteFunc(w.companies, func(c *company) bool { return c.deleted })
	byCreation(w.users, func(u *user) time.Time { return u.createdAt })
	for i, u := range w.users {
		u.id = int64(i + 1)
	}
	byCreation(w.conversations, func(c *conversation) time.Time { return c.createdAt })
	for i, c := range w.conversations {
		c.id = int64(i + 1)
	}
	byCreation(w.parts, func(p part) time.Time { return p.createdAt })
	byCreation(w.subscriptions, func(s *subscription) time.Time { return s.createdAt })
	for i, s := range w.subscriptions {
		s.id = int64(i + 1)
	}
	w.subscriptions = slices.DeleteFunc(w.subscriptions, func(s *subscription) bool { return s.deleted })
	byCreation(w.invoices, func(v *invoice) time.Time { return v.createdAt })
	for i, v := range w.invoices {
		v.id = int64(i + 1)
	}
}

func byCreation[T any](rows []T, at func(T) time.Time) {
	slices.SortStableFunc(rows, func(a, b T) int { return at(a).Compare(at(b)) })
}

// past returns t, or the zero time when t has not happened yet.
func (w *world) past(t time.Time) time.Time {
	if t.Before(w.end) {
		return t
	}
	return time.Time{}
}

// touch moves an updated_at forward to t if t has happened.
func (w *world) touch(updatedAt *time.Time, t time.Time) {
	if t.After(*updatedAt) && t.Before(w.end) {
		*updatedAt = t
	}
}

// rows returns how many rows the world has over all tables.
func (w *world) rows() int {
	return len(w.companies) + len(w.users) + len(w.conversations) + len(w.parts) + len(w.subscriptions) + len(w.invoices)
}

// slug is the plain part of a company's name, for its domain.
func slug(name string) string {
	stem, _, _ := strings.Cut(name, " ")
	return strings.ToLower(strings.Trim(stem, "™"))
}

// longAgo returns a moment of the last n days, the more likely the later it is: the company grew.
func (w *world) longAgo(d dice, days float64) time.Time {
	back := time.Duration((1-math.Cbrt(d.Float64()))*days*24*float64(time.Hour)).Round(time.Millisecond) + time.Hour
	return w.end.Add(-back)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
