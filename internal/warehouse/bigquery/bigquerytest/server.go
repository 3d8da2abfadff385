package bigquerytest

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2" // the driver
	bq "google.golang.org/api/bigquery/v2"
)

// Server is a BigQuery of one location with any project. Everything that it is asked for it does one at a time.
type Server struct {
	URL string // the endpoint

	db       *sql.DB
	api      *discovery // of BigQuery
	storage  *discovery // of Cloud Storage
	handlers map[string]func(*call) (any, *refusal)

	mu         sync.Mutex
	location   string
	clock      int64                        // milliseconds; each thing that is made has a later one
	datasets   map[string]bool              // those made through the API
	labels     map[string]map[string]string // of datasets
	answers    map[string]*result           // the tables of SELECTs' results, by "dataset.table"
	tables     map[string]*bq.Table         // what DuckDB does not know of a table, by "dataset.table"
	jobs       map[string]*work             // by location and ID
	uploads    map[string]*uploading        // by session
	buckets    map[string]map[string]*object
	faults     []*Fault
	requests   []Request
	received   int64 // bytes of chunks of uploads
	violations []string
}

// Request is one that the server was asked.
type Request struct {
	Method        string               // "bigquery.jobs.insert", or "upload" for a chunk of a session
	Job           string               // the ID of the job that it is about
	Authorization string               // of the request's header
	Config        *bq.JobConfiguration // what a job is asked to do
}

// call is a request that met the document.
type call struct {
	authorization string
	params        map[string]string
	query         map[string][]string
	body          []byte
	media         []byte
}

func (c *call) get(name string) string {
	if v := c.query[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// refusal is an error of the API.
type refusal struct {
	status  int
	reason  string
	message string
	drop    bool // no answer at all: the connection ends
}

// New starts a server for the test. The test fails if a request or a response is not as the document says.
func New(t testing.TB) *Server {
	t.Helper()
	api, err := bigqueryAPI()
	if err != nil {
		t.Fatal(err)
	}
	storage, err := storageAPI()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("duckdb", "?autoinstall_known_extensions=false&autoload_known_extensions=false&threads=1")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // one memory, and one transaction at a time
	for _, statement := range append([]string{"SET TimeZone = 'UTC'"}, macros...) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	s := &Server{
		db: db, api: api, storage: storage, location: "EU", clock: 1_767_600_000_000,
		datasets: make(map[string]bool), labels: make(map[string]map[string]string), answers: make(map[string]*result), tables: make(map[string]*bq.Table), jobs: make(map[string]*work), uploads: make(map[string]*uploading),
		buckets: make(map[string]map[string]*object),
	}
	s.handlers = map[string]func(*call) (any, *refusal){
		"bigquery.datasets.insert":      s.insertDataset,
		"bigquery.datasets.get":         s.getDataset,
		"bigquery.datasets.list":        s.listDatasets,
		"bigquery.datasets.delete":      s.deleteDataset,
		"bigquery.routines.list":        s.listRoutines,
		"bigquery.tables.insert":        s.insertTable,
		"bigquery.tables.get":           s.getTable,
		"bigquery.tables.patch":         s.patchTable,
		"bigquery.tables.delete":        s.deleteTable,
		"bigquery.tables.list":          s.listTables,
		"bigquery.jobs.insert":          s.insertJob,
		"bigquery.jobs.get":             s.getJob,
		"bigquery.jobs.cancel":          s.cancelJob,
		"bigquery.jobs.getQueryResults": s.queryResults,
		"storage.objects.insert":        s.insertObject,
		"storage.objects.get":           s.getObject,
		"storage.objects.list":          s.listObjects,
		"storage.objects.delete":        s.deleteObject,
	}
	server := httptest.NewServer(s)
	s.URL = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		for _, v := range s.violations {
			t.Errorf("not as the discovery document says: %s", v)
		}
	})
	return s
}

// Requests returns what the server was asked so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Received returns how many bytes of parts have come, in chunks of uploads.
func (s *Server) Received() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

