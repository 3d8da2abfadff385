package jinja

import (
	"fmt"
	"math"
	"slices"
	"strings"

	cs "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
)

// maxWhole is the largest whole number on which integers and floats agree.
const maxWhole = 1 << 53

const maxList = 100_000 // elements

// apply computes one operator over plain values.
func apply(operator string, args []any, kwargs map[string]any) (any, error) {
	switch operator { // those that accept what is undefined
	case "filter":
		return applyFilter(args[0].(string), args[1], args[2:], kwargs)
	case "test":
		return applyTest(args[0].(string), args[1], args[2:])
	}
	for _, a := range args {
		switch a := a.(type) {
		case undefined:
			return nil, a.refused()
		case stream:
			if operator != "each" && operator != "pairs" && operator != "in" {
				return nil, onceOnly
			}
		}
	}
	switch operator {
	case "value":
		return args[0], nil
	case "output":
		return printed(args[0])
	case "truth":
		return truth(args[0]), nil
	case "not":
		return !truth(args[0]), nil
	case "list":
		return slices.Clone(args), nil
	case "dict":
		return newDict(args)
	case "each":
		return elements(args[0])
	case "pairs":
		return pairs(args[0])
	case "attribute":
		return attribute(args[0], args[1].(string))
	case "item":
		return item(args[0], args[1])
	case "slice":
		return slice(args[0], args[1], args[2])
	case "method":
		return method(args[0], args[1].(string), args[2:])
	case "in":
		return contains(args[1], args[0])
	case "concat":
		return concat(args[0], args[1])
	case "eq", "ne":
		same, err := equal(args[0], args[1])
		return same == (operator == "eq"), err
	case "lt", "le", "gt", "ge":
		c, err := order(args[0], args[1])
		return map[string]bool{"lt": c < 0, "le": c <= 0, "gt": c > 0, "ge": c >= 0}[operator], err
	case "positive":
		return arithmetic("add", 0, args[0])
	case "negative":
		if f, ok := args[0].(float64); ok {
			return -f, nil // -0.0 too
		}
		return arithmetic("sub", 0, args[0])
	}
	return arithmetic(operator, args[0], args[1])
}

// arithmetic is + - * / // % of numbers, and + of two texts or two lists.
func arithmetic(operator string, a, b any) (any, error) {
	if operator == "add" {
		s, sok := a.(string)
		t, tok := b.(string)
		if sok && tok {
			return concat(s, t)
		}
		x, xok := a.([]any)
		y, yok := b.([]any)
		if xok && yok {
			if len(x)+len(y) > maxList {
				return nil, hint{fmt.Sprintf("the list has more than %d elements", maxList), "make the rows in SQL"}
			}
			return slices.Concat(x, y), nil
		}
	}
	x, xok := number(a)
	y, yok := number(b)
	if !xok || !yok {
		return nil, hint{fmt.Sprintf("%s and %s cannot be computed with", kind(a), kind(b)), "join texts with ~; the filter int makes a number of a text"}
	}
	if y == 0 && (operator == "div" || operator == "floordiv" || operator == "mod") {
		return nil, hint{"division by zero", "see where the number comes from"}
	}
	var out float64
	switch operator {
	case "add":
		out = x + y
	case "sub":
		out = x - y
	case "mul":
		out = x * y
	case "div":
		out = x / y
	case "floordiv", "mod": // as Python defines them: the quotient follows from the remainder
		rest := math.Mod(x, y)
		quotient := (x - rest) / y
		if rest != 0 && (rest < 0) != (y < 0) {
			rest, quotient = rest+y, quotient-1
		}
		if out = rest; operator == "floordiv" {
			out = math.Round(quotient)
		}
	}
	_, aint := a.(int)
	_, bint := b.(int)
	if whole := aint && bint; whole && operator != "div" {
		if math.Abs(out) > maxWhole || math.Abs(x) > maxWhole || math.Abs(y) > maxWhole {
			return nil, hint{"the number is too large to be computed exactly", "compute it in SQL"}
		}
		return int(out), nil
	}
	return out, nil
}

func concat(a, b any) (any, error) {
	s, err := printed(a)
	if err != nil {
		return nil, err
	}
	t, err := printed(b)
	if err != nil {
		return nil, err
	}
	if len(s)+len(t) > maxText {
		return nil, hint{fmt.Sprintf("the text is larger than %d MiB", maxText>>20), "build less"}
	}
	return s + t, nil
}

func newDict(flat []any) (any, error) {
	d := Dict{}
	for i := 0; i+1 < len(flat); i += 2 {
		key, ok := flat[i].(string)
		if !ok {
			return nil, hint{"a dictionary's key is " + kind(flat[i]), "write the keys as texts"}
		}
		if j := slices.IndexFunc(d, func(e Entry) bool { return e.Key == key }); j >= 0 {
			d[j].Value = flat[i+1]
			continue
		}
		d = append(d, Entry{key, flat[i+1]})
	}
	return d, nil
}

