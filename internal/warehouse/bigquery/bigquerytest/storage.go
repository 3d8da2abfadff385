package bigquerytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	bq "google.golang.org/api/bigquery/v2"
	"google.golang.org/api/storage/v1"
)

// object is one of Cloud Storage.
type object struct {
	storage.Object
	media []byte
}

// MakeBucket makes an empty bucket of Cloud Storage.
func (s *Server) MakeBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[name] = make(map[string]*object)
}

// Objects returns the names of a bucket's objects.
func (s *Server) Objects(t testing.TB, bucket string) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.buckets[bucket]))
}

// PutObject puts an object into a bucket behind the API's back.
func (s *Server) PutObject(bucket, name string, media []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[bucket][name] = &object{storage.Object{Name: name, Bucket: bucket, Generation: s.tick()}, media}
}

func (s *Server) bucketOf(c *call) (map[string]*object, *refusal) {
	b, ok := s.buckets[c.params["bucket"]]
	if !ok {
		return nil, notFound("The specified bucket does not exist: %s", c.params["bucket"])
	}
	return b, nil
}

func (s *Server) insertObject(c *call) (any, *refusal) {
	var o storage.Object
	if err := json.Unmarshal(c.body, &o); err != nil || o.Name == "" {
		return nil, invalid("Invalid object: %v", err)
	}
	b, refused := s.bucketOf(c)
	if refused != nil {
		return nil, refused
	}
	if c.get("ifGenerationMatch") != "0" {
		return nil, invalid("the double makes objects where none are")
	}
	if b[o.Name] != nil {
		return nil, &refusal{status: http.StatusPreconditionFailed, reason: "conditionNotMet", message: "At least one of the pre-conditions you specified did not hold."}
	}
	o.Bucket, o.Generation, o.Size, o.Kind = c.params["bucket"], s.tick(), uint64(len(c.media)), "storage#object"
	b[o.Name] = &object{o, c.media}
	return &o, nil
}

func (s *Server) objectOf(c *call) (map[string]*object, *object, *refusal) {
	b, refused := s.bucketOf(c)
	if refused != nil {
		return nil, nil, refused
	}
	o := b[c.params["object"]]
	if o == nil {
		return nil, nil, notFound("No such object: %s/%s", c.params["bucket"], c.params["object"])
	}
	return b, o, nil
}

func (s *Server) getObject(c *call) (any, *refusal) {
	_, o, refused := s.objectOf(c)
	if refused != nil {
		return nil, refused
	}
	return &o.Object, nil
}

func (s *Server) deleteObject(c *call) (any, *refusal) {
	b, o, refused := s.objectOf(c)
	if refused != nil {
		return nil, refused
	}
	delete(b, o.Name)
	return nil, nil
}

func (s *Server) listObjects(c *call) (any, *refusal) {
	b, refused := s.bucketOf(c)
	if refused != nil {
		return nil, refused
	}
	const page = 3 // small, so that a reader must turn pages
	list := &storage.Objects{Kind: "storage#objects"}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if !strings.HasPrefix(name, c.get("prefix")) || name <= c.get("pageToken") {
			continue
		}
		if len(list.Items) == page {
			list.NextPageToken = list.Items[page-1].Name
			break
		}
		list.Items = append(list.Items, &storage.Object{Name: name})
	}
	return list, nil
}

// loadFiles loads what came with a job, or what lies in a bucket, all of it or nothing.
func (s *Server) loadFiles(job *bq.Job, c *bq.JobConfigurationLoad, media []byte) error {
	files := [][]byte{media}
	if len(c.SourceUris) > 0 {
		files = nil
	}
	for _, uri := range c.SourceUris {
		bucket, name, ok := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
		o := s.buckets[bucket][name]
		if !ok || o == nil {
			return failf("notFound", "Not found: URI %s", uri)
		}
		files = append(files, o.media)
	}
	statistics := &bq.JobStatistics3{InputFiles: int64(len(files))}
	job.Statistics.Load = statistics
	if _, err := s.db.Exec("BEGIN TRANSACTION"); err != nil {
		return err
	}
	for _, file := range files {
		rows, err := s.load(c, file)
		if err != nil {
			if _, back := s.db.Exec("ROLLBACK"); back != nil {
				return fmt.Errorf("%w, and %w", err, back)
			}
			statistics.OutputRows = 0
			return err
		}
		statistics.InputFileBytes += int64(len(file))
		statistics.OutputRows += rows
	}
	_, err := s.db.Exec("COMMIT")
	return err
}
