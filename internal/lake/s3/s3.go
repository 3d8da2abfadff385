package s3

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/lake"
)

// Options say where the lake is. Bucket is required.
type Options struct {
	Bucket string
	Prefix string // of every key: "lake" keeps the objects below lake/
	Region string // us-east-1 if empty and there is an Endpoint
	// Endpoint is the server's URL; empty for AWS.
	Endpoint string
	// AccessKey and SecretKey are the credentials; if empty, they come from where AWS's own tools find
	// theirs: the environment, the shared files, the machine's role.
	AccessKey, SecretKey string
	// PathStyle puts the bucket in the path, not in the host's name, as most servers but AWS want it.
	PathStyle bool

	// PartSize is how much is sent in one request: 5 MiB at least, 16 MiB if zero.
	PartSize int
	// Parallel is how many parts of one object are sent at a time, each in a buffer of PartSize: 3 if zero.
	Parallel int
	// MaxAttempts is how often a request is tried: 5 if zero.
	MaxAttempts int
	// MaxBackoff is the longest pause between two tries: 5 s if zero.
	MaxBackoff time.Duration
}

const (
	answerTime  = 2 * time.Minute  // that the server may think about one request
	connectTime = 10 * time.Second // to reach it: an address that swallows what is sent to it says nothing at all
)

// Store is a lake in a bucket. It is safe for concurrent use.
type Store struct {
	client      *s3.Client
	credentials aws.CredentialsProvider
	bucket      *string
	prefix      string // empty, or ending in a slash
	endpoint    string
	partSize    int
	parallel    int
}

// Open returns the lake in the bucket. It asks nothing of the server: Check does.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		bucket: &o.Bucket, endpoint: o.Endpoint,
		partSize: cmp.Or(o.PartSize, 16<<20), parallel: cmp.Or(o.Parallel, 3),
	}
	if prefix := strings.Trim(o.Prefix, "/"); prefix != "" {
		if lake.CheckKey(prefix) != nil {
			return nil, s.misconfigured(fmt.Sprintf("%q cannot be a prefix", o.Prefix), "write it as folder/folder", nil)
		}
		s.prefix = prefix + "/"
	}
	if o.Bucket == "" {
		return nil, s.misconfigured("the lake names no bucket", "set its bucket", nil)
	}
	cfg, err := o.config(ctx)
	if err != nil {
		return nil, s.misconfigured("cannot read the AWS configuration of this account", "correct it, or set the lake's keys and region", err)
	}
	if cfg.Region == "" {
		return nil, s.misconfigured(fmt.Sprintf("the lake in bucket %s names no region", o.Bucket), "set its region", nil)
	}
	s.credentials = cfg.Credentials
	s.client = s3.NewFromConfig(cfg, func(c *s3.Options) {
		c.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			c.BaseEndpoint = &o.Endpoint
		}
		// The checksum of a multipart object is one of its parts' checksums: load compares SHA-256.
		c.DisableLogOutputChecksumValidationSkipped = true
	})
	return s, nil
}

func (o Options) config(ctx context.Context) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = connectTime
	}).WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = answerTime
		t.MaxIdleConnsPerHost = 32
	})
	retryer := func() aws.Retryer {
		standard := retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = cmp.Or(o.MaxAttempts, 5)
			r.MaxBackoff = cmp.Or(o.MaxBackoff, 5*time.Second)
		})
		// The answer to a write that met another on the same key, of which it is not known yet who wins.
		return retry.AddWithErrorCodes(standard, "ConditionalRequestConflict")
	}
	if o.AccessKey != "" {
		return aws.Config{
			Region:      cmp.Or(o.Region, "us-east-1"),
			Credentials: credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, ""),
			HTTPClient:  client, Retryer: retryer,
			RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
			ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		}, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client), config.WithRetryer(retryer), config.WithRegion(o.Region))
	if err == nil && cfg.Region == "" && o.Endpoint != "" {
		cfg.Region = "us-east-1"
	}
	return cfg, err
}

// String names the store in messages.
func (s *Store) String() string {
	name := "lake s3://" + *s.bucket + "/" + s.prefix
	if s.endpoint != "" {
		name += " at " + s.endpoint
	}
	return name
}

// Check finds out whether the bucket is there and the credentials open it.
func (s *Store) Check(ctx context.Context) error {
	if _, err := s.credentials.Retrieve(ctx); err != nil {
		return s.noCredentials(err)
	}
	// Unlike HeadBucket's, a failed list's answer has a body that says what failed.
	_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: s.bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
	return s.failure("reach", "", err)
}

// Open returns the object's bytes. See lake.Store.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := lake.CheckKey(key); err != nil {
		return nil, err
	}
	got, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: s.at(key)})
	if err != nil {
		return nil, s.failure("read", key, err)
	}
	return &content{got.Body, s, key}, nil
}

// content is an object on its way.
type content struct {
	io.ReadCloser
	store *Store
	key   string
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.store.failure("read", c.key, err)
	}
	return n, err
}

// Stat asks for the SHA-256 that a small object carries, and reads a big one for it. See lake.Store.
func (s *Store) Stat(ctx context.Context, key string) (object elt.Object, err error) {
	if err := lake.CheckKey(key); err != nil {
		return elt.Object{}, err
	}
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: s.at(key)})
	if err != nil {
		// The answer to a HEAD has no body that would tell a missing object from a missing bucket.
		return elt.Object{}, cmp.Or(s.Check(ctx), s.failure("read", key, err))
	}
	object = elt.Object{
		Key: key, Bytes: aws.ToInt64(head.ContentLength), SHA256: head.Metadata[sumName], ModifiedAt: aws.ToTime(head.LastModified),
	}
	if object.SHA256 != "" {
		return object, nil
	}
	r, err := s.Open(ctx, key)
	if err != nil {
		return elt.Object{}, err
	}
	body := lake.NewBody(ctx, r)
	_, err = io.Copy(io.Discard, body)
	if err := errors.Join(err, r.Close()); err != nil {
		return elt.Object{}, err
	}
	object.Bytes, object.SHA256 = body.Size(), hex.EncodeToString(body.SHA256())
	return object, nil
}

// List yields the objects below a prefix, a request for each thousand. See lake.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[elt.Object, error] {
	return func(yield func(elt.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: s.bucket, Prefix: s.at(prefix)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(elt.Object{}, s.failure("list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(o.Key), s.prefix)
				if lake.CheckKey(key) != nil {
					continue // not ours: some tools store an object "folder/" for a folder
				}
				if !yield(elt.Object{Key: key, Bytes: aws.ToInt64(o.Size), ModifiedAt: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
		}
	}
}

// Delete removes the object. See lake.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := lake.CheckKey(key); err != nil {
		return err
	}
	failpoint.Here("lake.s3.delete")
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket, Key: s.at(key)})
	failpoint.Here("lake.s3.deleted")
	if isStatus(err, http.StatusNotFound) && !isCode(err, "NoSuchBucket") {
		return nil
	}
	return s.failure("delete", key, err)
}

// at returns the key as the bucket knows it.
func (s *Store) at(key string) *string { return aws.String(s.prefix + key) }
