package load

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// shownMismatches is how many mismatches an error spells out.
const shownMismatches = 5

// Rules are what a dataset says about its verification.
type Rules struct {
	AllowEmpty bool             // a full load of zero rows may replace a table that had rows
	Level      elt.Level        // how deep; empty means elt.LevelColumns
	Expect     elt.ExpectedRows // how many rows there may be
	Trailing   []int64          // row counts of the last published versions, for what is expected of them
}

// Verify compares what the warehouse staged with the manifest, fact by fact, and guards what is published: a full load
// of no rows over a table that has some is refused, and a number of rows or of deletes that nobody expects. The errors
// are verification_failed and keys_differ, and of the guards empty_over_rows, deletes_over_cap and rows_unexpected, with
// which the result comes too: a person may let the day pass.
func (l *Loader) Verify(ctx context.Context, manifestKey string, rules Rules) (elt.Result, error) {
	m, err := l.manifest(ctx, manifestKey)
	if err != nil {
		return elt.Result{}, err
	}
	level := cmp.Or(rules.Level, elt.LevelColumns)
	if level == elt.LevelRows && m.Stats.Digest == nil {
		level = elt.LevelColumns // it was extracted when less was asked for
	}
	got, err := l.measure(ctx, m, level)
	if err != nil {
		return elt.Result{}, err
	}
	if err := mismatch(m, got, level); err != nil {
		return elt.Result{}, err
	}
	result := elt.Result{Rows: got.Rows, Manifest: manifestKey, Checks: elt.ChecksPassed, Level: level}
	if result.Deletes, err = l.deletes(ctx, m, level); err != nil {
		return result, err
	}
	if m.Mode == elt.Full && m.Rows() == 0 && !rules.AllowEmpty {
		if err := l.notOverRows(ctx, m); err != nil {
			return result, err
		}
	}
	if wrong := rules.Expect.Judge(m.Rows(), rules.Trailing); wrong != "" {
		return result, &elt.Error{
			Code: codeRowsUnexpected, Class: elt.Data,
			What: fmt.Sprintf("%s %s has %s", m.Dataset, m.Date, wrong),
			Do:   "find out why; if it is right, let it pass: " + letPass(m),
		}
	}
	return result, nil
}

// measure takes the facts of what is staged that the level wants.
func (l *Loader) measure(ctx context.Context, m *elt.Manifest, level elt.Level) (elt.TableStats, error) {
	var columns elt.Schema
	if level != elt.LevelCounts {
		columns = m.Schema
	}
	failpoint.Here("load.verify")
	got, err := l.warehouse.Measure(ctx, m.Run, m.Dataset, columns)
	if err != nil || level != elt.LevelRows {
		return got, err
	}
	digest, err := l.warehouse.Digest(ctx, m.Run, m.Dataset, m.Schema)
	got.Digest = &digest
	return got, err
}

// letPass is the command that lets a day pass the guards once.
func letPass(m *elt.Manifest) string {
	return fmt.Sprintf("daybreak allow %s %s --reason …", m.Dataset, m.Date)
}

// mismatch returns the error that names the facts on which the warehouse and the manifest disagree. Values of
// masked columns are left out.
func mismatch(m *elt.Manifest, got elt.TableStats, level elt.Level) error {
	want := m.Stats
	if level == elt.LevelCounts {
		want.Columns = nil
	}
	differ := want.Compare(got)
	if level != elt.LevelCounts && len(m.Stats.Columns) != len(m.Schema) {
		differ = append(differ, elt.Mismatch{
			Fact: "columns", Want: fmt.Sprint(len(m.Schema)), Got: fmt.Sprintf("%d with facts in the manifest", len(m.Stats.Columns)),
		})
	}
	if len(differ) == 0 {
		return nil
	}
	var said []string
	for _, d := range differ[:min(len(differ), shownMismatches)] {
		said = append(said, sentence(m, d))
	}
	if rest := len(differ) - len(said); rest > 0 {
		said = append(said, fmt.Sprintf("and %d more", rest))
	}
	return &elt.Error{
		Code: codeVerificationFailed, Class: elt.Data,
		What: fmt.Sprintf("the warehouse holds other data than was extracted of %s %s: %s", m.Dataset, m.Date, strings.Join(said, "; ")),
		Do:   "load it again; if it happens again, extract the day again and report it with these facts",
	}
}

// sentence says one mismatch: "shop.users.age: sum is 119, expected 120". Least and greatest values are data
// of people, and messages reach pages that everybody reads: they are only said to differ.
func sentence(m *elt.Manifest, d elt.Mismatch) string {
	where := string(m.Dataset)
	if d.Column != "" {
		where += "." + d.Column
	}
	column, _ := m.Schema.Column(d.Column)
	if (d.Fact == "min" || d.Fact == "max") && (column.Masked != "" || isText(column.Type.Kind)) {
		return fmt.Sprintf("%s: %s differs", where, d.Fact)
	}
	return fmt.Sprintf("%s: %s is %s, expected %s", where, d.Fact, blank(d.Got), blank(d.Want))
}

func isText(k elt.Kind) bool {
	switch k {
	case elt.String, elt.Bytes, elt.JSON, elt.UUID:
		return true
	}
	return false
}

func blank(fact string) string {
	if fact == "" {
		return "none"
	}
	return fact
}

// notOverRows refuses a full load of no rows if the published table has some. A table dataset is published
// under its own name.
func (l *Loader) notOverRows(ctx context.Context, m *elt.Manifest) error {
	rows, exists, err := l.warehouse.PublishedRows(ctx, string(m.Dataset))
	if err != nil || !exists || rows == 0 {
		return err
	}
	return &elt.Error{
		Code: codeEmptyOverRows, Class: elt.Data,
		What: fmt.Sprintf("%s %s has no rows, and would replace a table of %d", m.Dataset, m.Date, rows),
		Do:   "find out why the source is empty; if it may be, set allow_empty: true for the table, or let it pass this once: " + letPass(m),
	}
}
