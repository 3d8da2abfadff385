package status

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contract holds every request and answer of a test's service against the document that the service serves: a route, a
// status, a field, a code or a kind of content that is not in it fails the test.
type contract struct {
	t      testing.TB
	doc    *openapi3.T
	router routers.Router
	next   http.Handler
}

// underContract puts the contract before the service's handler.
func underContract(t testing.TB, s *Service) *contract {
	t.Helper()
	doc := described(t, s.openAPI)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatalf("the document's routes: %v", err)
	}
	return &contract{t: t, doc: doc, router: router, next: s.handler}
}

var documents sync.Map // by their text: a test binary makes hundreds of services with one document

// described reads a document, which must be valid OpenAPI 3.1. Where it is open for fields that are added one day, the
// tests are strict: today's answers hold the fields of today.
func described(t testing.TB, text []byte) *openapi3.T {
	t.Helper()
	if doc, ok := documents.Load(string(text)); ok {
		return doc.(*openapi3.T)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("the document cannot be read: %v", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("the document is not OpenAPI 3.1: %v", err)
	}
	closed := false
	for _, schema := range doc.Components.Schemas {
		if schema.Value != nil && len(schema.Value.Properties) > 0 {
			schema.Value.AdditionalProperties = openapi3.BoolSchema{Has: &closed}
		}
	}
	documents.Store(string(text), doc)
	return doc
}

func (c *contract) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 100<<10))
	if err != nil {
		c.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	sent := r.Clone(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	seen := &witness{ResponseWriter: w, status: http.StatusOK}
	c.next.ServeHTTP(seen, r)
	if r.Context().Err() != nil && !seen.began {
		return // the client left: nothing was answered
	}
	sent.Body = io.NopCloser(bytes.NewReader(body))
	if problem := c.judge(sent, seen); problem != "" {
		c.t.Errorf("%s %s answered with %d: %s", r.Method, r.URL, seen.status, problem)
	}
}

// judge says what of a request and its answer is not as the document says.
func (c *contract) judge(r *http.Request, seen *witness) string {
	if r.Method == http.MethodHead {
		r.Method = http.MethodGet
	}
	r.URL.Scheme, r.URL.Host = "", ""
	route, params, err := c.router.FindRoute(r)
	if err != nil { // no such route: then it must not have answered as if there were one
		if seen.status < 400 {
			return "it is not in the document"
		}
		return ""
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if seen.status < 400 && seen.status != http.StatusNotModified {
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			return "the request was accepted and is not as described: " + err.Error()
		}
	}
	described := route.Operation.Responses.Value(strconv.Itoa(seen.status))
	if described == nil {
		return "the status is not described"
	}
	if text := codeIn(described.Value, seen); text != "" {
		return text
	}
	if strings.HasPrefix(seen.Header().Get("Content-Type"), "text/event-stream") {
		return c.events(described.Value, seen.body.String())
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: seen.status, Header: seen.Header(), Options: input.Options,
		Body: io.NopCloser(bytes.NewReader(seen.body.Bytes())),
	}
	if r.Header.Get("X-Was-Head") != "" || seen.body.Len() == 0 || !strings.Contains(seen.Header().Get("Content-Type"), "json") {
		if seen.body.Len() > 0 && described.Value.Content.Get(seen.Header().Get("Content-Type")) == nil {
			return "the content is " + seen.Header().Get("Content-Type") + ", which is not described"
		}
		return ""
	}
	if seen.Header().Get("Content-Encoding") != "" {
		return "" // the same answer without compression is held against the document elsewhere
	}
	same := asDescribed{c.doc, route.Method, route.Path, seen.status, fmt.Sprint(seen.Header()), seen.body.String()}
	if _, judged := judgedWell.Load(same); judged {
		return ""
	}
	if err := openapi3filter.ValidateResponse(r.Context(), answer); err != nil {
		text, _, _ := strings.Cut(err.Error(), "Schema:")
		return text
	}
	judgedWell.Store(same, true)
	return ""
}

// asDescribed is an answer that was found to be as the document says. To find that out takes long, as each time the whole
// description is read anew, and many tests are given the same answer.
type asDescribed struct {
	doc           *openapi3.T
	method, route string
	status        int
	header, body  string
}

var judgedWell sync.Map

// codeIn checks the code of a refusal against those that the status is described with.
func codeIn(described *openapi3.Response, seen *witness) string {
	if seen.Header().Get("Content-Type") != "application/problem+json" || seen.Header().Get("Content-Encoding") != "" {
		return ""
	}
	var problem struct{ Code string }
	if err := json.Unmarshal(seen.body.Bytes(), &problem); err != nil {
		return "the problem cannot be read: " + err.Error()
	}
	codes, _ := described.Extensions["x-codes"].([]any)
	if !slices.Contains(codes, any(problem.Code)) {
		return fmt.Sprintf("the code %s is not among %v", problem.Code, codes)
	}
	return ""
}

// events holds each event of a stream against the description.
func (c *contract) events(described *openapi3.Response, stream string) string {
	events := []any{}
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok {
			continue
		}
		var event any
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return err.Error()
		}
		events = append(events, event)
	}
	all := openapi3.NewArraySchema() // which is read once for all of them
	all.Items = described.Content["text/event-stream"].Schema
	if err := all.VisitJSON(events, openapi3.EnableJSONSchema2020()); err != nil {
		return err.Error()
	}
	return ""
}

