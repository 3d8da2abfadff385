package jinja

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// filter computes v | name(args…). kwargs are merged into args by applyFilter where a filter names them.
type filter struct {
	params []string // names of its arguments in order
	apply  func(v any, args []any) (any, error)
}

// argument returns the i-th argument, or nil.
func argument(args []any, i int) any {
	if i < len(args) {
		return args[i]
	}
	return nil
}

var filters = map[string]filter{
	"upper":      {nil, text(strings.ToUpper)},
	"lower":      {nil, text(strings.ToLower)},
	"trim":       {nil, text(strings.TrimSpace)},
	"capitalize": {nil, text(capitalize)},
	"string":     {nil, func(v any, _ []any) (any, error) { return printed(v) }},
	"int":        {[]string{"default"}, toInt},
	"float":      {[]string{"default"}, toFloat},
	"abs": {nil, func(v any, _ []any) (any, error) {
		if c, err := order(v, 0); err != nil || c >= 0 {
			return v, err
		}
		return arithmetic("sub", 0, v)
	}},
	"length":     {nil, length},
	"count":      {nil, length},
	"first":      {nil, func(v any, _ []any) (any, error) { return end(v, 0) }},
	"last":       {nil, last},
	"list":       {nil, func(v any, _ []any) (any, error) { return listOf(v) }},
	"join":       {[]string{"d", "attribute"}, join},
	"replace":    {[]string{"old", "new", "count"}, replace},
	"indent":     {[]string{"width", "first", "blank"}, indent},
	"reverse":    {nil, reverse},
	"sort":       {[]string{"reverse", "case_sensitive", "attribute"}, sorted},
	"unique":     {nil, unique},
	"sum":        {[]string{"attribute"}, sum},
	"min":        {nil, func(v any, _ []any) (any, error) { return extreme(v, -1) }},
	"max":        {nil, func(v any, _ []any) (any, error) { return extreme(v, 1) }},
	"map":        {[]string{"filter", "attribute"}, nil}, // set below: it applies other filters
	"select":     {nil, func(v any, args []any) (any, error) { return selectBy(v, args, true) }},
	"reject":     {nil, func(v any, args []any) (any, error) { return selectBy(v, args, false) }},
	"selectattr": {nil, func(v any, args []any) (any, error) { return selectAttr(v, args, true) }},
	"rejectattr": {nil, func(v any, args []any) (any, error) { return selectAttr(v, args, false) }},
}

func filterNames() []string {
	return slices.Sorted(maps.Keys(filters))
}

func applyFilter(name string, v any, args []any, kwargs map[string]any) (any, error) {
	for _, a := range args {
		if u, ok := a.(undefined); ok {
			return nil, u.refused()
		}
	}
	if name == "default" || name == "d" {
		return defaulted(v, args, kwargs)
	}
	if u, ok := v.(undefined); ok {
		return nil, u.refused()
	}
	if v == nil {
		return nil, hint{"the filter " + name + " is applied to none", "give none a value first: | default('…', true)"}
	}
	f := filters[name]
	for k, a := range kwargs {
		if u, ok := a.(undefined); ok {
			return nil, u.refused()
		}
		i := slices.Index(f.params, k)
		if i < 0 {
			return nil, hint{fmt.Sprintf("the filter %s has no argument %q", name, k), "see its arguments in Jinja's documentation"}
		}
		for len(args) <= i {
			args = append(slices.Clip(args), nil)
		}
		args[i] = a
	}
	if name == "map" {
		return mapped(v, args)
	}
	if limit := len(f.params); len(args) > limit && !strings.HasPrefix(name, "select") && !strings.HasPrefix(name, "reject") {
		return nil, hint{fmt.Sprintf("the filter %s takes at most %d arguments", name, limit), "remove the others"}
	}
	return f.apply(v, args)
}

// defaulted is Jinja2's default: for what is undefined, and with a true second argument for what is false.
func defaulted(v any, args []any, kwargs map[string]any) (any, error) {
	if _, ok := v.(stream); ok {
		return nil, onceOnly
	}
	otherwise, falsy := argument(args, 0), argument(args, 1)
	if d, ok := kwargs["default_value"]; ok {
		otherwise = d
	}
	if b, ok := kwargs["boolean"]; ok {
		falsy = b
	}
	if len(args) == 0 && kwargs["default_value"] == nil {
		otherwise = ""
	}
	if _, ok := v.(undefined); ok || (truth(falsy) && !truth(v)) {
		return otherwise, nil
	}
	return v, nil
}

func text(fn func(string) string) func(any, []any) (any, error) {
	return func(v any, _ []any) (any, error) {
		s, err := printed(v)
		return fn(s), err
	}
}

func capitalize(s string) string {
	r := []rune(strings.ToLower(s))
	if len(r) > 0 {
		r[0] = unicode.ToTitle(r[0])
	}
	return string(r)
}

