//go:build long

package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// newOrdeal draws what happens: everything that can, in some order, to who reads.
func newOrdeal(seed uint64) ordeal {
	r := rand.New(rand.NewPCG(seed, 3))
	o := ordeal{seed: seed, datasets: 14, night: []string{killed, stopped, overslept, noLedger, deafLedger, noLake, relieved}}
	r.Shuffle(len(o.night), func(i, j int) { o.night[i], o.night[j] = o.night[j], o.night[i] })
	o.wide = []string{killed, stopped, noLedger, relieved}[r.IntN(4)]
	o.lead = []string{killed, stopped, noLedger}[r.IntN(3)]
	o.between = []string{killed, []string{stopped, noLedger, relieved}[r.IntN(3)]}
	return o
}

// The same with everything that can happen, in an order that a seed draws: cut off from the ledger and from S3, asked to end.
func TestWorkersUnderFire(t *testing.T) {
	first := seedOf(t, rand.Uint64N(1_000_000))
	for seed := first; seed < first+5; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { underFire(t, newOrdeal(seed)) })
	}
}