// Exec runs DuckDB's SQL behind the API's back.
func (s *Server) Exec(t testing.TB, statement string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.db.ExecContext(t.Context(), plainNames(statement)); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Rows returns each row of a query in DuckDB's SQL, with BigQuery's names of tables, as its cells in text with | in
// between.
func (s *Server) Rows(t testing.TB, query string) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, err := s.db.QueryContext(t.Context(), "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ("+plainNames(query)+")")
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		cells, dests := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range cells {
			cells[i].String, dests[i] = "NULL", &cells[i]
		}
		if err := rows.Scan(dests...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(cells))
		for i, c := range cells {
			if texts[i] = c.String; !c.Valid {
				texts[i] = "NULL"
			}
		}
		out = append(out, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// ServeHTTP answers a request of the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	var answer any
	var refused *refusal
	path, upload := strings.CutPrefix(r.URL.EscapedPath(), "/upload")
	switch {
	case upload && strings.HasPrefix(path, "/sessions/"):
		s.chunk(w, r, strings.TrimPrefix(path, "/sessions/"), body)
		return
	case upload && r.URL.Query().Get("uploadType") == "resumable":
		s.beginUpload(w, r, path, body)
		return
	default:
		answer, refused = s.dispatch(r, path, body, upload)
	}
	s.reply(w, answer, refused)
}

// route returns the method of either API that a request is of.
func (s *Server) route(httpMethod, path string) (*method, map[string]string) {
	if rest, ok := strings.CutPrefix(path, "/storage/v1/"); ok {
		return s.storage.route(httpMethod, rest)
	}
	return s.api.route(httpMethod, strings.TrimPrefix(path, "/bigquery/v2/"))
}

// dispatch holds a request to the document, has it answered, and holds the answer to it.
func (s *Server) dispatch(r *http.Request, path string, body []byte, upload bool) (any, *refusal) {
	m, params := s.route(r.Method, path)
	if m == nil {
		s.violate("%s %s is no method", r.Method, path)
		return nil, &refusal{status: http.StatusNotFound, reason: "notFound", message: "no such method"}
	}
	c := &call{authorization: r.Header.Get("Authorization"), params: params, query: r.URL.Query(), body: body}
	if upload {
		var err error
		if c.body, c.media, err = multipartBody(r, body); err != nil {
			s.violate("%s: %v", m.ID, err)
			return nil, &refusal{status: http.StatusBadRequest, reason: "invalid", message: err.Error()}
		}
	}
	s.validate(m, c)
	handle := s.handlers[m.ID]
	if handle == nil {
		s.violate("the double does not know %s", m.ID)
		return nil, &refusal{status: http.StatusNotImplemented, reason: "notImplemented", message: m.ID}
	}
	return s.faulty(m, c, handle)
}

func (s *Server) validate(m *method, c *call) {
	for _, wrong := range m.api.query(m, c.query) {
		s.violate("%s: %s", m.ID, wrong)
	}
	if len(c.body) == 0 {
		return
	}
	var v any
	if err := json.Unmarshal(c.body, &v); err != nil {
		s.violate("%s: %v", m.ID, err)
		return
	}
	for _, wrong := range m.api.body(m.Request, v, true, "request") {
		s.violate("%s: %s", m.ID, wrong)
	}
}

func (s *Server) violate(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// conform holds an answer to the document.
func (s *Server) conform(m *method, answer any) {
	encoded, err := json.Marshal(answer)
	if err != nil {
		s.violate("%s answers what is no JSON: %v", m.ID, err)
		return
	}
	var v any
	if err := json.NewDecoder(bytes.NewReader(encoded)).Decode(&v); err != nil {
		s.violate("%s: %v", m.ID, err)
	}
	for _, wrong := range m.api.body(m.Response, v, false, "response") {
		s.violate("%s: %s", m.ID, wrong)
	}
}

func (s *Server) reply(w http.ResponseWriter, answer any, refused *refusal) {
	if refused != nil && refused.drop {
		hangUp()
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if refused != nil {
		w.WriteHeader(refused.status)
		answer = map[string]any{"error": map[string]any{
			"code": refused.status, "message": refused.message,
			"errors": []any{map[string]any{"message": refused.message, "domain": "global", "reason": refused.reason}},
		}}
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.violate("an answer could not be written: %v", err)
	}
}

// hangUp ends the connection without an answer.
func hangUp() {
	panic(http.ErrAbortHandler)
}

func (s *Server) tick() int64 {
	s.clock++
	return s.clock
}