// pairs returns what {% for a, b in v %} runs through.
func pairs(v any) (any, error) {
	if s, ok := v.(stream); ok {
		v = []any(s)
	}
	list, ok := v.([]any)
	if !ok {
		if _, dict := v.(Dict); dict {
			return nil, hint{"a loop with two names runs over a dictionary", "loop over its pairs: .items()"}
		}
		return nil, hint{"a loop with two names runs over " + kind(v), "loop over a list of pairs, or over .items() of a dictionary"}
	}
	for _, e := range list {
		if p, ok := e.([]any); !ok || len(p) != 2 {
			return nil, hint{"a loop with two names runs over a list whose elements are not pairs", "write each element as (a, b)"}
		}
	}
	return list, nil
}

// loopAttributes are those of gonja's loop that equal Jinja2's.
var loopAttributes = []string{"first", "index", "index0", "last", "length", "revindex", "revindex0"}

func attribute(v any, name string) (any, error) {
	switch v := v.(type) {
	case *cs.LoopInfos:
		if !slices.Contains(loopAttributes, name) {
			return nil, hint{"loop." + name + " is not supported", "use one of loop." + strings.Join(loopAttributes, ", loop.")}
		}
		value, _ := v.GetAttribute(name)
		return plain(value), nil
	case *Namespace:
		if value, ok := v.values[name]; ok {
			return plain(value), nil
		}
		return undefined{name, "set it in namespace(…) first"}, nil
	case *Object:
		if value, ok := v.Attributes[name]; ok {
			return value, nil
		}
		return undefined{v.Name + "." + name, "use one of its attributes: " + strings.Join(keys(v.Attributes), ", ")}, nil
	case Dict:
		if value, ok := v.Get(name); ok {
			return value, nil
		}
	case nil:
		return nil, hint{"none has no attribute " + name, "see where the none comes from"}
	}
	return undefined{name, kind(v) + " has no such attribute"}, nil
}

func item(v, key any) (any, error) {
	switch k := key.(type) {
	case string:
		if d, ok := v.(Dict); ok {
			if value, ok := d.Get(k); ok {
				return value, nil
			}
			return undefined{k, "the dictionary has the keys " + strings.Join(dictKeys(d), ", ")}, nil
		}
		return attribute(v, k)
	case int:
		list, err := elements(v)
		if _, dict := v.(Dict); err != nil || dict {
			return nil, hint{kind(v) + " has no numbered elements", "use a key"}
		}
		if k < 0 {
			k += len(list)
		}
		if k < 0 || k >= len(list) {
			return undefined{fmt.Sprintf("element %v", key), fmt.Sprintf("there are %d elements, counted from 0", len(list))}, nil
		}
		return list[k], nil
	}
	return nil, hint{kind(key) + " is used as a key", "use a text or a whole number"}
}

func slice(v, from, to any) (any, error) {
	list, err := elements(v)
	if _, dict := v.(Dict); err != nil || dict {
		return nil, hint{kind(v) + " has no numbered elements", "slice a list or a text"}
	}
	bound := func(v any, otherwise int) (int, error) {
		if v == nil {
			return otherwise, nil
		}
		n, ok := v.(int)
		if !ok {
			return 0, hint{"a slice's bound is " + kind(v), "use a whole number"}
		}
		if n < 0 {
			n += len(list)
		}
		return min(max(n, 0), len(list)), nil
	}
	i, err := bound(from, 0)
	if err != nil {
		return nil, err
	}
	j, err := bound(to, len(list))
	if err != nil {
		return nil, err
	}
	list = list[i:max(i, j)]
	if _, text := v.(string); !text {
		return list, nil
	}
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.(string))
	}
	return b.String(), nil
}

// contains is Python's in.
func contains(v, x any) (any, error) {
	if s, ok := v.(string); ok {
		t, ok := x.(string)
		if !ok {
			return nil, hint{kind(x) + " is looked for in a text", "look for a text"}
		}
		return strings.Contains(s, t), nil
	}
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	if _, dict := v.(Dict); dict && (kind(x) == "a list" || kind(x) == "a dictionary") {
		return nil, hint{kind(x) + " is looked for among a dictionary's keys", "look for a text"}
	}
	for _, e := range list {
		if same, err := equal(e, x); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func newNamespace(c *Call) (any, error) {
	if len(c.Args) > 0 {
		return nil, hint{"namespace takes named arguments only", "write namespace(x=0)"}
	}
	return &Namespace{c.Kwargs}, nil
}

func newRange(c *Call) (any, error) {
	bounds := []int{0, 0, 1}
	if len(c.Args) == 0 || len(c.Args) > 3 || len(c.Kwargs) > 0 {
		return nil, hint{"range takes one to three whole numbers", "write range(stop), range(start, stop) or range(start, stop, step)"}
	}
	for i, a := range c.Args {
		n, ok := a.(int)
		if !ok {
			return nil, hint{"range takes whole numbers, not " + kind(a), "make a number of a text with the filter int"}
		}
		if len(c.Args) == 1 {
			i = 1
		}
		bounds[i] = n
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		return nil, hint{"range has a step of 0", "use another step"}
	}
	out := []any{}
	for i := start; (step > 0 && i < stop) || (step < 0 && i > stop); i += step {
		if len(out) == maxList {
			return nil, hint{fmt.Sprintf("range has more than %d numbers", maxList), "make the numbers in SQL"}
		}
		out = append(out, i)
	}
	return out, nil
}
