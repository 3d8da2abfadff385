package elt

import (
	"slices"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	limits := Limits{Sources: map[SourceName]int{"shop": 2}, Warehouse: 1, Backfills: 2}
	at := func(run RunID, kind StepKind, d DatasetName) AtWork {
		return AtWork{Step{ID: NewStepID(run, kind, d), Run: run, Kind: kind, Dataset: d}, strings.HasPrefix(string(run), "backfill")}
	}
	working := []AtWork{at("one", ExtractStep, "shop.users"), at("one", ExtractStep, "crm.deals"), at("two", PublishStep, "")}
	for _, test := range []struct {
		name string
		step AtWork
		more []AtWork
		want string
	}{
		{"one more of two", at("one", ExtractStep, "shop.orders"), nil, ""},
		{"a third", at("one", ExtractStep, "shop.orders"), []AtWork{at("one", ExtractStep, "shop.carts")}, "waits for source shop: 2 of 2 are read"},
		{"another run counts", at("two", ExtractStep, "shop.orders"), []AtWork{at("one", ExtractStep, "shop.carts")}, "waits for source shop: 2 of 2 are read"},
		{"a source without limit", at("one", ExtractStep, "crm.people"), []AtWork{at("one", ExtractStep, "crm.mails")}, ""},
		{"reading is not the warehouse's", at("one", LoadStep, "shop.carts"), nil, ""},
		{"the warehouse is full", at("one", TransformStep, "revenue"), []AtWork{at("one", LoadStep, "shop.carts")}, "waits for the warehouse: 1 of 1 are at work"},
		{"publishing waits for nobody", at("one", PublishStep, ""), []AtWork{at("one", LoadStep, "shop.carts")}, ""},
		{"the same dataset in another run", at("two", LoadStep, "shop.users"), nil, "waits for shop.users, at which run one is at work"},
		{"its own lease that ran out", at("one", ExtractStep, "shop.users"), []AtWork{at("one", ExtractStep, "shop.carts")}, ""},
		{"a backfill's first", at("backfill", ExtractStep, "crm.people"), nil, ""},
		{"a backfill's third, of whatever kind", at("backfill", LoadStep, "crm.people"), []AtWork{at("backfill", ExtractStep, "crm.mails"), at("backfill", ExtractStep, "crm.calls"), at("backfill", PublishStep, "")}, "waits for other steps of backfills: 2 of 2 are at work"},
		{"a night's beside them", at("one", ExtractStep, "crm.people"), []AtWork{at("backfill", ExtractStep, "crm.mails"), at("backfill", ExtractStep, "crm.calls")}, ""},
		{"a backfill publishes", at("backfill", PublishStep, ""), []AtWork{at("backfill", ExtractStep, "crm.mails"), at("backfill", ExtractStep, "crm.calls")}, ""},
		{"a backfill waits for the source, too", at("backfill", ExtractStep, "shop.orders"), []AtWork{at("one", ExtractStep, "shop.carts")}, "waits for source shop: 2 of 2 are read"},
	} {
		if got := limits.Waits(test.step, slices.Concat(working, test.more)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
