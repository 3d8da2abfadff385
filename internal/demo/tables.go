package demo

import (
	"fmt"
	"iter"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// table is one table of the production database with its rows in order of ID.
type table struct {
	name    string
	columns []string // each with its declared type, in the order of a row's values
	index   string   // the column that the nightly increments look for; empty for none
	rows    iter.Seq[[]any]
}

// tables returns the world as production stores it: booleans as 0 and 1, dates and UTC instants as
// ISO 8601 text, money as decimals, NULL where nothing is known.
func (w *world) tables() []table {
	return []table{
		{"companies", []string{
			"id INTEGER PRIMARY KEY", "name TEXT NOT NULL", "domain TEXT", "country TEXT NOT NULL", "time_zone TEXT NOT NULL", "currency TEXT NOT NULL",
			"plan TEXT NOT NULL", "industry TEXT", "employees INTEGER", "is_test BOOLEAN NOT NULL", "settings JSON",
			"created_at TIMESTAMPTZ NOT NULL", "updated_at TIMESTAMPTZ NOT NULL",
		}, "", each(w.companies, (*company).row)},
		{"users", []string{
			"id INTEGER PRIMARY KEY", "company_id INTEGER NOT NULL", "role TEXT NOT NULL", "name TEXT", "email TEXT", "phone TEXT", "locale TEXT",
			"email_verified BOOLEAN NOT NULL", "signed_up_on DATE", "custom_attributes JSON", "last_seen_at TIMESTAMPTZ",
			"created_at TIMESTAMPTZ NOT NULL", "updated_at TIMESTAMPTZ NOT NULL",
		}, "updated_at", each(w.users, (*user).row)},
		{"conversations", []string{
			"id INTEGER PRIMARY KEY", "company_id INTEGER NOT NULL", "user_id INTEGER NOT NULL", "assignee_id INTEGER", "channel TEXT NOT NULL", "subject TEXT",
			"state TEXT NOT NULL", "is_priority BOOLEAN NOT NULL", "rating INTEGER", "first_reply_at TIMESTAMPTZ", "closed_at TIMESTAMPTZ",
			"created_at TIMESTAMPTZ NOT NULL", "updated_at TIMESTAMPTZ NOT NULL",
		}, "updated_at", each(w.conversations, (*conversation).row)},
		{"message_parts", []string{
			"id INTEGER PRIMARY KEY", "conversation_id INTEGER NOT NULL", "author_id INTEGER", "author_type TEXT NOT NULL", "kind TEXT NOT NULL",
			"body TEXT", "attachments INTEGER NOT NULL", "created_at TIMESTAMPTZ NOT NULL", "updated_at TIMESTAMPTZ NOT NULL",
		}, "updated_at", w.partRows()},
		{"subscriptions", []string{
			"id INTEGER PRIMARY KEY", "company_id INTEGER NOT NULL", "plan TEXT NOT NULL", "seats INTEGER NOT NULL", "billing_interval TEXT NOT NULL",
			"currency TEXT NOT NULL", "monthly_amount DECIMAL(12,2) NOT NULL", "status TEXT NOT NULL", "started_on DATE NOT NULL", "trial_ends_on DATE",
			"cancelled_on DATE", "cancel_reason TEXT", "created_at TIMESTAMPTZ NOT NULL", "updated_at TIMESTAMPTZ NOT NULL",
		}, "", each(w.subscriptions, (*subscription).row)},
		{"invoices", []string{
			"id INTEGER PRIMARY KEY", "number TEXT NOT NULL", "company_id INTEGER NOT NULL", "subscription_id INTEGER NOT NULL", "currency TEXT NOT NULL",
			"subtotal DECIMAL(12,2) NOT NULL", "tax DECIMAL(12,2) NOT NULL", "total DECIMAL(12,2) NOT NULL", "status TEXT NOT NULL",
			"issued_on DATE NOT NULL", "due_on DATE NOT NULL", "paid_at TIMESTAMPTZ", "created_at TIMESTAMPTZ NOT NULL", "updated_at TIMESTAMPTZ NOT NULL",
		}, "updated_at", each(w.invoices, (*invoice).row)},
	}
}

func each[T any](from []T, row func(T) []any) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for _, v := range from {
			if !yield(row(v)) {
				return
			}
		}
	}
}

func (c *company) row() []any {
	return []any{
		c.id, c.name, text(c.domain), c.place.country, c.place.zone, c.place.currency, c.plan, text(c.industry), number(int64(c.employees)),
		flag(c.test), text(c.settings), instant(c.createdAt), instant(c.updatedAt),
	}
}

func (u *user) row() []any {
	var signedUp any
	if u.role != "lead" {
		signedUp = elt.DateOf(u.createdAt).String()
	}
	return []any{
		u.id, u.company.id, u.role, text(u.name), text(u.email), text(u.phone), locales[u.company.place.language], flag(u.verified),
		signedUp, text(u.attributes), instant(u.lastSeen), instant(u.createdAt), instant(u.updatedAt),
	}
}

func (c *conversation) row() []any {
	var assignee any
	if c.assignee != nil {
		assignee = c.assignee.id
	}
	return []any{
		c.id, c.company.id, c.contact.id, assignee, c.channel, text(c.subject), c.state, flag(c.priority), number(int64(c.rating)),
		instant(c.firstReplyAt), instant(c.closedAt), instant(c.createdAt), instant(c.updatedAt),
	}
}

// partRows numbers the parts as they come: nothing refers to them.
func (w *world) partRows() iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for i := range w.parts {
			p := &w.parts[i]
			var author any
			if p.author != nil {
				author = p.author.id
			}
			row := []any{
				i + 1, p.conversation.id, author, p.authorType, p.kind, text(p.body), p.attachments, instant(p.createdAt), instant(p.updatedAt),
			}
			if !yield(row) {
				return
			}
		}
	}
}

func (s *subscription) row() []any {
	return []any{
		s.id, s.company.id, s.plan, s.seats, s.interval, s.company.place.currency, money(s.monthly), s.status, s.startedOn.String(),
		text(s.trialEnds.String()), text(s.cancelledOn.String()), text(s.cancelReason), instant(s.createdAt), instant(s.updatedAt),
	}
}

func (v *invoice) row() []any {
	c := v.subscription.company
	return []any{
		v.id, fmt.Sprintf("INV-%d-%06d", v.issuedOn.Year, v.id), c.id, v.subscription.id, c.place.currency, money(v.subtotal), money(v.tax),
		money(v.subtotal + v.tax), v.status, v.issuedOn.String(), v.dueOn.String(), instant(v.paidAt), instant(v.createdAt), instant(v.updatedAt),
	}
}

// text, number and instant return nil, which is stored as NULL, for the value that means "unknown".
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func number(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// money writes hundredths as a decimal: 12950 is "129.50".
func money(hundredths int64) string {
	return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
}
