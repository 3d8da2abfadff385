package status

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// parameter is a query parameter that a route reads.
type parameter struct{ name, about string }

var (
	pathParameter = regexp.MustCompile(`:([a-z]+)`)
	timeType      = reflect.TypeFor[time.Time]()
	dateType      = reflect.TypeFor[elt.Date]()
	rawType       = reflect.TypeFor[json.RawMessage]()
)

// newOpenAPI describes the API from the table of routes and the types that they answer with, so that the
// document cannot say anything else than the handlers do.
func newOpenAPI(routes []route, version string) ([]byte, error) {
	d := document{schemas: make(map[string]any)}
	problem := map[string]any{
		"description": "Refused; the code is explained in docs/runbook.md",
		"content":     map[string]any{"application/problem+json": map[string]any{"schema": d.schema(reflect.TypeFor[api.ProblemDetails]())}},
	}
	paths := make(map[string]any)
	for _, r := range routes {
		if r.answers == nil {
			continue
		}
		parameters := []any{}
		for _, m := range pathParameter.FindAllStringSubmatch(r.path, -1) {
			parameters = append(parameters, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
		}
		for _, p := range r.query {
			parameters = append(parameters, map[string]any{"name": p.name, "in": "query", "required": p.name == "need", "description": p.about, "schema": map[string]any{"type": "string"}})
		}
		kind := "application/json"
		if r.path == "/v1/events" {
			kind = "text/event-stream"
		}
		responses := map[string]any{
			"200":     map[string]any{"description": "The answer", "content": map[string]any{kind: map[string]any{"schema": d.schema(reflect.TypeOf(r.answers))}}},
			"default": problem,
		}
		operation := map[string]any{"summary": "For " + r.caller, "parameters": parameters, "responses": responses}
		if r.open {
			operation["security"] = []any{}
		}
		if r.method == http.MethodPost {
			operation["parameters"] = append(parameters, map[string]any{
				"name": "Idempotency-Key", "in": "header", "description": "A repeated request with the same key is answered as the first was", "schema": map[string]any{"type": "string"},
			})
			operation["requestBody"] = requestBody(r.body)
		}
		path := pathParameter.ReplaceAllString(r.path, "{$1}")
		operations, _ := paths[path].(map[string]any)
		if operations == nil {
			operations = make(map[string]any)
			paths[path] = operations
		}
		operations[strings.ToLower(r.method)] = operation
	}
	return json.MarshalIndent(map[string]any{
		"openapi":  "3.1.0",
		"info":     map[string]any{"title": "Daybreak status", "version": version, "description": "Is my data ready, and if not, when?"},
		"security": []any{map[string]any{"token": []any{}}},
		"paths":    paths,
		"components": map[string]any{
			"schemas":         d.schemas,
			"securitySchemes": map[string]any{"token": map[string]any{"type": "http", "scheme": "bearer"}},
		},
	}, "", "  ")
}

// requestBody describes an object of texts.
func requestBody(fields []parameter) map[string]any {
	properties := make(map[string]any)
	for _, f := range fields {
		properties[f.name] = map[string]any{"type": "string", "maxLength": fieldLimit, "description": f.about}
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	return map[string]any{"content": map[string]any{"application/json": map[string]any{"schema": schema}}}
}

type document struct{ schemas map[string]any }

// schema describes a type as encoding/json writes it.
func (d *document) schema(t reflect.Type) map[string]any {
	switch t {
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case dateType:
		return map[string]any{"type": "string", "pattern": `^(\d{4}-\d{2}-\d{2})?$`}
	case rawType:
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": d.schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		name := t.Name()
		if strings.HasSuffix(t.PkgPath(), "/elt") {
			name = "elt." + name
		}
		if _, known := d.schemas[name]; !known {
			d.schemas[name] = nil // so that a type that holds itself ends
			properties, required := make(map[string]any), []string{}
			d.fields(t, properties, &required)
			d.schemas[name] = map[string]any{"type": "object", "properties": properties, "required": required}
		}
		return map[string]any{"$ref": "#/components/schemas/" + name}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "string"}
}

func (d *document) fields(t reflect.Type, properties map[string]any, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			d.fields(f.Type, properties, required)
			continue
		}
		if name == "" {
			name = f.Name
		}
		properties[name] = d.schema(f.Type)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}
