package transform

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// testOptions are what every kind of test takes, in a config block, in config() or beside its arguments.
type testOptions struct {
	where, severity, warnIf, errorIf string
	limit                            int64
	store, disabled                  bool
}

var testOptionKeys = []string{"enabled", "error_if", "fail_calc", "limit", "severity", "store_failures", "store_failures_as", "tags", "warn_if", "where"}

// set reads one option from a value of YAML or of a template.
func (o *testOptions) set(key string, value any) error {
	text, isText := value.(string)
	yes, isBool := value.(bool)
	switch key {
	case "where", "severity", "warn_if", "error_if":
		if !isText {
			return fmt.Errorf("%s is a text", key)
		}
		*map[string]*string{"where": &o.where, "severity": &o.severity, "warn_if": &o.warnIf, "error_if": &o.errorIf}[key] = text
	case "limit":
		n, ok := wholeNumber(value)
		if !ok || n < 1 {
			return errors.New("limit is a whole number of rows, from 1")
		}
		o.limit = n
	case "enabled", "store_failures":
		if !isBool {
			return fmt.Errorf("%s is true or false", key)
		}
		if key == "enabled" {
			o.disabled = !yes
		} else {
			o.store = yes
		}
	case "store_failures_as":
		if text != "table" && text != "ephemeral" {
			return errors.New("store_failures_as is table or ephemeral: a view would show other rows tomorrow")
		}
		o.store = text == "table"
	case "fail_calc":
		if strings.ToLower(strings.ReplaceAll(text, " ", "")) != "count(*)" {
			return errors.New("fail_calc is not supported: a test fails by the number of rows that its query returns; return a row for each failure")
		}
	case "tags": // tests are selected by what they test
	default:
		return fmt.Errorf("there is no option %q of a test: use one of %s", key, strings.Join(testOptionKeys, ", "))
	}
	return nil
}

func wholeNumber(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	}
	return 0, false
}

// testOptions gives a test its options, with what they mean checked.
func (r *reader) testOptions(t *test, o testOptions, refuse func(what, do string)) bool {
	t.limit, t.store = o.limit, o.store
	t.severity = strings.ToLower(o.severity)
	if t.severity == "" {
		t.severity = "error"
	}
	if t.severity != "error" && t.severity != "warn" {
		refuse(fmt.Sprintf("the severity %q is neither error nor warn", o.severity), "write severity: error or severity: warn")
		return false
	}
	t.warnIf, t.errorIf = anyRow, anyRow
	for _, c := range []struct {
		name, text string
		into       *condition
	}{{"warn_if", o.warnIf, &t.warnIf}, {"error_if", o.errorIf, &t.errorIf}} {
		if c.text == "" {
			continue
		}
		parsed, ok := parseCondition(c.text)
		if !ok {
			refuse(fmt.Sprintf("%s: %q is not a condition over the number of failing rows", c.name, c.text), `write it as "> 10", "between 1 and 9" or "not in (0, 3)"`)
			return false
		}
		*c.into = parsed
	}
	return o.where == "" || r.testWhere(t, o.where, refuse)
}

// testWhere parses the condition that narrows what a test looks at.
func (r *reader) testWhere(t *test, text string, refuse func(what, do string)) bool {
	if t.kind == "" {
		refuse("where narrows the dataset of a test, and a query of sql/tests has none of its own", "write the condition into the query")
		return false
	}
	where, errs := jinja.Parse(t.file, text)
	for _, e := range errs {
		refuse("where: "+e.What, e.Do)
	}
	if len(errs) > 0 {
		return false
	}
	t.where = where
	ok := true
	found := map[elt.DatasetName]bool{}
	g := &rendering{project: r.project, interval: exampleNight, this: `"this"`, thisName: t.dataset,
		problem: func(_ jinja.Position, _ elt.Code, what, do string) { refuse("where: "+what, do); ok = false },
		relation: func(_ *jinja.Call, d elt.DatasetName) (string, error) {
			found[d] = true
			return "x", nil
		}}
	if _, failed := where.Render(r.project.library, g.globals()); failed != nil {
		refuse("where: "+failed.What, failed.Do)
		return false
	}
	t.readAlso(found)
	return ok
}

// readAlso adds to what a test reads beside its own dataset.
func (t *test) readAlso(found map[elt.DatasetName]bool) {
	for d := range found {
		if !slices.Contains(t.reads, d) {
			t.reads = append(t.reads, d)
		}
	}
	slices.Sort(t.reads[1:])
}
