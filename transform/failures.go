package transform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// MostKept is how many failing rows a test with store_failures keeps in the warehouse.
const MostKept = 10_000

// keepFailures shows operators some of a test's failing rows, and keeps them where the test asks for it. It changes
// nothing about the verdict: what cannot be shown is a line in the log.
func (e *Engine) keepFailures(ctx context.Context, s Scope, t *test, sql string) {
	if e.failures == nil {
		return
	}
	log := e.log.With("run", s.Run, "dataset", t.dataset, "test", t.name)
	hide := e.project.hiddenFrom(t)
	kept := elt.FailingRows{Run: s.Run, Dataset: t.dataset, Date: s.Date, Test: t.name}
	var err error
	if t.store {
		if kept.Table, err = e.failures.KeepFailures(ctx, t.tableName(), sql, hide, MostKept); err != nil {
			log.WarnContext(ctx, "failing rows are not kept", "error", err)
		}
	}
	if e.rows > 0 {
		if kept.Sample, err = e.failures.Sample(ctx, sql, hide, e.rows); err != nil {
			log.WarnContext(ctx, "failing rows are not shown", "error", err)
		}
	}
	if e.keep == nil || kept.Table == "" && len(kept.Sample.Rows) == 0 {
		return
	}
	if err := e.keep(ctx, kept); err != nil {
		log.WarnContext(ctx, "failing rows are not shown", "error", err)
	}
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

func (t *test) tableName() string { return FailuresTable(t.dataset, t.name) }

// FailuresTable is the table in which the failing rows of a dataset's test are kept: revenue__unique_country.
func FailuresTable(d elt.DatasetName, test string) string {
	name := strings.Trim(notName.ReplaceAllString(strings.ToLower(string(d)), "_"), "_") + "__" +
		strings.Trim(notName.ReplaceAllString(strings.ToLower(test), "_"), "_")
	if len(name) <= 60 && !strings.ContainsAny(test, `"'`) {
		return name
	}
	sum := sha256.Sum256([]byte(string(d) + "\x00" + test))
	return name[:min(50, len(name))] + "_" + hex.EncodeToString(sum[:4])
}

// hiddenFrom returns the columns that no sample of a test's rows shows: those that are masked or marked as personal
// anywhere in what the test reads, and in everything that it is made from.
func (p *Project) hiddenFrom(t *test) []string {
	hidden := map[string]bool{}
	for _, d := range t.reads {
		for _, in := range append(p.upstream(d), d) {
			for _, c := range slices.Concat(p.options.Masked[in], p.personal(in)) {
				hidden[strings.ToLower(c)] = true
			}
		}
	}
	if t.column != "" && hidden[strings.ToLower(unquoted(t.column))] {
		hidden["tested_value"] = true // how a test of relationships names it
	}
	return slices.Sorted(maps.Keys(hidden))
}

// personal returns the columns that schema.yml marks with meta: {pii: true} or {masked: true}.
func (p *Project) personal(d elt.DatasetName) []string { return p.hidden[d] }
