package transform

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// test is one test of a dataset: a query for the rows that fail it.
type test struct {
	name     string
	kind     string // unique, not_null, accepted_values, relationships; empty for a query of sql/tests
	dataset  elt.DatasetName
	file     string
	line     int
	column   string
	values   []string // accepted_values, as SQL literals
	parent   elt.DatasetName
	field    string // relationships: the parent's column
	where    *jinja.Template
	query    *jinja.Template // a query of sql/tests
	source   string          // of query
	severity string          // error or warn
	warnIf   condition
	errorIf  condition
	reads    []elt.DatasetName // every dataset that it reads
}

// condition decides over a number of failing rows: "> 10".
type condition struct {
	operator string
	number   int64
}

var conditionForm = regexp.MustCompile(`^\s*(=|==|!=|<>|>|>=|<|<=)\s*(\d{1,18})\s*$`)

func parseCondition(s string) (condition, bool) {
	m := conditionForm.FindStringSubmatch(s)
	if m == nil {
		return condition{}, false
	}
	n, err := strconv.ParseInt(m[2], 10, 64)
	return condition{m[1], n}, err == nil
}

// holds reports whether n failing rows meet the condition.
func (c condition) holds(n int64) bool {
	switch c.operator {
	case "=", "==":
		return n == c.number
	case ">":
		return n > c.number
	case ">=":
		return n >= c.number
	case "<":
		return n < c.number
	case "<=":
		return n <= c.number
	}
	return n != c.number
}

// testDecl is a test as schema.yml declares it: a kind's name, or the kind with arguments.
type testDecl struct {
	kind string
	node *yamlfile.Node // where it is
	args *yamlfile.Node // its arguments; nil for none
}

// UnmarshalNode reads either form.
func (t *testDecl) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	t.node = n
	switch n.Kind {
	case yamlfile.Scalar:
		return n.Decode(&t.kind)
	case yamlfile.Mapping:
		if names := n.Keys(); len(names) == 1 {
			t.kind, t.args = names[0], n.Get(names[0])
			return nil
		}
	}
	return elt.Problems{n.Problem(CodeTest, "a test is a name, or one name with its arguments indented below it", "write - not_null, or - not_null: with {severity: warn} below it")}
}

// testArgs are the arguments of every kind; those that a kind does not have are refused.
type testArgs struct {
	Name        string         `yaml:"name"`
	Description string         `yaml:"description"`
	ColumnName  string         `yaml:"column_name"`
	Values      []any          `yaml:"values"`
	Quote       *bool          `yaml:"quote"`
	To          string         `yaml:"to"`
	Field       string         `yaml:"field"`
	Where       string         `yaml:"where"`
	Severity    string         `yaml:"severity"`
	WarnIf      string         `yaml:"warn_if"`
	ErrorIf     string         `yaml:"error_if"`
	Tags        textList       `yaml:"tags"`
	Config      testOptions    `yaml:"config"`
	Arguments   *testArguments `yaml:"arguments"`
}

// testOptions is a test's config block, where newer projects write what stands beside it in older ones.
type testOptions struct {
	Where    string   `yaml:"where"`
	Severity string   `yaml:"severity"`
	WarnIf   string   `yaml:"warn_if"`
	ErrorIf  string   `yaml:"error_if"`
	Tags     textList `yaml:"tags"`
}

// testArguments is a test's arguments block, of newer projects too.
type testArguments struct {
	ColumnName string `yaml:"column_name"`
	Values     []any  `yaml:"values"`
	Quote      *bool  `yaml:"quote"`
	To         string `yaml:"to"`
	Field      string `yaml:"field"`
}

var testKinds = []string{"accepted_values", "not_null", "relationships", "unique"}

// addTest reads one declaration and adds the test to its dataset.
func (r *reader) addTest(d elt.DatasetName, decl testDecl, column string) {
	if decl.node == nil {
		return
	}
	refuse := func(what, do string) { r.problems = append(r.problems, decl.node.Problem(CodeTest, what, do)) }
	if !slices.Contains(testKinds, decl.kind) {
		do := yamlfile.Suggest(decl.kind, testKinds)
		if strings.Contains(decl.kind, ".") || yamlfile.Closest(decl.kind, testKinds) == "" {
			do = "use unique, not_null, accepted_values or relationships, or write a query that returns the bad rows in sql/tests"
		}
		refuse(fmt.Sprintf("there is no test %q", decl.kind), do)
		return
	}
	var a testArgs
	if decl.args != nil {
		problems := decl.args.Decode(&a)
		r.problems = append(r.problems, problems...)
		if len(problems) > 0 {
			return
		}
	}
	a.join()
	t := &test{kind: decl.kind, dataset: d, file: r.fileOf(decl.node), line: decl.node.Line, column: column, reads: []elt.DatasetName{d}}
	if column == "" {
		t.column = a.ColumnName
	} else if a.ColumnName != "" {
		refuse("column_name is for tests of the whole model", "remove it: this test is of column "+column)
	}
	if t.column == "" {
		refuse(fmt.Sprintf("the test %s of %s names no column", decl.kind, d), "put it under a column, or add column_name")
		return
	}
	ok := r.testTarget(t, a, refuse)
	ok = r.testOptions(t, a, refuse) && ok
	if !ok {
		return
	}
	t.name = t.title()
	if a.Name != "" {
		t.name = a.Name
	}
	for _, other := range r.project.tests[d] {
		if other.name == t.name {
			refuse(fmt.Sprintf("%s is already a test of %s (line %d)", t.name, d, other.line), "remove one of the two, or give this one a name")
			return
		}
	}
	r.project.tests[d] = append(r.project.tests[d], t)
}

