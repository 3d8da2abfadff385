package transform

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// test is one test of a dataset: a query for the rows that fail it.
type test struct {
	name      string
	kind      string // unique, not_null, accepted_values, relationships, freshness, or a generic test's name; empty for a query of sql/tests
	dataset   elt.DatasetName
	file      string
	line      int
	column    string
	values    []string // accepted_values, as SQL literals
	parent    elt.DatasetName
	field     string // relationships: the parent's column
	where     *jinja.Template
	query     *jinja.Template // a query of sql/tests, or the call of a generic test
	source    string          // of query
	arguments map[string]any  // of a generic test
	freshness *Freshness
	severity  string // error or warn
	warnIf    condition
	errorIf   condition
	limit     int64             // of the failing rows that are counted; 0 for none
	store     bool              // failing rows are kept in the warehouse
	reads     []elt.DatasetName // every dataset that it reads
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
		if named := n.Get("test_name"); named != nil {
			t.args = n
			return named.Decode(&t.kind)
		}
		if names := n.Keys(); len(names) == 1 {
			t.kind, t.args = names[0], n.Get(names[0])
			return nil
		}
	}
	return elt.Problems{n.Problem(CodeTest, "a test is a name, or one name with its arguments indented below it", "write - not_null, or - not_null: with {severity: warn} below it")}
}

var testKinds = []string{"accepted_values", "not_null", "relationships", "unique"}

// testArgs are what a declaration says beside the kind: its options, and its arguments.
type testArgs struct {
	name, column string
	options      testOptions
	arguments    map[string]*yamlfile.Node
}

// addTest reads one declaration and adds the test to its dataset.
func (r *reader) addTest(d elt.DatasetName, decl testDecl, column string) {
	if decl.node == nil {
		return
	}
	refuse := func(what, do string) { r.problems = append(r.problems, decl.node.Problem(CodeTest, what, do)) }
	generic := r.project.library.Has(jinja.TestPrefix + decl.kind)
	if !slices.Contains(testKinds, decl.kind) && !generic {
		do := yamlfile.Suggest(decl.kind, append(r.genericTests(), testKinds...))
		if strings.Contains(decl.kind, ".") || do == "" {
			do = "use unique, not_null, accepted_values or relationships, or write a query that returns the bad rows in sql/tests, or {% test " + lastPart(decl.kind) + "(model, column_name) %} in sql/tests/generic"
		}
		refuse(fmt.Sprintf("there is no test %q", decl.kind), do)
		return
	}
	t := &test{kind: decl.kind, dataset: d, file: r.fileOf(decl.node), line: decl.node.Line, column: column, reads: []elt.DatasetName{d}}
	a, ok := r.testArgs(decl, generic)
	if !ok || !r.testColumn(t, a, generic, refuse) {
		return
	}
	if generic {
		ok = r.genericTest(t, &a, refuse)
	} else {
		ok = r.testTarget(t, a.arguments, refuse)
	}
	if !ok || !r.testOptions(t, a.options, refuse) || a.options.disabled {
		return
	}
	if t.name == "" {
		t.name = t.title()
	}
	if a.name != "" {
		t.name = a.name
	}
	for _, other := range r.project.tests[d] {
		if other.name == t.name {
			refuse(fmt.Sprintf("%s is already a test of %s (line %d)", t.name, d, other.line), "remove one of the two, or give this one a name")
			return
		}
	}
	r.project.tests[d] = append(r.project.tests[d], t)
}

func lastPart(kind string) string { return kind[strings.LastIndex(kind, ".")+1:] }

// testColumn settles the column that a test is of.
func (r *reader) testColumn(t *test, a testArgs, generic bool, refuse func(what, do string)) bool {
	if t.column == "" {
		t.column = a.column
	} else if a.column != "" {
		refuse("column_name is for tests of the whole model", "remove it: this test is of column "+t.column)
	}
	if t.column == "" && (!generic || slices.Contains(r.project.library.Parameters(jinja.TestPrefix+t.kind), "column_name")) {
		refuse(fmt.Sprintf("the test %s of %s names no column", t.kind, t.dataset), "put it under a column, or add column_name")
		return false
	}
	if plain := unquoted(t.column); t.column != "" && !r.hasColumn(t.dataset, plain) {
		refuse(fmt.Sprintf("the test %s is of the column %s, which %s does not have", t.kind, plain, t.dataset), r.columnHint(t.dataset, plain))
		return false
	}
	return true
}

