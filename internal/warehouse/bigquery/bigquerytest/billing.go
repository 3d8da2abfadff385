package bigquerytest

import (
	"strings"

	bq "google.golang.org/api/bigquery/v2"
)

// bytesPerRow is what the double has a query read for each row of every table that it names.
const bytesPerRow = 100

// read returns how many bytes a query reads.
func (s *Server) read(query string) (n int64, err error) {
	seen := make(map[string]bool)
	query = strings.ReplaceAll(query, "`.`", ".")
	for _, name := range quotedName.FindAllString(query, -1) {
		if seen[name] || strings.Count(name, ".") != 2 {
			continue
		}
		seen[name] = true
		parts := strings.Split(strings.Trim(name, "`"), ".")
		if s.stands(place{parts[1], parts[2]}) == "" {
			continue // the query makes it, or tells that it is not there
		}
		var rows int64
		if err := s.db.QueryRow("SELECT count(*) FROM " + plainNames(name)).Scan(&rows); err != nil {
			return 0, err
		}
		n += rows * bytesPerRow
	}
	return n, nil
}

// bill says what a query is billed, and refuses one that would be billed for more than it may.
func (s *Server) bill(job *bq.Job) error {
	n, err := s.read(job.Configuration.Query.Query)
	if err != nil {
		n = 0 // the query itself tells what is wrong
	}
	job.Statistics.TotalBytesProcessed, job.Statistics.TotalSlotMs = n, n
	job.Statistics.Query = &bq.JobStatistics2{TotalBytesProcessed: n}
	if most := job.Configuration.Query.MaximumBytesBilled; most > 0 && n > most {
		return failf("bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: %d. %d or higher required.", most, n)
	}
	job.Statistics.Query.TotalBytesBilled = n
	return nil
}

// dryRun plans a query and makes no job.
func (s *Server) dryRun(job *bq.Job) (any, *refusal) {
	if job.Configuration.Query == nil {
		return nil, invalid("the double plans queries only")
	}
	refuse := func(err error) (any, *refusal) {
		reason, message := explain(err)
		return nil, &refusal{status: 400, reason: reason, message: message}
	}
	statements, err := Translate(job.Configuration.Query.Query)
	if err != nil {
		return refuse(err)
	}
	fields, err := s.fields(statements[0])
	if err != nil {
		return refuse(err)
	}
	n, err := s.read(job.Configuration.Query.Query)
	if err != nil {
		return refuse(err)
	}
	job.Kind = "bigquery#job"
	job.Status = &bq.JobStatus{State: "DONE"}
	job.Statistics = &bq.JobStatistics{
		CreationTime: s.tick(), TotalBytesProcessed: n,
		Query: &bq.JobStatistics2{TotalBytesProcessed: n, Schema: &bq.TableSchema{Fields: fields}, StatementType: "SELECT"},
	}
	return job, nil
}
