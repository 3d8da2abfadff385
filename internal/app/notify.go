package app

import (
	"context"
	"time"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/notify"
)

// newSender returns what tells the configured destinations of incidents, and an OpenLineage endpoint of runs. The ledger knows them from then on, so that
// it must be called before the watch begins.
func (p *parts) newSender(ctx context.Context) (*notify.Sender, error) {
	cfg := p.ws.config.Notify
	all := destinations(cfg)
	names := make([]elt.DestinationName, len(all))
	for i, d := range all {
		names[i] = d.Name()
	}
	if err := p.ledger.SyncDestinations(ctx, names); err != nil {
		return nil, err
	}
	lineage := p.ledger.Lineage()
	var told []elt.DestinationName
	if p.ws.config.OpenLineage.URL != "" {
		d := p.ws.lineage()
		all, told = append(all, d), append(told, d.Name())
	}
	if err := lineage.Sync(ctx, told); err != nil {
		return nil, err
	}
	return notify.New(notify.Options{
		Destinations: all, Outbox: p.ledger, Lineage: lineage, BaseURL: p.ws.config.Status.BaseURL, AllowPrivate: cfg.AllowPrivate,
		Log: p.log, Now: time.Now,
	}), nil
}

// destinations are those that the configuration names.
func destinations(cfg config.Notify) (all []notify.Destination) {
	if cfg.Slack.Webhook != "" {
		all = append(all, notify.Slack(cfg.Slack.Webhook.Reveal(), cfg.Slack.Channel))
	}
	for _, w := range cfg.Webhooks {
		all = append(all, notify.Webhook(w.Name, w.URL.Reveal(), w.Secret.Reveal()))
	}
	return all
}
