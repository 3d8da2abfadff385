package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// parameter is a query parameter that a route reads, or a field of the body of an act. parameterSchemas says what it may
// hold.
type parameter struct{ name, about string }

var pathParameter = regexp.MustCompile(`:([a-z]+)`)

// object is a part of the document.
type object = map[string]any

// newOpenAPI describes every route from the table of routes, the types that they answer with, and the refusals that
// follow from what they read, so that the document cannot say anything else than the handlers do. The tests hold every
// answer against it.
func newOpenAPI(routes []route, version string, public bool) ([]byte, error) {
	d := document{schemas: make(object), public: public}
	paths := make(object)
	for _, r := range routes {
		path := pathParameter.ReplaceAllString(r.path, "{$1}")
		operations, _ := paths[path].(object)
		if operations == nil {
			operations = make(object)
			paths[path] = operations
		}
		operations[strings.ToLower(r.method)] = d.operation(r)
	}
	return json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Daybreak status", "version": cmp.Or(version, "unreleased"),
			"description": "Is my data ready, and if not, when? Every GET but a stream answers HEAD as well. A refusal is problem+json with a stable code; docs/runbook.md explains each.",
		},
		"security": []any{object{"token": []any{}}, object{"session": []any{}}},
		"tags": []any{
			object{"name": "api", "description": "For programs. Fields are only ever added."},
			object{"name": "feeds", "description": "For feed readers, wikis, scrapers and supervisors."},
			object{"name": "pages", "description": "For people: HTML, and the forms on it."},
		},
		"paths": paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{
				"token":   object{"type": "http", "scheme": "bearer", "description": "A token of daybreak token create, or status.token."},
				"session": object{"type": "apiKey", "in": "cookie", "name": sessionCookie, "description": "What a browser gets at /login."},
			},
		},
	}, "", "  ")
}

func (d *document) operation(r route) object {
	op := object{
		"operationId": operationID(r), "summary": capital(r.caller), "tags": []string{r.tag()},
		"parameters": parametersOf(r), "responses": d.responses(r),
	}
	switch {
	case r.open:
		op["security"] = []any{}
	case d.public && r.needs() == elt.Viewer:
		op["security"] = []any{object{}, object{"token": []any{}}, object{"session": []any{}}}
		op["description"] = "Reading is public here."
	default:
		op["description"] = "Asks for the role " + string(r.needs()) + "."
	}
	if r.method == http.MethodPost {
		op["requestBody"] = requestBody(r)
	}
	return op
}

// operationID names an operation for generated clients: getV1DatasetsByDatasetDays.
func operationID(r route) string {
	var id strings.Builder
	id.WriteString(strings.ToLower(r.method))
	for part := range strings.FieldsFuncSeq(r.path, func(c rune) bool { return c == '/' || c == '.' || c == '-' || c == '_' }) {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			part = "by" + capital(name)
		}
		id.WriteString(capital(part))
	}
	if r.path == "/" {
		id.WriteString("Overview")
	}
	return id.String()
}

func (r route) tag() string {
	switch {
	case strings.HasPrefix(r.path, "/v1/"):
		return "api"
	case r.answers != nil || r.media != "":
		return "feeds"
	}
	return "pages"
}

func parametersOf(r route) []any {
	out := []any{}
	for _, m := range pathParameter.FindAllStringSubmatch(r.path, -1) {
		out = append(out, object{"name": m[1], "in": "path", "required": true, "schema": schemaOfParameter(r.path, m[1])})
	}
	for _, p := range r.query {
		out = append(out, object{"name": p.name, "in": "query", "required": requiredParameters[p.name], "description": p.about, "schema": schemaOfParameter(r.path, p.name)})
	}
	if r.tagged() {
		out = append(out, object{"name": "If-None-Match", "in": "header", "description": "The ETag that is known: 304 while nothing has changed", "schema": object{"type": "string"}})
	}
	if r.method == http.MethodPost && r.answers != nil {
		out = append(out, object{
			"name": "Idempotency-Key", "in": "header", "description": "A repeated request with the same key is answered as the first was",
			"schema": object{"type": "string", "pattern": idempotencyKey.String(), "maxLength": 200},
		})
	}
	return out
}

