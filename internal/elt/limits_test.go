package elt

import (
	"slices"
	"testing"
)

func TestLimits(t *testing.T) {
	limits := Limits{Sources: map[SourceName]int{"shop": 2}, Warehouse: 1}
	at := func(run RunID, kind StepKind, d DatasetName) Step {
		return Step{ID: NewStepID(run, kind, d), Run: run, Kind: kind, Dataset: d}
	}
	working := []Step{at("one", ExtractStep, "shop.users"), at("one", ExtractStep, "crm.deals"), at("two", PublishStep, "")}
	for _, test := range []struct {
		name string
		step Step
		more []Step
		want string
	}{
		{"one more of two", at("one", ExtractStep, "shop.orders"), nil, ""},
		{"a third", at("one", ExtractStep, "shop.orders"), []Step{at("one", ExtractStep, "shop.carts")}, "waits for source shop: 2 of 2 are read"},
		{"another run counts", at("two", ExtractStep, "shop.orders"), []Step{at("one", ExtractStep, "shop.carts")}, "waits for source shop: 2 of 2 are read"},
		{"a source without limit", at("one", ExtractStep, "crm.people"), []Step{at("one", ExtractStep, "crm.mails")}, ""},
		{"reading is not the warehouse's", at("one", LoadStep, "shop.carts"), nil, ""},
		{"the warehouse is full", at("one", TransformStep, "revenue"), []Step{at("one", LoadStep, "shop.carts")}, "waits for the warehouse: 1 of 1 are at work"},
		{"publishing waits for nobody", at("one", PublishStep, ""), []Step{at("one", LoadStep, "shop.carts")}, ""},
		{"the same dataset in another run", at("two", LoadStep, "shop.users"), nil, "waits for shop.users, at which run one is at work"},
		{"its own lease that ran out", at("one", ExtractStep, "shop.users"), []Step{at("one", ExtractStep, "shop.carts")}, ""},
	} {
		if got := limits.Waits(test.step, slices.Concat(working, test.more)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
