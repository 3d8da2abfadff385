package jinja

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// member returns an element's attribute for filters that take one by name.
func member(v, name any) (any, error) {
	s, ok := name.(string)
	if !ok || strings.Contains(s, ".") {
		return nil, hint{"an attribute is named by " + kind(name), "write its name as a text without dots"}
	}
	out, err := item(v, s)
	if err != nil {
		return nil, err
	}
	if u, ok := out.(undefined); ok {
		return nil, u.refused()
	}
	return out, nil
}

func mapped(v any, args []any) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(list))
	for i, e := range list {
		if name := argument(args, 1); name != nil && argument(args, 0) == nil {
			out[i], err = member(e, name)
		} else {
			name, _ := argument(args, 0).(string)
			if _, ok := filters[name]; !ok {
				return nil, hint{fmt.Sprintf("map takes the name of a filter, not %q", name), "use one of " + strings.Join(filterNames(), ", ")}
			}
			out[i], err = applyFilter(name, e, args[1:], nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return stream(out), nil
}

// selectBy keeps the elements that pass (or fail) a test; without a test, those that are true.
func selectBy(v any, args []any, keep bool) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, e := range list {
		passed, err := passes(e, args)
		if err != nil {
			return nil, err
		}
		if passed == keep {
			out = append(out, e)
		}
	}
	return stream(out), nil
}

func selectAttr(v any, args []any, keep bool) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, hint{"selectattr and rejectattr take an attribute's name", "write selectattr('name', 'equalto', …)"}
	}
	out := []any{}
	for _, e := range list {
		m, err := item(e, args[0]) // which may be undefined: selectattr('a', 'defined')
		if err != nil {
			return nil, err
		}
		passed, err := passes(m, args[1:])
		if err != nil {
			return nil, err
		}
		if passed == keep {
			out = append(out, e)
		}
	}
	return stream(out), nil
}

func passes(v any, args []any) (bool, error) {
	if u, ok := v.(undefined); ok && (len(args) == 0 || args[0] == "in") {
		return false, u.refused()
	}
	if len(args) == 0 {
		return truth(v), nil
	}
	name, _ := args[0].(string)
	if name == "in" && len(args) == 2 {
		found, err := contains(args[1], v)
		return found == true, err
	}
	if _, ok := tests[name]; !ok {
		return false, hint{fmt.Sprintf("a test has the name %q", name), "use one of in, " + strings.Join(testNames(), ", ")}
	}
	passed, err := applyTest(name, v, args[1:])
	return passed == true, err
}

// tests are those of "x is …" by name, with the number of their arguments.
var tests = map[string]int{
	"defined": 0, "undefined": 0, "none": 0, "string": 0, "number": 0, "integer": 0, "float": 0, "boolean": 0,
	"mapping": 0, "sequence": 0, "iterable": 0, "odd": 0, "even": 0, "divisibleby": 1,
	"eq": 1, "equalto": 1, "ne": 1, "lt": 1, "lessthan": 1, "le": 1, "gt": 1, "greaterthan": 1, "ge": 1,
	"true": 0, "false": 0,
}

func testNames() []string { return slices.Sorted(maps.Keys(tests)) }

func applyTest(name string, v any, args []any) (any, error) {
	u, isUndefined := v.(undefined)
	switch name {
	case "defined":
		return !isUndefined, nil
	case "undefined":
		return isUndefined, nil
	}
	if isUndefined {
		return nil, u.refused()
	}
	if _, ok := v.(stream); ok {
		return nil, onceOnly
	}
	if _, whole := v.(int); !whole && (name == "odd" || name == "even") {
		return nil, hint{"the test " + name + " is applied to " + kind(v), "test whole numbers"}
	}
	for _, a := range args {
		if u, ok := a.(undefined); ok {
			return nil, u.refused()
		}
	}
	if len(args) != tests[name] {
		return nil, hint{fmt.Sprintf("the test %s takes %d arguments, not %d", name, tests[name], len(args)), "write it as in Jinja's documentation"}
	}
	if len(args) == 1 {
		return comparing(name, v, args[0])
	}
	switch v := v.(type) {
	case nil:
		return name == "none", nil
	case string:
		return name == "string" || name == "sequence" || name == "iterable", nil
	case bool:
		if name == "number" || name == "integer" {
			return nil, hint{"the test " + name + " is applied to a boolean", "test for boolean"} // Python counts it as a number
		}
		return name == "boolean" || (name == "true" && v) || (name == "false" && !v), nil
	case int:
		return name == "number" || name == "integer" || (name == "odd" && v%2 != 0) || (name == "even" && v%2 == 0), nil
	case float64:
		return name == "number" || name == "float", nil
	case []any:
		return name == "sequence" || name == "iterable", nil
	case Dict:
		return name == "mapping" || name == "sequence" || name == "iterable", nil
	}
	return false, nil
}