// tagged reports whether the answer carries an ETag of its own.
func (r route) tagged() bool {
	return r.method == http.MethodGet && strings.HasPrefix(r.path, "/v1/") && !r.stream && r.path != "/v1/ready"
}

// responses are all that the route can answer with.
func (d *document) responses(r route) object {
	out := make(object)
	switch {
	case r.leads:
		out["303"] = object{"description": "Leads on: to the provider, or back to the page", "headers": object{"Location": header("Where to go on")}}
	case r.method == http.MethodPost && r.answers == nil:
		out["303"] = object{"description": "Done; leads back to the page", "headers": object{"Location": header("The page to go to")}}
		if r.path == "/tokens" {
			out["200"] = object{"description": "The page with the token's text, shown once", "content": object{"text/html": object{"schema": object{"type": "string"}}}}
		}
	case r.answers != nil:
		ok := object{"description": "The answer", "content": object{cmp.Or(r.media, "application/json"): object{"schema": d.schema(reflect.TypeOf(r.answers))}}}
		if r.tagged() {
			ok["headers"] = object{"ETag": header("Changes when this resource does"), "Cache-Control": header("no-cache: ask again, with If-None-Match")}
			out["304"] = object{"description": "It is as the If-None-Match says", "headers": object{"ETag": header("As it was sent")}}
		}
		out["200"] = ok
	default:
		content := make(object)
		for media := range strings.SplitSeq(cmp.Or(r.media, "text/html"), ", ") {
			content[media] = object{"schema": object{"type": map[bool]string{true: "object", false: "string"}[strings.HasSuffix(media, "json")]}}
		}
		out["200"] = object{"description": "The " + map[bool]string{true: "page", false: "answer"}[r.media == ""], "content": content}
	}
	refusals := refusalsOf(r)
	for _, status := range slices.Sorted(maps.Keys(refusals)) {
		out[strconv.Itoa(status)] = d.refusal(r, status, refusals[status])
	}
	return out
}

// refusal describes a status that refuses, with the codes that it can bear.
func (d *document) refusal(r route, status int, codes []elt.Code) object {
	slices.Sort(codes)
	codes = slices.Compact(codes)
	content := object{"application/problem+json": object{"schema": d.schema(reflect.TypeFor[api.ProblemDetails]())}}
	if r.tag() == "pages" {
		content["text/html"] = object{"schema": object{"type": "string"}}
	}
	names := make([]string, len(codes))
	for i, c := range codes {
		names[i] = string(c)
	}
	out := object{"description": fmt.Sprintf("%s: %s", http.StatusText(status), strings.Join(names, ", ")), "content": content, "x-codes": names}
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		out["headers"] = object{"Retry-After": header("Seconds after which to ask again")}
	case http.StatusUnauthorized:
		out["headers"] = object{"WWW-Authenticate": header("Bearer")}
	}
	return out
}

func header(about string) object {
	return object{"description": about, "schema": object{"type": "string"}}
}

// requestBody describes an object of texts: JSON for programs, a form for pages.
func requestBody(r route) object {
	properties, required := make(object), []string{}
	for _, f := range r.body {
		field := maps.Clone(schemaOfParameter(r.path, f.name))
		field["description"] = f.about
		properties[f.name] = field
		if requiredParameters[f.name] {
			required = append(required, f.name)
		}
	}
	if r.answers == nil {
		// A form says where it leads back to; what is missing in it the page says.
		properties["next"] = object{"type": "string", "description": "the path to lead back to"}
		return object{"content": object{"application/x-www-form-urlencoded": object{"schema": object{"type": "object", "properties": properties}}}}
	}
	schema := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return object{"required": len(required) > 0, "content": object{"application/json": object{"schema": schema}}}
}
