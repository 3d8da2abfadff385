package bigquery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/googleapi"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

const (
	// uploads is how many parts are sent at a time; each holds one chunk in memory.
	uploads = 4
	// maxURIs is how many parts one load job takes from the bucket; BigQuery allows 10,000.
	maxURIs = 5000
)

// loading is what a table is loaded from.
type loading struct {
	manifest *elt.Manifest
	open     func(ctx context.Context, part int) (io.ReadCloser, error)
	progress func(rows int64)
	into     *bigquery.Table
	made     *bigquery.TableMetadata // of the table, where it is not there yet
}

// load loads the parts into the table and returns how many rows the jobs report.
func (s *staging) load(ctx context.Context, l loading) (int64, error) {
	what := "stage " + string(s.dataset)
	err := create(ctx, l.into, l.made)
	if err != nil && !isStatus(err, http.StatusConflict) {
		return 0, s.w.fail(ctx, what, err)
	}
	md, err := metadata(ctx, l.into, bigquery.WithMetadataView(bigquery.BasicMetadataView))
	if err != nil {
		return 0, s.w.fail(ctx, what, err)
	}
	var rows int64
	if s.w.bucket == nil {
		rows, err = s.loadParts(ctx, l, md.CreationTime)
	} else {
		rows, err = s.loadBucket(ctx, l, md.CreationTime)
	}
	if ctx.Err() != nil { // the group's own context would say the same of another part's failure
		err = fmt.Errorf("%s: %w", what, ctx.Err())
	}
	return rows, err
}

// loadParts sends each part within a job of its own.
func (s *staging) loadParts(ctx context.Context, l loading, since time.Time) (int64, error) {
	var mu sync.Mutex
	var total int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for i := range l.manifest.Parts {
		group.Go(func() error {
			j := s.loadJob(l, i)
			j.since = since
			rows, err := s.runLoad(groupCtx, j, path.Base(l.manifest.Parts[i].Key))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			total += rows
			l.progress(total)
			return nil
		})
	}
	err := group.Wait()
	return total, err
}

// runLoad runs a load job and returns its rows.
func (s *staging) runLoad(ctx context.Context, j job, part string) (int64, error) {
	_, status, err := s.w.run(ctx, j)
	if err != nil {
		return 0, s.w.refused(ctx, warehouse.CodePartUnreadable, fmt.Sprintf("cannot load part %s of %s", part, s.dataset),
			"extract the day again; if it happens again, report it with the part", 0, err)
	}
	loaded, ok := status.Statistics.Details.(*bigquery.LoadStatistics)
	if !ok {
		return 0, fmt.Errorf("%s: the job does not say how many rows it loaded", j.what)
	}
	return loaded.OutputRows, nil
}

// loadJob loads one part. An upload cannot be rewound: each insertion opens the part again.
func (s *staging) loadJob(l loading, i int) job {
	return job{
		what: fmt.Sprintf("load part %d of %s", i+1, s.dataset), media: true,
		id: "daybreak_load_" + digest(s.run, s.dataset, l.into.TableID, i, l.manifest.Parts[i].SHA256),
		insert: func(ctx context.Context, id bigquery.JobIDConfig) (_ *bigquery.Job, err error) {
			part, err := l.open(ctx, i)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, part.Close()) }()
			kept := &keepError{Reader: part}
			src := bigquery.NewReaderSource(kept)
			src.SourceFormat, src.Schema = bigquery.Parquet, l.made.Schema
			at, err := s.insertLoad(ctx, id, src, l.into)
			if err != nil && kept.err != nil {
				err = kept.err
			}
			return at, err
		},
		same: loadsInto(l.into),
	}
}

// keepError keeps the error in which a part ended: what the client makes of it does not always hold it.
type keepError struct {
	io.Reader
	err error
}

func (k *keepError) Read(b []byte) (int, error) {
	n, err := k.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		k.err = err
	}
	return n, err
}

func loadsInto(into *bigquery.Table) func(bigquery.JobConfig) bool {
	return func(c bigquery.JobConfig) bool {
		l, ok := c.(*bigquery.LoadConfig)
		return ok && l.Dst.FullyQualifiedName() == into.FullyQualifiedName()
	}
}

func (s *staging) insertLoad(ctx context.Context, id bigquery.JobIDConfig, src bigquery.LoadSource, into *bigquery.Table) (*bigquery.Job, error) {
	l := into.LoaderFrom(src)
	l.JobIDConfig = id
	l.CreateDisposition, l.WriteDisposition = bigquery.CreateNever, bigquery.WriteAppend
	l.Labels = labels("load", s.run, s.dataset)
	l.DestinationEncryptionConfig = s.w.encryption()
	if s.w.ChunkBytes > 0 {
		l.MediaOptions = []googleapi.MediaOption{googleapi.ChunkSize(s.w.ChunkBytes)}
	}
	return l.Run(ctx)
}

// loadBucket sends the parts to the bucket, has them loaded from there, all of them by one job as a rule, and deletes
// them whatever comes of it.
func (s *staging) loadBucket(ctx context.Context, l loading, since time.Time) (total int64, err error) {
	b := s.w.bucket
	folder := b.folder(l.into.TableID)
	defer s.w.clean(ctx, folder)
	names := make([]string, len(l.manifest.Parts))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for i, p := range l.manifest.Parts {
		names[i] = fmt.Sprintf("%spart-%05d.parquet", folder, i)
		group.Go(func() error { return s.send(groupCtx, l, i, names[i], p) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	for first := 0; first < len(names); first += maxURIs {
		some := names[first:min(first+maxURIs, len(names))]
		rows, err := s.runLoad(ctx, s.bucketJob(l, first, some, since), path.Base(some[0]))
		if err != nil {
			return total, err
		}
		total += rows
		l.progress(total)
	}
	return total, nil
}

// send copies a part to the bucket, again when that may help.
func (s *staging) send(ctx context.Context, l loading, i int, name string, p elt.Part) error {
	what := fmt.Sprintf("send part %d of %s to the bucket %s", i+1, s.dataset, s.w.Bucket)
	for attempt := 0; ; attempt++ {
		err := s.sendOnce(ctx, l, i, name, p)
		if err == nil || ctx.Err() != nil || !sendAgain(err) || attempt == repetitions {
			return s.w.fail(ctx, what, err)
		}
		s.w.Log.Warn("request failed; it is sent again", "what", what, "error", err)
		if err := s.w.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func (s *staging) sendOnce(ctx context.Context, l loading, i int, name string, p elt.Part) (err error) {
	part, err := l.open(ctx, i)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	kept := &keepError{Reader: part}
	if err = s.w.bucket.put(ctx, name, p.SHA256, kept); err != nil && kept.err != nil {
		err = kept.err
	}
	return err
}

// bucketJob loads parts from the bucket.
func (s *staging) bucketJob(l loading, first int, names []string, since time.Time) job {
	content := []any{s.run, s.dataset, l.into.TableID, first}
	uris := make([]string, len(names))
	for i, name := range names {
		uris[i] = s.w.bucket.uri(name)
		content = append(content, l.manifest.Parts[first+i].SHA256)
	}
	return job{
		what: fmt.Sprintf("load %d parts of %s", len(names), s.dataset), id: "daybreak_load_" + digest(content...), since: since,
		insert: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			src := bigquery.NewGCSReference(slices.Clone(uris)...)
			src.SourceFormat, src.Schema = bigquery.Parquet, l.made.Schema
			return s.insertLoad(ctx, id, src, l.into)
		},
		same: loadsInto(l.into),
	}
}
