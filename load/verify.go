package load

import (
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// levelColumns is the verification level that Verify reaches: facts of every column.
const levelColumns = "columns"

// shownMismatches is how many mismatches an error spells out.
const shownMismatches = 5

// Rules are what a dataset says about its verification.
type Rules struct {
	AllowEmpty bool // a full load of zero rows may replace a table that had rows
}

// Verify compares what the warehouse staged with the manifest, fact by fact, and refuses a full load of no
// rows over a published table that has some. The errors are verification_failed and empty_over_rows.
func (l *Loader) Verify(ctx context.Context, manifestKey string, rules Rules) (elt.Result, error) {
	m, err := l.manifest(ctx, manifestKey)
	if err != nil {
		return elt.Result{}, err
	}
	got, err := l.warehouse.Measure(ctx, m.Run, m.Dataset, m.Schema)
	if err != nil {
		return elt.Result{}, err
	}
	if err := mismatch(m, got); err != nil {
		return elt.Result{}, err
	}
	if m.Mode == elt.Full && m.Rows() == 0 && !rules.AllowEmpty {
		if err := l.notOverRows(ctx, m); err != nil {
			return elt.Result{}, err
		}
	}
	return elt.Result{Rows: got.Rows, Manifest: manifestKey, Checks: elt.ChecksPassed, Level: levelColumns}, nil
}

// mismatch returns the error that names the facts on which the warehouse and the manifest disagree. Values of
// masked columns are left out.
func mismatch(m *elt.Manifest, got elt.TableStats) error {
	differ := m.Stats.Compare(got)
	if len(m.Stats.Columns) != len(m.Schema) {
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
		Do:   "find out why the source is empty; if it may be, set allow_empty: true for the table",
	}
}