// testArgs reads what stands below a test's name, and in its config and arguments blocks.
func (r *reader) testArgs(decl testDecl, generic bool) (testArgs, bool) {
	a := testArgs{options: r.testDefaults, arguments: map[string]*yamlfile.Node{}}
	known := append(slices.Clone(testOptionKeys), "name", "description", "column_name", "config", "arguments", "values", "quote", "to", "field", "meta")
	before := len(r.problems)
	var read func(n *yamlfile.Node, block string)
	read = func(n *yamlfile.Node, block string) {
		if n != nil && n.Kind != yamlfile.Mapping && n.Kind != yamlfile.Null {
			r.problems = append(r.problems, n.Problem(CodeTest, "the arguments of a test are a mapping of keys and values", "write each as key: value on a line of its own"))
			return
		}
		for _, key := range keysOf(n) {
			value := n.Get(key)
			var problems elt.Problems
			switch {
			case block == "" && (key == "config" || key == "arguments"):
				read(value, key)
			case block != "arguments" && slices.Contains(testOptionKeys, key):
				if err := a.options.set(key, value.Any()); err != nil {
					problems = elt.Problems{value.Problem(CodeTest, err.Error(), "correct it")}
				}
			case block == "" && (key == "test_name" || key == "description" || key == "meta") || block == "config" && key == "meta":
			case block == "" && key == "name":
				problems = value.Decode(&a.name)
			case block != "config" && key == "column_name":
				problems = value.Decode(&a.column)
			case block != "config" && (generic || slices.Contains(known, key)):
				a.arguments[key] = value
			default:
				line, column := n.KeyAt(key)
				problems = elt.Problems{{File: r.fileOf(n), Line: line, Column: column, Code: yamlfile.CodeUnknownKey, What: fmt.Sprintf("unknown key %q", key), Do: yamlfile.Suggest(key, known)}}
			}
			r.problems = append(r.problems, problems...)
		}
	}
	read(decl.args, "")
	return a, len(r.problems) == before
}

func keysOf(n *yamlfile.Node) []string {
	if n == nil {
		return nil
	}
	return n.Keys()
}

func (t *test) title() string {
	switch {
	case t.kind == "relationships":
		return fmt.Sprintf("relationships(%s → %s.%s)", t.column, t.parent, t.field)
	case t.column == "":
		return t.kind
	}
	return t.kind + "(" + t.column + ")"
}

var targetForm = regexp.MustCompile(`^\s*(?:\{\{)?\s*(?:ref\(\s*['"]([^'"]+)['"]\s*\)|source\(\s*['"]([^'"]+)['"]\s*,\s*['"]([^'"]+)['"]\s*\))\s*(?:\}\})?\s*$`)

// testTarget reads what only some kinds take.
func (r *reader) testTarget(t *test, arguments map[string]*yamlfile.Node, refuse func(what, do string)) bool {
	values, quote, to, field := arguments["values"], arguments["quote"], arguments["to"], arguments["field"]
	if t.kind != "accepted_values" && (values != nil || quote != nil) {
		refuse("values and quote are arguments of accepted_values", "remove them")
		return false
	}
	if t.kind != "relationships" && (to != nil || field != nil) {
		refuse("to and field are arguments of relationships", "remove them")
		return false
	}
	switch t.kind {
	case "accepted_values":
		return r.acceptedValues(t, values, quote, refuse)
	case "relationships":
		return r.relationship(t, to, field, refuse)
	}
	return true
}

func (r *reader) acceptedValues(t *test, values, quote *yamlfile.Node, refuse func(what, do string)) bool {
	var list []any
	quoted := true
	asked := quote != nil
	var problems elt.Problems
	if values != nil {
		problems = append(problems, values.Decode(&list)...)
	}
	if asked {
		problems = append(problems, quote.Decode(&quoted)...)
	}
	r.problems = append(r.problems, problems...)
	if len(list) == 0 && len(problems) == 0 {
		refuse("accepted_values needs values", "add values: ['a', 'b']")
	}
	for _, v := range list {
		s, isText := v.(string)
		switch {
		case v == nil:
			refuse("accepted_values lists null, which no value equals", "remove it; not_null tests for NULL")
			return false
		case isText && quoted, asked && quoted:
			t.values = append(t.values, "'"+strings.ReplaceAll(fmt.Sprint(v), "'", "''")+"'")
		case isText:
			t.values = append(t.values, s)
		default:
			t.values = append(t.values, fmt.Sprint(v))
		}
	}
	return len(list) > 0 && len(problems) == 0
}

func (r *reader) relationship(t *test, to, field *yamlfile.Node, refuse func(what, do string)) bool {
	var target string
	if to != nil && field != nil {
		problems := append(to.Decode(&target), field.Decode(&t.field)...)
		if r.problems = append(r.problems, problems...); len(problems) > 0 {
			return false
		}
	}
	m := targetForm.FindStringSubmatch(target)
	if m == nil || t.field == "" {
		refuse("relationships needs to and field", "add to: ref('model') and field: id")
		return false
	}
	t.parent = elt.DatasetName(m[1])
	if m[1] == "" {
		t.parent = elt.DatasetName(m[2] + "." + m[3])
	}
	if !r.exists(t.parent) {
		refuse(fmt.Sprintf("relationships names %s, which does not exist", t.parent), yamlfile.Suggest(string(t.parent), r.project.known(m[1] == "")))
		return false
	}
	if !r.hasColumn(t.parent, unquoted(t.field)) {
		refuse(fmt.Sprintf("relationships names the column %s, which %s does not have", t.field, t.parent), r.columnHint(t.parent, t.field))
		return false
	}
	t.reads = append(t.reads, t.parent)
	return true
}

func (r *reader) exists(d elt.DatasetName) bool {
	_, ok := r.project.rank[d]
	return ok
}

func (r *reader) fileOf(n *yamlfile.Node) string { return n.Problem("", "", "").File }
