package demo

import (
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// plan is a line of the price list, in US dollars a seat and month.
type plan struct {
	name string
	seat int64
}

var (
	planList = []plan{{"starter", 29}, {"growth", 59}, {"scale", 99}, {"enterprise", 149}}
	leaving  = []string{"missing_feature", "out_of_business", "switched", "too_expensive", "too_expensive"}
)

// makeBilling gives companies their trials and subscriptions, month by month, and what they were invoiced.
func (w *world) makeBilling() {
	d := newDice(w.seed, "billing")
	for _, c := range w.companies {
		if c.deleted || c.test || d.chance(.24) {
			continue
		}
		w.subscribe(d, c)
	}
	for _, s := range w.subscriptions {
		w.bill(d, s)
	}
}

// subscribe plays the life of a company's subscriptions. A change of plan or seats ends one and starts another.
func (w *world) subscribe(d dice, c *company) {
	level := min(3, int(d.logNormal(1, .6)+c.traffic/8))
	s := &subscription{
		company: c, plan: planList[level].name, interval: "month", status: "trialing",
		seats: 1 + len(c.agents) + d.IntN(3), startedOn: elt.DateOf(c.createdAt), createdAt: c.createdAt, updatedAt: c.createdAt,
	}
	if d.chance(.15) {
		s.interval = "year"
	}
	s.trialEnds = s.startedOn.AddDays(14)
	w.price(s, level)
	w.subscriptions = append(w.subscriptions, s)
	if !s.trialEnds.Before(w.today) {
		return
	}
	if d.chance(.28) { // the trial ended and nobody paid
		w.cancel(d, s, s.trialEnds, "trial_ended")
		s.deleted = d.chance(.6)
		return
	}
	s.status = "active"
	w.touch(&s.updatedAt, w.office(d, s.trialEnds))
	for month := s.trialEnds.AddDays(30); month.Before(w.today); month = month.AddDays(30) {
		on := month.AddDays(d.IntN(28) - 28)
		switch roll := d.Float64(); {
		case roll < .016:
			w.cancel(d, s, on, pick(d, leaving))
			return
		case roll < .046 && on.After(s.startedOn):
			if level < 3 && d.chance(.35) {
				level++
			}
			s = w.change(d, s, on, level, s.seats+1+d.IntN(4))
		case roll < .055 && on.After(s.startedOn) && s.seats > 2:
			s = w.change(d, s, on, level, s.seats/2)
		}
	}
	if d.chance(.025) {
		s.status = "past_due"
	}
	c.plan = s.plan
	w.touch(&c.updatedAt, s.createdAt)
}

// change ends s and returns what takes its place.
func (w *world) change(d dice, s *subscription, on elt.Date, level, seats int) *subscription {
	w.cancel(d, s, on, "plan_change")
	next := &subscription{
		company: s.company, plan: planList[level].name, interval: s.interval, status: "active", seats: seats,
		startedOn: on, createdAt: s.updatedAt.Add(time.Millisecond), updatedAt: s.updatedAt.Add(time.Millisecond),
	}
	w.price(next, level)
	w.subscriptions = append(w.subscriptions, next)
	return next
}

func (w *world) cancel(d dice, s *subscription, on elt.Date, reason string) {
	s.status, s.cancelledOn, s.cancelReason = "cancelled", on, reason
	w.touch(&s.updatedAt, w.office(d, on))
}

func (w *world) price(s *subscription, level int) {
	s.monthly = planList[level].seat * int64(s.seats) * priceLevel(s.company.place.currency)
	if s.interval == "year" {
		s.monthly = s.monthly * 85 / 100
	}
	if s.company.place.currency == "JPY" {
		s.monthly -= s.monthly % 100 // the yen has no smaller coin
	}
}

// office returns a moment of the date within office hours.
func (w *world) office(d dice, on elt.Date) time.Time {
	return on.At(8, 0, time.UTC).Add(time.Duration(d.IntN(10*3600*1000)) * time.Millisecond)
}

// bill writes the invoices of a subscription: at the end of each month or year, paid mostly within days.
func (w *world) bill(d dice, s *subscription) {
	first := s.trialEnds
	if first.IsZero() {
		first = s.startedOn.AddDays(1) // after the change of plan, wherever the day ends
	}
	until := w.today
	if !s.cancelledOn.IsZero() && s.cancelledOn.Before(until) {
		until = s.cancelledOn
	}
	months, amount := 1, s.monthly
	if s.interval == "year" {
		months, amount = 12, 12*s.monthly
	}
	for n := 0; ; n++ {
		on := first
		if n > 0 { // by the 28th, which every month has
			on = elt.DateOf(time.Date(first.Year, first.Month+time.Month(n*months), min(first.Day, 28), 0, 0, 0, 0, time.UTC))
		}
		if !on.Before(until) || s.status == "trialing" {
			return
		}
		w.settle(d, &invoice{subscription: s, subtotal: amount, status: "open", issuedOn: on, dueOn: on.AddDays(14)})
	}
}

// settle decides what became of an invoice.
func (w *world) settle(d dice, v *invoice) {
	tax := v.subtotal * v.subscription.company.place.tax
	v.tax = (tax + 5000) / 10000
	if v.subscription.company.place.currency == "JPY" {
		v.tax -= v.tax % 100
	}
	v.createdAt = v.issuedOn.At(3, 0, time.UTC).Add(time.Duration(d.IntN(3600*1000)) * time.Millisecond)
	v.updatedAt = v.createdAt
	paid := v.createdAt.Add(d.after(50*time.Hour, 1.5))
	lost := v.createdAt.Add(90 * 24 * time.Hour)
	switch roll := d.Float64(); {
	case roll < .012:
		v.status = "void"
		w.touch(&v.updatedAt, paid)
	case roll < .022 || paid.After(lost):
		if !w.past(lost).IsZero() {
			v.status = "uncollectible"
			w.touch(&v.updatedAt, lost)
		}
	case !w.past(paid).IsZero():
		v.status, v.paidAt = "paid", paid
		w.touch(&v.updatedAt, paid)
	}
	w.invoices = append(w.invoices, v)
}
