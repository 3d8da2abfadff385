package elt

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// PlanToken stands for a plan and for the facts that it was made over: what is done with each day and why, and the
// version that people read meanwhile. It holds enough to say which datasets are planned otherwise later.
type PlanToken string

const (
	tokenVersion  = 1
	tokenDigest   = 16 // bytes of the whole plan's digest
	tokenDataset  = 3  // bytes of each dataset's
	tokenDatasets = 128
)

// Token returns the plan's token.
func (p BackfillPlan) Token() PlanToken {
	whole := sha256.New()
	fmt.Fprintf(whole, "%s\n", p.Request)
	parts := make(map[DatasetName]hash.Hash)
	var order []DatasetName
	for _, d := range p.Days {
		part := parts[d.Dataset]
		if part == nil {
			part = sha256.New()
			parts[d.Dataset] = part
			order = append(order, d.Dataset)
		}
		line := strings.Join([]string{string(d.Dataset), d.Date.String(), string(d.Action), d.Reason, d.Manifest, string(d.Seen), "\n"}, "\x00")
		part.Write([]byte(line)) // never fails
	}
	slices.Sort(order)
	b := []byte{tokenVersion}
	short := make([]byte, 0, tokenDataset*len(order))
	for _, name := range order {
		sum := parts[name].Sum(nil)
		whole.Write(sum)
		short = append(short, sum[:tokenDataset]...)
	}
	b = append(b, whole.Sum(nil)[:tokenDigest]...)
	days, _ := p.Acts()
	b = binary.AppendUvarint(b, uint64(days))
	if len(order) <= tokenDatasets {
		b = append(b, short...)
	}
	return PlanToken(base64.RawURLEncoding.EncodeToString(b))
}

// Differs says in a sentence what the plan does otherwise than the one that the token was given for, "" when it does the
// same over the same facts.
func (p BackfillPlan) Differs(t PlanToken) string {
	mine := p.Token()
	if mine == t {
		return ""
	}
	then, err := base64.RawURLEncoding.DecodeString(string(t))
	if err != nil || len(then) <= 1+tokenDigest || then[0] != tokenVersion {
		return "the token is none that a plan was given"
	}
	now, _ := base64.RawURLEncoding.DecodeString(string(mine)) // it was encoded a moment ago
	daysThen, n := binary.Uvarint(then[1+tokenDigest:])
	if n <= 0 {
		return "the token is none that a plan was given"
	}
	daysNow, m := binary.Uvarint(now[1+tokenDigest:])
	partsThen, partsNow := then[1+tokenDigest+n:], now[1+tokenDigest+m:]
	names := p.names()
	what := "what it would do, or what it was planned over, has changed"
	if len(partsThen) == len(partsNow) && len(partsNow) == tokenDataset*len(names) {
		var changed []string
		for i, name := range names {
			at := i * tokenDataset
			if !bytes.Equal(partsThen[at:at+tokenDataset], partsNow[at:at+tokenDataset]) {
				changed = append(changed, string(name))
			}
		}
		if len(changed) > 0 {
			const most = 5
			what = "what is known of " + strings.Join(changed[:min(len(changed), most)], ", ") + " has changed"
			if len(changed) > most {
				what = fmt.Sprintf("what is known of %s and %d more has changed", strings.Join(changed[:most], ", "), len(changed)-most)
			}
		}
	}
	if daysThen != daysNow {
		what += fmt.Sprintf(": it would bring %d days now, and %d then", daysNow, daysThen)
	}
	return what
}

// names returns the datasets of the plan in the order of their names.
func (p BackfillPlan) names() []DatasetName {
	seen := make(map[DatasetName]bool)
	var out []DatasetName
	for _, d := range p.Days {
		if !seen[d.Dataset] {
			seen[d.Dataset] = true
			out = append(out, d.Dataset)
		}
	}
	slices.Sort(out)
	return out
}