func toInt(v any, args []any) (any, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case float64:
		if math.Abs(v) <= maxWhole {
			return int(v), nil
		}
	case string:
		s := strings.TrimSpace(v)
		if n, err := strconv.Atoi(s); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) <= maxWhole {
			return int(f), nil
		}
	}
	if len(args) > 0 {
		return args[0], nil
	}
	return 0, nil
}

func toFloat(v any, args []any) (any, error) {
	if n, ok := number(v); ok {
		return n, nil
	}
	if b, ok := v.(bool); ok {
		v = map[bool]string{false: "0", true: "1"}[b]
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return f, nil
		}
	}
	if len(args) > 0 {
		return args[0], nil
	}
	return 0.0, nil
}

func last(v any, _ []any) (any, error) {
	if _, ok := v.(stream); ok {
		return nil, onceOnly
	}
	return end(v, -1)
}

func length(v any, _ []any) (any, error) {
	if _, ok := v.(stream); ok {
		return nil, onceOnly
	}
	list, err := elements(v)
	return len(list), err
}

func end(v any, i int) (any, error) {
	list, err := listOf(v)
	if err != nil {
		return nil, err
	}
	if len(list.([]any)) == 0 {
		return undefined{"an element of an empty list", "see that the list has one"}, nil
	}
	return item(list, i)
}

func listOf(v any) (any, error) {
	list, err := elements(v)
	return slices.Clone(list), err
}

func join(v any, args []any) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	separator := ""
	if a := argument(args, 0); a != nil {
		if separator, err = printed(a); err != nil {
			return nil, err
		}
	}
	parts := make([]string, len(list))
	for i, e := range list {
		if a := argument(args, 1); a != nil {
			if e, err = member(e, a); err != nil {
				return nil, err
			}
		}
		if parts[i], err = printed(e); err != nil {
			return nil, err
		}
	}
	return strings.Join(parts, separator), nil
}

func replace(v any, args []any) (any, error) {
	s, err := printed(v)
	if err != nil {
		return nil, err
	}
	from, fok := argument(args, 0).(string)
	to, tok := argument(args, 1).(string)
	if !fok || !tok {
		return nil, hint{"replace takes two texts", "write replace('old', 'new')"}
	}
	count := -1
	if n := argument(args, 2); n != nil {
		var ok bool
		if count, ok = n.(int); !ok {
			return nil, hint{"replace's count is " + kind(n), "use a whole number"}
		}
	}
	if len(s)*max(len(to), 1) > maxText {
		return nil, hint{fmt.Sprintf("the text would be larger than %d MiB", maxText>>20), "build less"}
	}
	return strings.Replace(s, from, to, count), nil
}

func indent(v any, args []any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, hint{"indent is applied to " + kind(v), "apply it to a text"}
	}
	width := 4
	if a := argument(args, 0); a != nil {
		if width, ok = a.(int); !ok || width < 0 || width > 200 {
			return nil, hint{"indent's width is not a number of columns", "use a whole number up to 200"}
		}
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if (i > 0 || truth(argument(args, 1))) && (line != "" || truth(argument(args, 2))) {
			lines[i] = strings.Repeat(" ", width) + line
		}
	}
	return strings.Join(lines, "\n"), nil
}

func reverse(v any, _ []any) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	slices.Reverse(list)
	if _, ok := v.(string); ok {
		return join(list, nil)
	}
	return stream(list), nil
}

// folded is how Jinja2 compares texts while sorting: without case.
func folded(v any) any {
	if s, ok := v.(string); ok {
		return strings.ToLower(s)
	}
	return v
}

func sorted(v any, args []any) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	var failed error
	key := func(e any) any {
		if a := argument(args, 2); a != nil {
			m, err := member(e, a)
			if err != nil {
				failed = err
			}
			e = m
		}
		if truth(argument(args, 1)) {
			return e
		}
		return folded(e)
	}
	slices.SortStableFunc(list, func(a, b any) int {
		c, err := order(key(a), key(b))
		if err != nil {
			failed = err
		}
		if truth(argument(args, 0)) {
			return -c
		}
		return c
	})
	return list, failed
}

func unique(v any, _ []any) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, e := range list {
		known := false
		for _, o := range out {
			same, err := equal(folded(e), folded(o))
			if err != nil {
				return nil, err
			}
			known = known || same
		}
		if !known {
			out = append(out, e)
		}
	}
	return stream(out), nil
}

func sum(v any, args []any) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	var total any = 0
	for _, e := range list {
		if a := argument(args, 0); a != nil {
			if e, err = member(e, a); err != nil {
				return nil, err
			}
		}
		if total, err = arithmetic("add", total, e); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func extreme(v any, sign int) (any, error) {
	list, err := elements(v)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return undefined{"an element of an empty list", "see that the list has one"}, nil
	}
	best := list[0]
	for _, e := range list[1:] {
		c, err := order(folded(e), folded(best))
		if err != nil {
			return nil, err
		}
		if c*sign > 0 {
			best = e
		}
	}
	return best, nil
}
