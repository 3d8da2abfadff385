package notify

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Outbox is what the senders ask of the ledger.
type Outbox interface {
	ClaimMessage(ctx context.Context, to elt.DestinationName, ttl time.Duration) (elt.Message, bool, error)
	FinishMessage(ctx context.Context, m elt.Message, d elt.Delivery) error
}

// Options are the parts and limits of a Sender.
type Options struct {
	Destinations []Destination
	Outbox       Outbox
	Lineage      Outbox // of OpenLineage destinations
	BaseURL      string // of the status page; "" for no links
	AllowPrivate bool   // addresses of this machine and of private networks may be connected to
	Log          *slog.Logger
	Now          func() time.Time // for signatures, and dates of Retry-After

	Look       time.Duration // how often the outbox is looked into when it was empty; by default 1 s
	Timeout    time.Duration // of one attempt; by default 10 s
	FirstRetry time.Duration // the wait after the first failure, which doubles with each; by default 2 s
	MaxRetry   time.Duration // the longest wait that nobody asked for; by default 10 min
	GiveUp     time.Duration // how old a message may become; by default 24 h
	Grace      time.Duration // how long one on its way may take when the process is to end: Slack would show it twice; by default 2 s
}

// Sender brings messages from the outbox to their destinations.
type Sender struct {
	Options
	clients []*http.Client
}

// New returns a sender. Nothing is connected to before Run.
func New(o Options) *Sender {
	orDefault := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	orDefault(&o.Look, time.Second)
	orDefault(&o.Timeout, 10*time.Second)
	orDefault(&o.FirstRetry, 2*time.Second)
	orDefault(&o.MaxRetry, 10*time.Minute)
	orDefault(&o.GiveUp, 24*time.Hour)
	orDefault(&o.Grace, 2*time.Second)
	s := &Sender{Options: o}
	for _, d := range o.Destinations {
		s.clients = append(s.clients, newClient(d, o.AllowPrivate, o.Timeout))
	}
	return s
}

// Run delivers until ctx ends. A message that is on its way then may still arrive within the grace.
func (s *Sender) Run(ctx context.Context) {
	var senders sync.WaitGroup
	for i, d := range s.Destinations {
		senders.Go(func() { s.keepSending(ctx, d, s.clients[i]) })
	}
	senders.Wait()
	for _, c := range s.clients {
		c.CloseIdleConnections()
	}
}

// keepSending sends to one destination, one message at a time. After a failure the whole destination rests, longer
// with each that follows: whatever ails it is seldom about one message.
func (s *Sender) keepSending(ctx context.Context, d Destination, client *http.Client) {
	log := s.Log.With("destination", d)
	failures, last := 0, ""
	outbox := s.outbox(d)
	for ctx.Err() == nil {
		wait := s.Look
		switch m, found, err := outbox.ClaimMessage(ctx, d.name, s.lease()); {
		case err != nil && ctx.Err() != nil:
			return
		case err != nil:
			if err.Error() != last {
				log.Error("the outbox cannot be read", "error", err)
			}
			last, wait = err.Error(), 5*s.Look
		case found:
			failpoint.Here("notify.claimed")
			delivery := s.deliver(ctx, d, client, m)
			last = s.note(log, m, delivery, last)
			failures++
			wait = max(s.backoff(failures), delivery.Wait)
			if delivery.Error == nil || delivery.Error.Class != elt.Transient { // it is there, and says what it thinks
				failures, wait = 0, 0
			}
		}
		rest := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			rest.Stop()
		case <-rest.C:
		}
	}
}

// outbox is where the messages to a destination are.
func (s *Sender) outbox(d Destination) Outbox {
	if d.lineage != nil {
		return s.Lineage
	}
	return s.Outbox
}

// lease is how long a claimed message is this sender's: long enough to send and record it.
func (s *Sender) lease() time.Duration { return 2*s.Timeout + 30*time.Second }

// deliver sends a claimed message and records how that ended. An outcome that cannot be recorded is found out when the
// lease ends: then the message is sent again under the same key. The wait that it returns is what the destination asked
// for; the message's own, which grows with its attempts, delays no other message.
func (s *Sender) deliver(ctx context.Context, d Destination, client *http.Client, m elt.Message) elt.Delivery {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(s.Grace, cancel) })
	defer stop()
	delivery := d.send(sending, client, m, s.BaseURL, s.Now())
	failpoint.Here("notify.sent")
	own := delivery
	if delivery.State == elt.MessagePending {
		own.Wait = max(s.backoff(m.Attempt), delivery.Wait)
		if d.lineage == nil && m.ClaimedAt.Add(own.Wait).Sub(m.CreatedAt) > s.GiveUp {
			own = gaveUp("notice_expired", elt.Transient, "it could not be delivered in time: "+delivery.Error.Message, delivery.Error.Do)
		}
	}
	recording, end := context.WithTimeout(context.WithoutCancel(ctx), s.Timeout)
	defer end()
	if err := s.outbox(d).FinishMessage(recording, m, own); err != nil {
		s.Log.Warn("a delivery could not be recorded", "destination", d, "message", m.ID, "error", err)
	}
	own.Wait = delivery.Wait
	return own
}

// note logs a delivery; what fails in the same way again and again is logged once, and once when it is over.
func (s *Sender) note(log *slog.Logger, m elt.Message, d elt.Delivery, last string) string {
	switch {
	case d.State == elt.MessageDelivered && m.Lineage != nil: // there are many, every night
		log.Debug("told", "message", m.ID, "attempt", m.Attempt)
		return ""
	case d.State == elt.MessageDelivered:
		log.Info("told", "message", m.ID, "attempt", m.Attempt)
		return ""
	case d.State == elt.MessageFailed:
		log.Error("a message was given up", "message", m.ID, "code", d.Error.Code, "reason", d.Error.Message, "do", d.Error.Do)
	case d.Error.Message != last:
		log.Warn("a message is delayed", "message", m.ID, "code", d.Error.Code, "reason", d.Error.Message)
	}
	return d.Error.Message
}

// backoff returns the wait after that many failures: doubling, and spread so that no two senders march in step.
func (s *Sender) backoff(failures int) time.Duration {
	wait := s.FirstRetry
	for range failures - 1 {
		if wait = min(2*wait, s.MaxRetry); wait == s.MaxRetry {
			break
		}
	}
	return wait/2 + rand.N(wait/2+1)
}
