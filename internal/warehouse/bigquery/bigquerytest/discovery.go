package bigquerytest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// discovery is the part of the API's discovery document that the double lives by.
type discovery struct {
	Parameters map[string]schema `json:"parameters"`
	Schemas    map[string]schema `json:"schemas"`
	Resources  map[string]struct {
		Methods map[string]*method `json:"methods"`
	} `json:"resources"`
	methods []*method
}

type method struct {
	ID         string            `json:"id"`
	HTTPMethod string            `json:"httpMethod"`
	Path       string            `json:"path"`
	Parameters map[string]schema `json:"parameters"`
	Request    *schema           `json:"request"`
	Response   *schema           `json:"response"`
	pattern    *regexp.Regexp
	api        *discovery
}

type schema struct {
	Ref                  string            `json:"$ref"`
	Type                 string            `json:"type"`
	Format               string            `json:"format"`
	Enum                 []string          `json:"enum"`
	ReadOnly             bool              `json:"readOnly"`
	Required             bool              `json:"required"`
	Location             string            `json:"location"`
	Properties           map[string]schema `json:"properties"`
	Items                *schema           `json:"items"`
	AdditionalProperties *schema           `json:"additionalProperties"`
}

var pathParameter = regexp.MustCompile(`\{\+?([A-Za-z]+)\}`)

// The documents of the client library that this module builds with, read once for all servers.
var (
	bigqueryAPI = sync.OnceValues(func() (*discovery, error) { return readDiscovery("bigquery/v2/bigquery-api.json") })
	storageAPI  = sync.OnceValues(func() (*discovery, error) { return readDiscovery("storage/v1/storage-api.json") })
)

func readDiscovery(document string) (*discovery, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		return nil, fmt.Errorf("find the client library's folder: %w", err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(document)))
	if err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	var d discovery
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	for _, r := range d.Resources {
		for _, m := range r.Methods {
			m.pattern = regexp.MustCompile("^" + pathParameter.ReplaceAllString(m.Path, "(?P<$1>[^/]+)") + "$")
			m.api = &d
			d.methods = append(d.methods, m)
		}
	}
	return &d, nil
}

// route returns the method of a request and its path's parameters.
func (d *discovery) route(httpMethod, path string) (*method, map[string]string) {
	for _, m := range d.methods {
		found := m.pattern.FindStringSubmatch(path)
		if m.HTTPMethod != httpMethod || found == nil || strings.HasPrefix(m.Path, "{+resource}") {
			continue
		}
		params := make(map[string]string)
		for i, name := range m.pattern.SubexpNames() {
			if name != "" {
				value, err := url.PathUnescape(found[i])
				if err != nil {
					return nil, nil
				}
				params[name] = value
			}
		}
		return m, params
	}
	return nil, nil
}

// query returns what is wrong with the query parameters of a request.
func (d *discovery) query(m *method, values url.Values) (wrong []string) {
	for name, texts := range values {
		s, ok := m.Parameters[name]
		if !ok {
			s, ok = d.Parameters[name]
		}
		if !ok {
			wrong = append(wrong, fmt.Sprintf("unknown parameter %s", name))
			continue
		}
		for _, text := range texts {
			var err error
			switch s.Type {
			case "integer":
				_, err = strconv.ParseInt(text, 10, 64)
			case "boolean":
				_, err = strconv.ParseBool(text)
			}
			if err != nil || len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
				wrong = append(wrong, fmt.Sprintf("parameter %s is %q, not a %s", name, text, s.Type))
			}
		}
	}
	for name, s := range m.Parameters {
		if s.Required && s.Location == "query" && !values.Has(name) {
			wrong = append(wrong, fmt.Sprintf("parameter %s is missing", name))
		}
	}
	return wrong
}

// body returns what is wrong with a value that should be of the schema. In a request nothing may be given that only
// the service sets.
func (d *discovery) body(s *schema, v any, request bool, at string) (wrong []string) {
	if s == nil {
		if v != nil {
			return []string{at + ": a body where none is due"}
		}
		return nil
	}
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	if s.Ref != "" {
		ref, ok := d.Schemas[s.Ref]
		if !ok {
			say("the document has no schema %s", s.Ref)
			return wrong
		}
		return d.body(&ref, v, request, at)
	}
	switch s.Type {
	case "object":
		object, ok := v.(map[string]any)
		if !ok {
			say("is %T, not an object", v)
			return wrong
		}
		for name, value := range object {
			property, ok := s.Properties[name]
			switch {
			case ok && request && property.ReadOnly:
				say("%s is read-only", name)
			case ok:
				wrong = append(wrong, d.body(&property, value, request, at+"."+name)...)
			case s.AdditionalProperties != nil:
				wrong = append(wrong, d.body(s.AdditionalProperties, value, request, at+"."+name)...)
			default:
				say("unknown property %s", name)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			say("is %T, not an array", v)
		}
		for i, value := range list {
			wrong = append(wrong, d.body(s.Items, value, request, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "any":
	default:
		if why := scalar(s, v); why != "" {
			say("%s", why)
		}
	}
	return wrong
}

// scalar says why a value is not of a schema without parts. 64-bit integers travel as strings.
func scalar(s *schema, v any) string {
	switch s.Type {
	case "string":
		text, ok := v.(string)
		if !ok {
			return fmt.Sprintf("is %T, not a string", v)
		}
		if s.Format == "int64" || s.Format == "uint64" {
			if _, err := strconv.ParseInt(text, 10, 64); err != nil && s.Format == "int64" {
				return fmt.Sprintf("%q is no %s", text, s.Format)
			}
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			return fmt.Sprintf("%q is none of %v", text, s.Enum)
		}
	case "integer", "number":
		if text, ok := v.(string); ok && s.Type == "integer" { // JSON of protocol buffers may have numbers as texts
			if _, err := strconv.ParseInt(text, 10, 32); err == nil {
				return ""
			}
		}
		if f, ok := v.(float64); !ok || s.Type == "integer" && f != float64(int64(f)) {
			return fmt.Sprintf("is %v, not an %s", v, s.Type)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return fmt.Sprintf("is %T, not a boolean", v)
		}
	default:
		return fmt.Sprintf("the document's type %q is unknown", s.Type)
	}
	return ""
}
