package jinja

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// Dict is a dictionary in the order in which it was written. Templates never change one.
type Dict []Entry

// Entry is one key and its value.
type Entry struct {
	Key   string
	Value any
}

// Get returns the key's value.
func (d Dict) Get(key string) (any, bool) {
	for _, e := range d {
		if e.Key == key {
			return e.Value, true
		}
	}
	return nil, false
}

// Object is a value with attributes, as target.name; Text is what it prints, empty if it cannot be printed.
type Object struct {
	Name       string
	Text       string
	Attributes map[string]any
}

// Namespace is what {% set ns = namespace(…) %} makes: the one thing whose attributes can be set.
type Namespace struct{ values map[string]any }

// stream is what map, select, unique and their like give: in Jinja2 a generator, which can be run through
// once, is always true and has no length. So it can only be looped over or filtered on.
type stream []any

var onceOnly = hint{"the result of map, select, reject, unique or reverse is used as a list", "make a list of it: | list"}

// undefined is the value of a name or an attribute that does not exist. Only default, defined and
// undefined accept one.
type undefined struct{ name, do string }

// refused is the error of using u. (Were undefined itself an error, gonja would stop at it.)
func (u undefined) refused() hint { return hint{fmt.Sprintf("%q is not defined", u.name), u.do} }

// hint is an error with a way out.
type hint struct{ what, do string }

// Error returns what is wrong.
func (h hint) Error() string { return h.what }

// FromGo returns a value of YAML or JSON as templates see it: maps become Dicts in key order.
func FromGo(v any) any {
	switch v := v.(type) {
	case nil, bool, int, float64, string, []any, Dict:
		if list, ok := v.([]any); ok {
			out := make([]any, len(list))
			for i := range list {
				out[i] = FromGo(list[i])
			}
			return out
		}
		return v
	case map[string]any:
		d := Dict{}
		for k, value := range v {
			d = append(d, Entry{k, FromGo(value)})
		}
		slices.SortFunc(d, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
		return d
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return int(r.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if r.Uint() <= math.MaxInt64 {
			return int(r.Uint())
		}
	case reflect.Float32:
		return r.Float()
	case reflect.Slice:
		out := make([]any, r.Len())
		for i := range out {
			out[i] = FromGo(r.Index(i).Interface())
		}
		return out
	}
	return fmt.Sprint(v)
}

// plain returns the Go value inside a gonja value.
func plain(v any) any {
	for {
		value, ok := v.(*exec.Value)
		if !ok {
			return v
		}
		if value == nil || value.IsNil() {
			return nil
		}
		v = value.Interface()
	}
}

// printed returns the text that {{ v }} becomes, as Jinja2 prints it.
func printed(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", hint{"a number is out of range", "compute it in SQL"}
		}
		return exec.AsValue(v).String(), nil
	case bool:
		if v {
			return "True", nil
		}
		return "False", nil
	case *Object:
		if v.Text != "" {
			return v.Text, nil
		}
	case []any:
		return "", hint{"a list would be printed as Python writes it", "join it: | join(', ')"}
	case nil:
		return "", hint{"none would be printed as the word None", "print something else with an {% if %}, or write null in SQL"}
	}
	return "", hint{kind(v) + " cannot be printed", "print one of its parts"}
}

// kind names the type of a value for people.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case bool:
		return "a boolean"
	case int, float64:
		return "a number"
	case string:
		return "a text"
	case []any:
		return "a list"
	case Dict:
		return "a dictionary"
	case *Namespace:
		return "a namespace"
	case *Object:
		return v.Name
	case Func, exec.Macro:
		return "a function"
	}
	return "this"
}

// truth is Python's truth of a value.
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case Dict:
		return len(v) > 0
	}
	return true
}

// equal is Python's ==. Booleans are compared with booleans only.
func equal(a, b any) (bool, error) {
	x, xok := number(a)
	y, yok := number(b)
	if xok && yok {
		return x == y, nil
	}
	_, abool := a.(bool)
	_, bbool := b.(bool)
	if (abool && yok) || (bbool && xok) {
		return false, hint{"a boolean and a number are compared", "compare values of one type"}
	}
	switch a := a.(type) {
	case nil:
		return b == nil, nil
	case bool:
		return abool && bbool && a == b.(bool), nil
	case string:
		s, ok := b.(string)
		return ok && a == s, nil
	case []any:
		if _, ok := b.([]any); ok { // Jinja2 tells (1, 2) from [1, 2]; nothing here does
			return false, hint{"two lists are compared", "compare their texts: | join(',')"}
		}
		return false, nil
	case Dict:
		d, ok := b.(Dict)
		if !ok || len(a) != len(d) {
			return false, nil
		}
		for _, e := range a {
			v, ok := d.Get(e.Key)
			if !ok {
				return false, nil
			}
			if same, err := equal(e.Value, v); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	return false, nil
}

// order compares two numbers or two texts.
func order(a, b any) (int, error) {
	x, xok := number(a)
	y, yok := number(b)
	if xok && yok {
		switch {
		case x < y:
			return -1, nil
		case x > y:
			return 1, nil
		}
		return 0, nil
	}
	s, sok := a.(string)
	t, tok := b.(string)
	if sok && tok {
		return strings.Compare(s, t), nil
	}
	return 0, hint{kind(a) + " and " + kind(b) + " have no order", "compare numbers with numbers and texts with texts; the filter int makes a number of a text"}
}

// number returns an int or a float as a float. Whole numbers beyond 2^53 are refused where they arise.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// elements returns what a loop over v runs through.
func elements(v any) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case stream:
		return v, nil
	case string:
		out := []any{}
		for _, c := range v {
			out = append(out, string(c))
		}
		return out, nil
	case Dict:
		out := []any{}
		for _, e := range v {
			out = append(out, e.Key)
		}
		return out, nil
	}
	return nil, hint{kind(v) + " has no elements", "loop over a list or a dictionary"}
}
