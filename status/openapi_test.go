package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// Every answer of the API is as its description says: no field that it does not name, none missing that
// it requires, each of its type.
func TestAnswersMatchTheirDescription(t *testing.T) {
	w := statustest.Busy()
	w.Flags()
	acts := statustest.NewActs(statustest.NewKeys(w.Ledger, w.Now))
	admin := "Bearer " + acts.Add("head", elt.Admin, time.Time{})
	s := serve(t, w, forOperators, func(o *Options) { o.Tokens, o.Acts = acts, acts })
	_, text := get(t, s, "/openapi.json")
	var document struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema map[string]any }
			}
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	described := 0
	for _, r := range s.routes() {
		if !strings.HasPrefix(r.path, "/v1/") || r.method != http.MethodGet {
			continue
		}
		operation, ok := document.Paths[pathParameter.ReplaceAllString(r.path, "{$1}")]["get"]
		if !ok {
			t.Errorf("%s is not described", r.path)
			continue
		}
		described++
		if r.path == "/v1/events" {
			continue
		}
		path := filled(r.path)
		if strings.HasSuffix(path, "/ready") || strings.HasSuffix(path, "/wait") {
			path += "?need=revenue@2026-11-20"
		}
		_, body := get(t, s, path, "Authorization", admin)
		var answer any
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		check(t, document.Components.Schemas, operation.Responses["200"].Content["application/json"].Schema, answer, path)
	}
	if described < 19 {
		t.Errorf("%d routes are described", described)
	}
}

func check(t *testing.T, schemas map[string]map[string]any, schema map[string]any, value any, at string) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
	}
	kinds := strings.Trim(fmt.Sprint(schema["type"]), "[]")
	is := map[bool]string{}
	switch v := value.(type) {
	case map[string]any:
		is[true] = "object"
		properties, named := schema["properties"].(map[string]any)
		other, _ := schema["additionalProperties"].(map[string]any)
		for name, field := range v {
			if p, ok := properties[name].(map[string]any); ok {
				check(t, schemas, p, field, at+"."+name)
			} else if named {
				t.Errorf("%s.%s is not described", at, name)
			} else if other != nil {
				check(t, schemas, other, field, at+"."+name)
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				t.Errorf("%s lacks %s", at, name)
			}
		}
	case []any:
		is[true] = "array"
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			check(t, schemas, items, item, fmt.Sprintf("%s[%d]", at, i))
		}
	case string:
		is[true] = "string"
	case bool:
		is[true] = "boolean"
	case nil:
		is[true] = "null"
	case float64:
		is[true] = "number"
		if strings.Contains(kinds, "integer") && v == float64(int64(v)) {
			is[true] = "integer"
		}
	}
	if schema["type"] != nil && !slices.Contains(strings.Fields(kinds), is[true]) {
		t.Errorf("%s is %s, described as %s", at, is[true], kinds)
	}
}