// witness remembers what was answered.
type witness struct {
	http.ResponseWriter
	status int
	began  bool
	body   bytes.Buffer
}

func (w *witness) WriteHeader(status int) {
	w.status, w.began = status, true
	w.ResponseWriter.WriteHeader(status)
}

func (w *witness) Write(b []byte) (int, error) {
	w.began = true
	w.body.Write(b)
	return w.ResponseWriter.Write(b)
}

func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// The document names every route of the table, once, and each thing in it says what it is.
func TestTheDocumentIsComplete(t *testing.T) {
	s, _, _ := serveTokens(t)
	doc := described(t, s.openAPI)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("it is OpenAPI %s", doc.OpenAPI)
	}
	described, ids := 0, make(map[string]bool)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			described++
			if ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s: operation %q is there twice, or says nothing", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.Value.In == "query" && p.Value.Description == "" {
					t.Errorf("%s %s: %s says nothing", method, path, p.Value.Name)
				}
			}
			if op.Responses.Default() != nil {
				t.Errorf("%s %s: anything may be answered", method, path)
			}
		}
	}
	if n := len(s.routes()); described != n {
		t.Errorf("%d operations of %d routes are described", described, n)
	}
}

// The contract itself fails whoever answers with what is not described.
func TestTheContractCatches(t *testing.T) {
	s, _, _ := serveTokens(t)
	for name, answer := range map[string]http.HandlerFunc{
		"a status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"a field": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"as_of":"2026-11-21T05:00:00Z","evaluator_lag_s":0,"incidents":[],"more":1}`)
		},
		"a field that is missing": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"as_of":"2026-11-21T05:00:00Z","evaluator_lag_s":0}`)
		},
		"a kind of content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<p>`)
		},
		"a code": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"type":"t","title":"t","status":400,"detail":"d","code":"never_heard_of"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := underContract(t, s)
			seen := &witness{ResponseWriter: httptest.NewRecorder(), status: http.StatusOK}
			r := httptest.NewRequest(http.MethodGet, "/v1/incidents", nil)
			answer(seen, r)
			if c.judge(r, seen) == "" {
				t.Error("nothing was said")
			}
		})
	}
	event, err := json.Marshal(s.feed.ring[0])
	if err != nil {
		t.Fatal(err)
	}
	for data, accepted := range map[string]bool{string(event): true, strings.Replace(string(event), "{", `{"more":1,`, 1): false} {
		c := underContract(t, s)
		seen := &witness{ResponseWriter: httptest.NewRecorder(), status: http.StatusOK}
		seen.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(seen, "id: 1\ndata: %s\n\ndata: %s\n\n", event, data)
		if problem := c.judge(httptest.NewRequest(http.MethodGet, "/v1/events", nil), seen); (problem == "") != accepted {
			t.Errorf("the event %s: %q", data, problem)
		}
	}
	c := underContract(t, s)
	for path, accepted := range map[string]bool{"/v1/incidents?open=" + url.QueryEscape("perhaps"): false, "/v1/incidents?open=true": true, "/v1/nowhere": false} {
		seen := &witness{ResponseWriter: httptest.NewRecorder(), status: http.StatusOK}
		seen.Header().Set("Content-Type", "application/json")
		fmt.Fprint(seen, `{"as_of":"2026-11-21T05:00:00Z","evaluator_lag_s":0,"incidents":[]}`)
		if problem := c.judge(httptest.NewRequest(http.MethodGet, path, nil), seen); (problem == "") != accepted {
			t.Errorf("%s: %q", path, problem)
		}
	}
}
