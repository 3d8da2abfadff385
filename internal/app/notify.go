package app

import (
	"context"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/notify"
)

// newSender returns what tells the configured destinations of incidents. The ledger knows them from then on, so that
// it must be called before the watch begins.
func (p *parts) newSender(ctx context.Context) (*notify.Sender, error) {
	cfg := p.ws.config.Notify
	var destinations []notify.Destination
	if cfg.Slack.Webhook != "" {
		destinations = append(destinations, notify.Slack(cfg.Slack.Webhook.Reveal(), cfg.Slack.Channel))
	}
	for _, w := range cfg.Webhooks {
		destinations = append(destinations, notify.Webhook(w.Name, w.URL.Reveal(), w.Secret.Reveal()))
	}
	names := make([]elt.DestinationName, len(destinations))
	for i, d := range destinations {
		names[i] = d.Name()
	}
	if err := p.ledger.SyncDestinations(ctx, names); err != nil {
		return nil, err
	}
	return notify.New(notify.Options{
		Destinations: destinations, Outbox: p.ledger, BaseURL: p.ws.config.Status.BaseURL, AllowPrivate: cfg.AllowPrivate,
		Log: p.log, Now: time.Now,
	}), nil
}
