package bigquerytest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	bq "google.golang.org/api/bigquery/v2"
)

// work is a job with what came of it.
type work struct {
	job    *bq.Job
	result *result
}

var jobID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,1000}$`)

func (s *Server) insertJob(c *call) (any, *refusal) {
	var job bq.Job
	if err := json.Unmarshal(numberAsText.ReplaceAll(c.body, []byte("$1$2")), &job); err != nil || job.Configuration == nil || job.JobReference == nil {
		return nil, invalid("Invalid job: %v", err)
	}
	ref := job.JobReference
	switch {
	case !jobID.MatchString(ref.JobId):
		return nil, invalid("Invalid job ID %q", ref.JobId)
	case ref.Location != s.location:
		return nil, notFound("Dataset was not found in location %s", ref.Location)
	case s.jobs[ref.JobId] != nil:
		return nil, duplicate("Job %s:%s.%s", ref.ProjectId, ref.Location, ref.JobId)
	}
	for _, value := range job.Configuration.Labels {
		if !label.MatchString(value) {
			return nil, invalid("Label value %q has invalid characters", value)
		}
	}
	if job.Configuration.DryRun {
		return s.dryRun(&job)
	}
	job.Kind, job.Id = "bigquery#job", ref.ProjectId+":"+ref.Location+"."+ref.JobId
	job.Statistics = &bq.JobStatistics{CreationTime: s.tick()}
	job.Status = &bq.JobStatus{State: "RUNNING"}
	w := &work{job: &job}
	s.jobs[ref.JobId] = w
	switch fault := c.params["fault"]; fault {
	case "":
		s.finish(w, s.execute(w, c.media))
	case "hangs":
	default:
		s.finish(w, &bq.ErrorProto{Reason: fault, Message: "injected: " + fault})
	}
	return w.job, nil
}

// numberAsText is how the client for Python sends a 32-bit number; the service takes either.
var numberAsText = regexp.MustCompile(`("skipLeadingRows": *)"(\d+)"`)

var label = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)

// finish ends a job.
func (s *Server) finish(w *work, failed *bq.ErrorProto) {
	w.job.Status = &bq.JobStatus{State: "DONE", ErrorResult: failed}
	if failed != nil {
		w.job.Status.Errors = []*bq.ErrorProto{failed}
	}
	w.job.Statistics.StartTime, w.job.Statistics.EndTime = s.tick(), s.tick()
}

// find returns a job. Where it is must be said.
func (s *Server) find(c *call) (*work, *refusal) {
	w := s.jobs[c.params["jobId"]]
	if w == nil || c.get("location") != s.location {
		return nil, notFound("Job %s:%s.%s", c.params["projectId"], c.get("location"), c.params["jobId"])
	}
	return w, nil
}

func (s *Server) getJob(c *call) (any, *refusal) {
	w, refused := s.find(c)
	if refused != nil {
		return nil, refused
	}
	return w.job, nil
}

func (s *Server) cancelJob(c *call) (any, *refusal) {
	w, refused := s.find(c)
	if refused != nil {
		return nil, refused
	}
	if w.job.Status.State != "DONE" {
		s.finish(w, &bq.ErrorProto{Reason: "stopped", Message: "Job execution was cancelled: User requested cancellation"})
	}
	return &bq.JobCancelResponse{Kind: "bigquery#jobCancelResponse", Job: w.job}, nil
}

func (s *Server) queryResults(c *call) (any, *refusal) {
	w, refused := s.find(c)
	if refused != nil {
		return nil, refused
	}
	out := &bq.GetQueryResultsResponse{Kind: "bigquery#getQueryResultsResponse", JobReference: w.job.JobReference}
	if w.job.Status.State != "DONE" {
		return out, nil
	}
	if failed := w.job.Status.ErrorResult; failed != nil {
		return nil, &refusal{status: http.StatusBadRequest, reason: failed.Reason, message: failed.Message}
	}
	out.JobComplete = true
	if !strings.EqualFold(c.get("formatOptions.useInt64Timestamp"), "true") && c.get("maxResults") != "0" && w.result != nil {
		s.violate("results are asked for with timestamps as floats")
	}
	if w.result != nil {
		out.Schema = &bq.TableSchema{Fields: w.result.fields}
		out.TotalRows = uint64(len(w.result.rows))
		if c.get("maxResults") != "0" {
			out.Rows = w.result.rows
		}
	}
	return out, nil
}