// join takes what stands in the config and arguments blocks.
func (a *testArgs) join() {
	pick := func(into *string, other string) {
		if *into == "" {
			*into = other
		}
	}
	pick(&a.Where, a.Config.Where)
	pick(&a.Severity, a.Config.Severity)
	pick(&a.WarnIf, a.Config.WarnIf)
	pick(&a.ErrorIf, a.Config.ErrorIf)
	if in := a.Arguments; in != nil {
		pick(&a.ColumnName, in.ColumnName)
		pick(&a.To, in.To)
		pick(&a.Field, in.Field)
		if a.Values == nil {
			a.Values = in.Values
		}
		if a.Quote == nil {
			a.Quote = in.Quote
		}
	}
}

func (t *test) title() string {
	switch t.kind {
	case "relationships":
		return fmt.Sprintf("relationships(%s → %s.%s)", t.column, t.parent, t.field)
	}
	return t.kind + "(" + t.column + ")"
}

var targetForm = regexp.MustCompile(`^\s*(?:\{\{)?\s*(?:ref\(\s*['"]([^'"]+)['"]\s*\)|source\(\s*['"]([^'"]+)['"]\s*,\s*['"]([^'"]+)['"]\s*\))\s*(?:\}\})?\s*$`)

// testTarget reads what only some kinds take.
func (r *reader) testTarget(t *test, a testArgs, refuse func(what, do string)) bool {
	if t.kind != "accepted_values" && (a.Values != nil || a.Quote != nil) {
		refuse("values and quote are arguments of accepted_values", "remove them")
		return false
	}
	if t.kind != "relationships" && (a.To != "" || a.Field != "") {
		refuse("to and field are arguments of relationships", "remove them")
		return false
	}
	switch t.kind {
	case "accepted_values":
		if len(a.Values) == 0 {
			refuse("accepted_values needs values", "add values: ['a', 'b']")
			return false
		}
		for _, v := range a.Values {
			s, isText := v.(string)
			switch {
			case v == nil:
				refuse("accepted_values lists null, which no value equals", "remove it; not_null tests for NULL")
				return false
			case isText && (a.Quote == nil || *a.Quote), a.Quote != nil && *a.Quote:
				t.values = append(t.values, "'"+strings.ReplaceAll(fmt.Sprint(v), "'", "''")+"'")
			case isText:
				t.values = append(t.values, s)
			default:
				t.values = append(t.values, fmt.Sprint(v))
			}
		}
	case "relationships":
		m := targetForm.FindStringSubmatch(a.To)
		if m == nil || a.Field == "" {
			refuse("relationships needs to and field", "add to: ref('model') and field: id")
			return false
		}
		t.parent, t.field = elt.DatasetName(m[1]), a.Field
		if m[1] == "" {
			t.parent = elt.DatasetName(m[2] + "." + m[3])
		}
		if !r.exists(t.parent) {
			refuse(fmt.Sprintf("relationships names %s, which does not exist", t.parent), yamlfile.Suggest(string(t.parent), r.project.known(m[1] == "")))
			return false
		}
		t.reads = append(t.reads, t.parent)
	}
	return true
}

func (r *reader) exists(d elt.DatasetName) bool {
	_, ok := r.project.rank[d]
	return ok
}

// testOptions reads what every kind takes.
func (r *reader) testOptions(t *test, a testArgs, refuse func(what, do string)) bool {
	t.severity = strings.ToLower(a.Severity)
	if t.severity == "" {
		t.severity = "error"
	}
	if t.severity != "error" && t.severity != "warn" {
		refuse(fmt.Sprintf("the severity %q is neither error nor warn", a.Severity), "write severity: error or severity: warn")
		return false
	}
	t.warnIf, t.errorIf = condition{"!=", 0}, condition{"!=", 0}
	for _, c := range []struct {
		name, text string
		into       *condition
	}{{"warn_if", a.WarnIf, &t.warnIf}, {"error_if", a.ErrorIf, &t.errorIf}} {
		if c.text == "" {
			continue
		}
		parsed, ok := parseCondition(c.text)
		if !ok {
			refuse(fmt.Sprintf("%s: %q is not a condition over the number of failing rows", c.name, c.text), `write it as "> 10"`)
			return false
		}
		*c.into = parsed
	}
	if a.Where == "" {
		return true
	}
	where, errs := jinja.Parse(t.file, a.Where)
	for _, e := range errs {
		refuse("where: "+e.What, e.Do)
	}
	if len(errs) > 0 {
		return false
	}
	t.where = where
	found := rendered{refs: map[elt.DatasetName]jinja.Position{}}
	ok := true
	g := &rendering{project: r.project, interval: exampleNight, this: `"this"`, thisName: t.dataset,
		problem: func(_ jinja.Position, _ elt.Code, what, do string) { refuse("where: "+what, do); ok = false },
		relation: func(c *jinja.Call, d elt.DatasetName) (string, error) {
			found.refs[d] = c.Position
			return "x", nil
		}}
	if _, failed := where.Render(r.project.library, g.globals()); failed != nil {
		refuse("where: "+failed.What, failed.Do)
		return false
	}
	for d := range found.refs {
		if !slices.Contains(t.reads, d) {
			t.reads = append(t.reads, d)
		}
	}
	slices.Sort(t.reads[1:])
	return ok
}

func (r *reader) fileOf(n *yamlfile.Node) string { return n.Problem("", "", "").File }
