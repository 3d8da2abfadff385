package bigquerytest

import (
	"encoding/json"
	"net/http"
	"strings"

	bq "google.golang.org/api/bigquery/v2"
)

// Fault is something that goes wrong, once unless Times says otherwise.
type Fault struct {
	Method string // of the requests that it meets: "bigquery.jobs.insert", or "upload" for a chunk of an upload
	Skip   int    // how many of them pass first
	Job    string // what the job's ID begins with; empty for any
	Times  int    // 0 means once
	Final  bool   // of chunks, only the last one

	// One of these:
	Status int    // the request is refused with this status, and Reason, before anything is done
	Lost   bool   // the request is obeyed, and its answer is lost
	Fails  bool   // the job is accepted, and ends in an error with Reason; it changes nothing
	Hangs  bool   // the job is accepted, and runs until it is cancelled
	Reason string // BigQuery's word: "backendError", "quotaExceeded"
}

// Inject adds faults, which are met in this order.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		f.Times = max(1, f.Times)
		s.faults = append(s.faults, &f)
	}
}

// Pending returns how many of the injected faults have not been met yet.
func (s *Server) Pending() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		n += f.Times
	}
	return n
}

// meets takes the first fault that the request meets, or returns nil.
func (s *Server) meets(method, job string, final bool) *Fault {
	for _, f := range s.faults {
		if f.Times > 0 && f.Method == method && strings.HasPrefix(job, f.Job) && (final || !f.Final) {
			if f.Skip > 0 {
				f.Skip--
				return nil
			}
			f.Times--
			return f
		}
	}
	return nil
}

// faulty answers a request, with the fault that it meets.
func (s *Server) faulty(m *method, c *call, handle func(*call) (any, *refusal)) (any, *refusal) {
	job := c.params["jobId"]
	var config *bq.JobConfiguration
	if m.ID == "bigquery.jobs.insert" {
		var asked bq.Job
		if err := json.Unmarshal(c.body, &asked); err == nil && asked.JobReference != nil {
			job, config = asked.JobReference.JobId, asked.Configuration
		}
	}
	s.requests = append(s.requests, Request{m.ID, job, c.authorization, config})
	f := s.meets(m.ID, job, true)
	if f != nil && f.Status != 0 {
		return nil, f.refusal()
	}
	if f != nil && (f.Fails || f.Hangs) {
		c.params["fault"] = "hangs"
		if f.Fails {
			c.params["fault"] = f.Reason
		}
	}
	answer, refused := handle(c)
	if f != nil && f.Lost {
		return nil, &refusal{drop: true}
	}
	if refused == nil && answer != nil {
		s.conform(m, answer)
	}
	return answer, refused
}

func (f *Fault) refusal() *refusal {
	return &refusal{status: f.Status, reason: f.Reason, message: "injected: " + http.StatusText(f.Status) + " " + f.Reason}
}
