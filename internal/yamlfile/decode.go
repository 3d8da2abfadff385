package yamlfile

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Unmarshaler is a type that reads itself from a node, such as one that is either a text or a mapping.
type Unmarshaler interface {
	UnmarshalNode(*Node) elt.Problems
}

// Decode fills into, a pointer, from the node; null changes nothing.
//
// It knows structs (fields tagged yaml:"name"), maps with string keys, slices, pointers, strings, booleans,
// numbers, time.Duration, any, encoding.TextUnmarshaler and Unmarshaler. A number is no string and a string no
// number: the problem says to add or remove the quotes. In an any, integers are int64 (uint64 past its end).
func (n *Node) Decode(into any) elt.Problems {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("yamlfile: Decode needs a pointer, not %T", into))
	}
	return n.decode(v.Elem())
}

var durationType = reflect.TypeFor[time.Duration]()

func (n *Node) decode(v reflect.Value) elt.Problems {
	if n.Kind == Null {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return n.decode(v.Elem())
	}
	switch into := v.Addr().Interface().(type) {
	case Unmarshaler:
		return into.UnmarshalNode(n)
	case encoding.TextUnmarshaler:
		s, ok := n.value.(string)
		if !ok {
			return n.wrong("text")
		}
		if err := into.UnmarshalText([]byte(s)); err != nil {
			return elt.Problems{n.Problem(CodeWrongType, n.hide(err.Error()), "correct it")}
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return n.decodeStruct(v)
	case reflect.Map:
		return n.decodeMap(v)
	case reflect.Slice:
		return n.decodeSlice(v)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.Any()))
		return nil
	}
	return n.decodeScalar(v)
}

func (n *Node) decodeStruct(v reflect.Value) elt.Problems {
	if n.Kind != Mapping {
		return n.wrong("a mapping of keys and values")
	}
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = i
			known = append(known, name)
		}
	}
	var out elt.Problems
	for _, e := range n.entries {
		if i, ok := fields[e.key]; ok {
			out = append(out, e.value.decode(v.Field(i))...)
			continue
		}
		out = append(out, elt.Problem{File: n.file.name, Line: e.line, Column: e.column, Code: CodeUnknownKey,
			What: fmt.Sprintf("unknown key %q", short(e.key)), Do: Suggest(e.key, known)})
	}
	return out
}

func (n *Node) decodeMap(v reflect.Value) elt.Problems {
	if n.Kind != Mapping {
		return n.wrong("a mapping of keys and values")
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
	}
	var out elt.Problems
	for _, e := range n.entries {
		value := reflect.New(v.Type().Elem()).Elem()
		out = append(out, e.value.decode(value)...)
		v.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), value)
	}
	return out
}

func (n *Node) decodeSlice(v reflect.Value) elt.Problems {
	if n.Kind != Sequence {
		return n.wrong("a list")
	}
	var out elt.Problems
	items := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		if item.Kind == Null && items.Index(i).Kind() != reflect.Interface {
			out = append(out, item.Problem(CodeWrongType, "an item of the list is empty", "write it or remove its line"))
			continue
		}
		out = append(out, item.decode(items.Index(i))...)
	}
	v.Set(items)
	return out
}

func (n *Node) decodeScalar(v reflect.Value) elt.Problems {
	if n.Kind != Scalar {
		return n.wrong(kindName(v))
	}
	text, isText := n.value.(string)
	switch v.Kind() {
	case reflect.String:
		if isText {
			v.SetString(text)
			return nil
		}
	case reflect.Bool:
		b, ok := n.value.(bool)
		if n.expanded { // what came from the environment is text, whatever it is wanted for
			parsed, err := strconv.ParseBool(text)
			b, ok = parsed, err == nil
		}
		if ok {
			v.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n.setInt(v, text) {
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if n.setFloat(v, text) {
			return nil
		}
	}
	return n.wrong(kindName(v))
}

func (n *Node) setInt(v reflect.Value, text string) bool {
	var i int64
	var err error
	switch value := n.value.(type) {
	case int64:
		i = value
	case string:
		switch {
		case v.Type() == durationType:
			var d time.Duration
			d, err = time.ParseDuration(text)
			i = int64(d)
		case n.expanded:
			i, err = strconv.ParseInt(text, 10, 64)
		default:
			return false
		}
	default:
		return false
	}
	// A bare number says nothing of its unit; only 0 needs none.
	if _, bare := n.value.(string); !bare && v.Type() == durationType && i != 0 {
		return false
	}
	if err != nil || v.OverflowInt(i) {
		return false
	}
	v.SetInt(i)
	return true
}

func (n *Node) setFloat(v reflect.Value, text string) bool {
	var f float64
	switch value := n.value.(type) {
	case int64:
		f = float64(value)
	case uint64:
		f = float64(value)
	case float64:
		f = value
	case string:
		parsed, err := strconv.ParseFloat(text, 64)
		if !n.expanded || err != nil {
			return false
		}
		f = parsed
	default:
		return false
	}
	v.SetFloat(f)
	return true
}

// Any returns the node as plain Go values: string, bool, int64, uint64, float64, []any, map[string]any, nil.
func (n *Node) Any() any {
	switch n.Kind {
	case Scalar:
		return n.value
	case Sequence:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = item.Any()
		}
		return items
	case Mapping:
		m := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			m[e.key] = e.value.Any()
		}
		return m
	}
	return nil
}
