package demo

import (
	"math"
	"strings"
	"time"
)

// The demo's traffic covers the last days of history, grows, and once had a very bad afternoon.
const (
	trafficDays = 60
	outageDay   = 17 // days before today
	outageSurge = 1.9
)

var (
	channels = []struct {
		name   string
		weight float64
	}{{"chat", 52}, {"email", 27}, {"in_app", 14}, {"whatsapp", 7}}
	subjects = []string{"Question about my invoice", "Re: Re: login", "¿Factura?", "Frage zur Abrechnung", "ご質問", "Export", "Feature request ✨", "Problème urgent"}
)

func (w *world) makeConversations(n int) {
	d := newDice(w.seed, "conversations")
	traffic := newWeights(w.companies, func(c *company) float64 {
		if c.deleted {
			return 0
		}
		return c.traffic
	})
	channel := newWeights(channels, func(c struct {
		name   string
		weight float64
	}) float64 {
		return c.weight
	})
	hours := newWeights(hourShape[:], func(h float64) float64 { return h })
	days := newWeights(make([]struct{}, trafficDays), w.dayWeight(d))
	for tries := 0; len(w.conversations) < n && tries < 4*n; tries++ {
		c := w.companies[traffic.pick(d)]
		date := w.today.AddDays(-trafficDays + days.pick(d))
		at := date.At(hours.pick(d), d.IntN(60), c.place.loc).UTC().Add(time.Duration(d.IntN(60_000)) * time.Millisecond)
		contact := c.contactAt(d, at)
		if contact == nil || !at.Before(w.end) {
			continue
		}
		w.converse(d, &conversation{
			company: c, contact: contact, channel: channels[channel.pick(d)].name,
			priority: d.chance(.06), state: "open", createdAt: at, updatedAt: at,
		})
	}
}

// dayWeight returns how busy each day of the traffic is.
func (w *world) dayWeight(d dice) func(struct{}) float64 {
	day := 0
	return func(struct{}) float64 {
		date := w.today.AddDays(-trafficDays + day)
		weight := dayShape[date.Weekday()] * (1 + .25*float64(day)/trafficDays) * d.logNormal(1, .07)
		if trafficDays-day == outageDay {
			weight *= outageSurge
		}
		day++
		return weight
	}
}

// converse plays a conversation from its opening to wherever it stands at the end of history.
func (w *world) converse(d dice, c *conversation) {
	if c.channel == "email" || d.chance(.08) {
		c.subject = pick(d, subjects)
	}
	text := writer{d, languages[c.company.place.language], &strings.Builder{}}
	w.conversations = append(w.conversations, c)
	w.say(d, c, part{author: c.contact, kind: "message", body: text.opening(), createdAt: c.createdAt})
	at := c.createdAt
	if d.chance(.22) {
		w.say(d, c, part{kind: "message", body: "We got your message and usually answer within the hour. 🤖", createdAt: at.Add(time.Duration(800+d.IntN(2500)) * time.Millisecond)})
	}
	if d.chance(.05) {
		return // nobody ever answered
	}
	agent := c.company.anAgent(d)
	at = w.answerTime(d, c, at)
	if w.past(at).IsZero() {
		return
	}
	c.assignee = agent
	w.say(d, c, part{author: agent, kind: "assignment", createdAt: at.Add(-time.Duration(d.between(5, 9000)) * time.Millisecond)})
	c.firstReplyAt = at
	w.say(d, c, part{author: agent, kind: "message", body: text.answer(true), createdAt: at})
	for d.chance(.52) {
		at = at.Add(d.after(26*time.Minute, 1.3))
		last := d.chance(.45)
		w.say(d, c, part{author: c.contact, kind: "message", body: text.reply(last), createdAt: at})
		if last {
			break
		}
		if d.chance(.12) {
			w.say(d, c, part{author: c.company.anAgent(d), kind: "note", body: text.answer(false), createdAt: at.Add(d.after(4*time.Minute, .8))})
		}
		at = at.Add(d.after(14*time.Minute, 1.1))
		w.say(d, c, part{author: agent, kind: "message", body: text.answer(false), createdAt: at})
	}
	w.conclude(d, c, agent, at)
}

// conclude closes, snoozes, rates and tags a conversation: mostly much later.
func (w *world) conclude(d dice, c *conversation, agent *user, at time.Time) {
	if d.chance(.06) {
		c.state = "snoozed"
		w.touch(&c.updatedAt, at.Add(d.after(5*time.Minute, .6)))
	} else if d.chance(.93) {
		closed := at.Add(d.after(100*time.Minute, 1.4))
		if !w.past(closed).IsZero() {
			c.state, c.closedAt = "closed", closed
			w.say(d, c, part{author: agent, kind: "close", createdAt: closed})
		}
		rated := closed.Add(d.after(9*time.Hour, 1.6))
		if d.chance(.28) && !w.past(rated).IsZero() {
			waited := c.firstReplyAt.Sub(c.createdAt).Hours()
			c.rating = min(5, max(1, int(math.Round(4.7-.35*math.Log1p(waited)+d.NormFloat64()))))
			w.touch(&c.updatedAt, rated)
			w.seen(c.contact, rated)
		}
	}
	if d.chance(.12) { // tagged, merged or redacted by somebody days later
		w.touch(&c.updatedAt, c.updatedAt.Add(d.after(4*24*time.Hour, .9)))
	}
}

// answerTime is when an agent first answers: soon within office hours, else after the office opens.
func (w *world) answerTime(d dice, c *conversation, at time.Time) time.Time {
	wait := d.after(19*time.Minute, 1.15)
	if c.channel == "email" {
		wait *= 4
	}
	local := at.In(c.company.place.loc)
	weekend := local.Weekday() == time.Saturday || local.Weekday() == time.Sunday
	if (local.Hour() >= 8 && local.Hour() < 19 && !weekend) || d.chance(.25) {
		return at.Add(wait)
	}
	open := time.Date(local.Year(), local.Month(), local.Day(), 9, 0, 0, 0, local.Location())
	for open.Before(local) || open.Weekday() == time.Saturday || open.Weekday() == time.Sunday {
		open = open.AddDate(0, 0, 1)
	}
	return open.UTC().Add(wait)
}

// say adds a part, if it has happened by the end of history, and its traces in the conversation and users.
func (w *world) say(d dice, c *conversation, p part) {
	if w.past(p.createdAt).IsZero() {
		return
	}
	p.conversation, p.updatedAt = c, p.createdAt
	switch {
	case p.author == nil:
		p.authorType = "bot"
	case p.author.role == "agent":
		p.authorType = "agent"
	default:
		p.authorType = "contact"
	}
	if p.kind == "message" && d.chance(.07) {
		p.attachments = 1 + int(d.ExpFloat64())
	}
	if p.body != "" && d.chance(.025) { // edited, mostly days later
		w.touch(&p.updatedAt, p.createdAt.Add(d.after(36*time.Hour, 1.2)))
	}
	if p.author != nil {
		w.seen(p.author, p.createdAt)
	}
	w.touch(&c.updatedAt, p.createdAt)
	w.parts = append(w.parts, p)
}