func comparing(name string, v, w any) (any, error) {
	switch name {
	case "eq", "equalto":
		return equal(v, w)
	case "ne":
		same, err := equal(v, w)
		return !same, err
	case "divisibleby":
		rest, err := arithmetic("mod", v, w)
		if err != nil {
			return nil, err
		}
		return equal(rest, 0)
	}
	c, err := order(v, w)
	switch name {
	case "lt", "lessthan":
		return c < 0, err
	case "le":
		return c <= 0, err
	case "gt", "greaterthan":
		return c > 0, err
	}
	return c >= 0, err
}

// changing are methods that change their object, with what to write instead.
var changing = map[string]string{
	"append": collect, "extend": collect, "insert": collect, "pop": collect, "remove": collect, "clear": collect,
	"update": restate, "setdefault": restate, "popitem": restate, "sort": "use the filter sort", "reverse": "use the filter reverse",
}

const (
	collect = "build the list with a namespace: {% set ns = namespace(items=[]) %}, then {% set ns.items = ns.items + [x] %}"
	restate = "write the dictionary out, or keep a list of pairs in a namespace"
)

var methodNames = []string{"endswith", "get", "items", "join", "keys", "lower", "replace", "split", "startswith", "strip", "upper", "values"}

// method calls v.name(args…).
func method(v any, name string, args []any) (any, error) {
	switch v := v.(type) {
	case Dict:
		if out, ok := dictMethod(v, name, args); ok {
			return out, nil
		}
	case string:
		return textMethod(v, name, args)
	}
	return nil, hint{fmt.Sprintf("%s has no method %s with %d arguments", kind(v), name, len(args)), "see its type"}
}

func dictMethod(d Dict, name string, args []any) (any, bool) {
	out := []any{}
	switch {
	case name == "items" && len(args) == 0:
		for _, e := range d {
			out = append(out, []any{e.Key, e.Value})
		}
	case name == "keys" && len(args) == 0:
		for _, e := range d {
			out = append(out, e.Key)
		}
	case name == "values" && len(args) == 0:
		for _, e := range d {
			out = append(out, e.Value)
		}
	case name == "get" && (len(args) == 1 || len(args) == 2):
		key, ok := args[0].(string)
		if value, found := d.Get(key); ok && found {
			return value, true
		}
		return argument(args, 1), true
	default:
		return nil, false
	}
	return out, true
}

func textMethod(s, name string, args []any) (any, error) {
	texts := make([]string, len(args))
	for i, a := range args {
		t, ok := a.(string)
		if !ok && name != "join" {
			return nil, hint{fmt.Sprintf("the method %s takes texts, not %s", name, kind(a)), "pass a text"}
		}
		texts[i] = t
	}
	switch {
	case name == "upper" && len(args) == 0:
		return strings.ToUpper(s), nil
	case name == "lower" && len(args) == 0:
		return strings.ToLower(s), nil
	case name == "strip" && len(args) == 0:
		return strings.TrimSpace(s), nil
	case name == "startswith" && len(args) == 1:
		return strings.HasPrefix(s, texts[0]), nil
	case name == "endswith" && len(args) == 1:
		return strings.HasSuffix(s, texts[0]), nil
	case name == "replace" && len(args) == 2:
		return replace(s, args)
	case name == "split" && len(args) == 1 && texts[0] != "":
		out := []any{}
		for part := range strings.SplitSeq(s, texts[0]) {
			out = append(out, part)
		}
		return out, nil
	case name == "join" && len(args) == 1:
		list, err := elements(args[0])
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if _, ok := e.(string); !ok {
				return nil, hint{"join takes a list of texts, and one element is " + kind(e), "use the filter join"}
			}
		}
		return join(list, []any{s})
	}
	return nil, hint{fmt.Sprintf("a text has no method %s with %d arguments", name, len(args)), "use a filter"}
}

func dictKeys(d Dict) []string {
	out := make([]string, len(d))
	for i, e := range d {
		out[i] = e.Key
	}
	return out
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// foreign says what to do about names that dbt knows and Daybreak does not.
var foreign = map[string]string{
	"run_query": noQuery, "adapter": noQuery, "statement": noQuery, "execute": noQuery, "graph": noQuery, "load_result": noQuery,
	"run_started_at": sameAgain, "modules": sameAgain, "invocation_id": sameAgain,
	"varargs": noRest, "kwargs": noRest, "caller": noRest,
	"dbt_utils": noPackages, "dbt": noPackages, "codegen": noPackages, "dbt_expectations": noPackages, "dbt_date": noPackages,
	"log": noEffects, "print": noEffects, "exceptions": noEffects, "return": noEffects,
}

const (
	noQuery    = "models cannot ask the warehouse while they are rendered: put the query into a model and refer to it"
	sameAgain  = "a rerun must give the same SQL: use data_date, window_start or window_end"
	noRest     = "name the macro's parameters"
	noPackages = "packages are not supported: write the macro in sql/macros"
	noEffects  = "remove it: a macro's value is the text that it renders"
)

// unknownName says what to do about a name that is not defined.
func unknownName(name string) string {
	if do, ok := foreign[name]; ok {
		return do
	}
	return "set it with {% set %}, or correct the name"
}
