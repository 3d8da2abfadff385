// Package schematest holds a published JSON schema to the structs that a file is decoded into: both must know the
// same keys with the same types, and every key must be explained. Imported by tests alone.
package schematest

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

type schema struct {
	Description string
	Type        any
	Properties  map[string]schema
	Items       *schema
	AnyOf       []schema
	Required    []string
	Additional  json.RawMessage `json:"additionalProperties"`
}

// Check fails the test for every difference between the schema and the struct that into is.
func Check(t *testing.T, text []byte, into any) {
	t.Helper()
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("the schema is not JSON: %v", err)
	}
	c := checker{t}
	c.value("", s, reflect.TypeOf(into))
}

type checker struct{ t *testing.T }

func (c checker) value(path string, s schema, typ reflect.Type) {
	c.t.Helper()
	if s.Description == "" {
		c.t.Errorf("%s: the schema does not explain it", path)
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct && reflect.PointerTo(typ).Implements(reflect.TypeFor[yamlfile.Unmarshaler]()) {
		// A type that reads itself is one of several; the variant with keys is its struct.
		for _, variant := range s.AnyOf {
			if variant.is("object") {
				c.object(path, variant, typ)
				return
			}
		}
		c.t.Errorf("%s: the schema has no variant with keys", path)
		return
	}
	want := wanted(typ)
	if !s.is(want) {
		c.t.Errorf("%s: the schema says %v, the struct takes %s", path, s.Type, want)
		return
	}
	switch typ.Kind() {
	case reflect.Slice:
		if s.Items == nil || !s.Items.is(wanted(typ.Elem())) {
			c.t.Errorf("%s: the schema's items are not %s", path, wanted(typ.Elem()))
		} else if typ.Elem().Kind() == reflect.Struct {
			c.value(path+"[]", *s.Items, typ.Elem())
		}
	case reflect.Map:
		if typ.Elem().Kind() == reflect.Interface {
			return
		}
		var each schema
		if err := json.Unmarshal(s.Additional, &each); err != nil {
			c.t.Errorf("%s: the schema does not describe its values: %v", path, err)
			return
		}
		c.value(path+".*", each, typ.Elem())
	case reflect.Struct:
		if want == "object" {
			c.object(path, s, typ)
		}
	}
}

func (c checker) object(path string, s schema, typ reflect.Type) {
	c.t.Helper()
	if string(s.Additional) != "false" {
		c.t.Errorf("%s: the schema allows unknown keys", path)
	}
	known := map[string]bool{}
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		known[name] = true
		sub, ok := s.Properties[name]
		if !ok {
			c.t.Errorf("%s.%s: the schema does not know it", path, name)
			continue
		}
		c.value(path+"."+name, sub, field.Type)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !known[name] {
			c.t.Errorf("%s.%s: only the schema knows it", path, name)
		}
	}
	for _, name := range s.Required {
		if !known[name] {
			c.t.Errorf("%s.%s: required, and unknown", path, name)
		}
	}
}

// is reports whether the schema allows the type.
func (s schema) is(name string) bool {
	if list, ok := s.Type.([]any); ok {
		return slices.Contains(list, any(name))
	}
	return fmt.Sprint(s.Type) == name
}

// wanted returns the JSON schema's name for what a Go type is decoded from.
func wanted(typ reflect.Type) string {
	if typ == reflect.TypeFor[time.Duration]() || reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "string"
	}
	switch typ.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return "integer"
}
