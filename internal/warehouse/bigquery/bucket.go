package bigquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// bucket is the one of Cloud Storage through which parts go. What lies in it is Daybreak's for the time of a load.
type bucket struct {
	objects *storage.ObjectsService
	name    string
	prefix  string // of every object
	kmsKey  string
	chunk   int // bytes of a part that are held in memory while it is sent
}

// checksum is the metadata under which an object says what it holds.
const checksum = "sha256"

// openBucket returns nil where no bucket is configured.
func openBucket(ctx context.Context, o Options, options []option.ClientOption) (*bucket, error) {
	if o.Bucket == "" {
		return nil, nil
	}
	if o.Endpoint != "" {
		endpoint, err := o.endpointOf("/storage/v1/")
		if err != nil {
			return nil, err
		}
		options = []option.ClientOption{option.WithEndpoint(endpoint), option.WithHTTPClient(new(http.Client))}
	}
	service, err := storage.NewService(ctx, options...)
	if err != nil {
		return nil, noCredentials(o.Project, err)
	}
	b := &bucket{objects: service.Objects, name: o.Bucket, prefix: "daybreak/" + o.DatasetPrefix, kmsKey: o.KMSKey, chunk: o.ChunkBytes}
	if b.chunk == 0 {
		b.chunk = googleapi.DefaultUploadChunkSize
	}
	return b, nil
}

// folder is where the parts of a staged table lie: a function of what is loaded.
func (b *bucket) folder(table string) string {
	run, rest, _ := strings.Cut(table, "-")
	return b.prefix + run + "/" + rest + "/"
}

func (b *bucket) uri(name string) string { return "gs://" + b.name + "/" + name }

// put sends a part, unless an attempt before this one has: an object appears once it is whole. Whoever reads the part
// ends it with an error when it is not what it should be, and then no object appears.
func (b *bucket) put(ctx context.Context, name string, sum string, part io.Reader) error {
	call := b.objects.Insert(b.name, &storage.Object{Name: name, ContentType: "application/vnd.apache.parquet", Metadata: map[string]string{checksum: sum}}).
		IfGenerationMatch(0).Media(part, googleapi.ChunkSize(b.chunk), googleapi.ContentType("application/vnd.apache.parquet"))
	if b.kmsKey != "" {
		call = call.KmsKeyName(b.kmsKey)
	}
	failpoint.Here("bigquery.object")
	_, err := call.Context(ctx).Do()
	failpoint.Here("bigquery.object_put")
	switch {
	case isStatus(err, http.StatusNotFound): // the bucket, or the upload's session
		return cmp.Or(b.missing(ctx), err)
	case !isStatus(err, http.StatusPreconditionFailed):
		return err
	}
	there, err := b.objects.Get(b.name, name).Context(ctx).Do()
	if err != nil {
		return err
	}
	if there.Metadata[checksum] != sum {
		return &elt.Error{
			Code: codeBucketObject, Class: elt.Data,
			What: fmt.Sprintf("%s holds something else than the part that belongs there", b.uri(name)),
			Do:   "delete the object, and let nobody else write under " + b.uri(b.prefix),
		}
	}
	return nil
}

// missing says that there is no such bucket, if that is so.
func (b *bucket) missing(ctx context.Context) error {
	if _, err := b.objects.List(b.name).MaxResults(1).Context(ctx).Do(); !isStatus(err, http.StatusNotFound) {
		return nil
	}
	return &elt.Error{
		Code: codeBucketMissing, Class: elt.Config,
		What: fmt.Sprintf("there is no bucket %s through which parts could go", b.name),
		Do:   "create it where the warehouse's datasets are, or mend warehouse.bigquery.gcs_bucket",
	}
}

// drop deletes the objects of a folder, those that are there.
func (b *bucket) drop(ctx context.Context, folder string) error {
	return b.each(ctx, folder, func(name string) error {
		failpoint.Here("bigquery.object_drop")
		err := b.objects.Delete(b.name, name).Context(ctx).Do()
		failpoint.Here("bigquery.object_dropped")
		if isStatus(err, http.StatusNotFound) {
			return nil
		}
		return err
	})
}

// dropRuns deletes what was left by runs that are over, as a process that was killed does.
func (b *bucket) dropRuns(ctx context.Context, gone func(run string) bool) error {
	folders := make(map[string]bool)
	err := b.each(ctx, b.prefix, func(name string) error {
		run, _, _ := strings.Cut(strings.TrimPrefix(name, b.prefix), "/")
		if gone(run) {
			folders[b.prefix+run+"/"] = true
		}
		return nil
	})
	var errs []error
	for folder := range folders {
		errs = append(errs, b.drop(ctx, folder))
	}
	return errors.Join(append(errs, err)...)
}

func (b *bucket) each(ctx context.Context, prefix string, do func(name string) error) error {
	return b.objects.List(b.name).Prefix(prefix).Fields("nextPageToken", "items(name)").Pages(ctx, func(page *storage.Objects) error {
		for _, o := range page.Items {
			if err := do(o.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

// clean deletes the objects of a folder whatever has become of the load, also when it was cancelled.
func (w *Warehouse) clean(ctx context.Context, folder string) {
	fresh, done := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer done()
	if err := w.bucket.drop(fresh, folder); err != nil {
		w.Log.Warn("cannot delete parts from the bucket; a later publish tries again", "folder", w.bucket.uri(folder), "error", err)
	}
}
