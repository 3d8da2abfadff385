package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3Server is an S3 server over a folder, with signatures, conditional writes and checksums. It wants
// buckets in the path.
type S3Server struct {
	Endpoint  string // "http://127.0.0.1:41234"
	Region    string
	AccessKey string
	SecretKey string

	folder  string  // in which each bucket is a folder
	keeper  *keeper // held, for its pipe would be closed with it
	buckets atomic.Int64
}

// sharedS3 is the one S3 server of the test process; its keeper ends it with the process.
var sharedS3 = sync.OnceValues(startS3)

// S3 returns the S3 server that all tests of this process share. Buckets keep tests apart.
func S3(t testing.TB) *S3Server {
	t.Helper()
	s, err := sharedS3()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// NewBucket makes an empty bucket and returns its name. It goes with the server.
func (s *S3Server) NewBucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", s.buckets.Add(1))
	if _, err := s.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("create bucket %s: %v", name, err)
	}
	return name
}

// Age makes everything in the bucket older than it is.
func (s *S3Server) Age(t testing.TB, bucket string, by time.Duration) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.folder, bucket), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.Chtimes(path, time.Time{}, info.ModTime().Add(-by))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Client returns a client of the server, for what a test wants to see behind the code under test.
func (s *S3Server) Client() *s3.Client {
	return s3.NewFromConfig(aws.Config{
		Region:      s.Region,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	}, func(o *s3.Options) {
		o.BaseEndpoint = &s.Endpoint
		o.UsePathStyle = true
	})
}

func startS3() (*S3Server, error) {
	program, err := tool("github.com/versity/versitygw/cmd/versitygw")
	if err != nil {
		return nil, err
	}
	for range ports {
		var port int
		if port, err = freePort(); err != nil {
			return nil, err
		}
		s := &S3Server{Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port), Region: "us-east-1", AccessKey: "test", SecretKey: "test-secret"}
		if err = s.start(program); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// start runs the server until this process is gone. Its settings come by flags alone.
func (s *S3Server) start(program string) error {
	dir, err := os.MkdirTemp("", "daybreak-s3-")
	if err != nil {
		return fmt.Errorf("make a folder for the S3 server: %w", err)
	}
	buckets, meta := filepath.Join(dir, "buckets"), filepath.Join(dir, "meta")
	if err := errors.Join(os.Mkdir(buckets, 0o755), os.Mkdir(meta, 0o755)); err != nil {
		return fmt.Errorf("make a folder for the S3 server: %w", err)
	}
	s.folder = buckets
	// The path is unlike any other server's, so that nobody else's answer on this port is taken for ours.
	health := "/" + filepath.Base(dir)
	s.keeper, err = keep(`dir=$1; shift; cd "$dir"; "$@" >log 2>&1 & server=$!; `+untilGone+`; kill -9 $server; rm -rf -- "$dir"`,
		dir, "env", "-i", program, "--port", strings.TrimPrefix(s.Endpoint, "http://"), "--region", s.Region,
		"--access", s.AccessKey, "--secret", s.SecretKey, "--health", health, "--quiet", "--keep-alive",
		"posix", "--sidecar", meta, buckets)
	if err != nil {
		return err
	}
	if err := awaitOK(s.Endpoint+health, patience); err != nil {
		log, readErr := os.ReadFile(filepath.Join(dir, "log"))
		return errors.Join(fmt.Errorf("start the S3 server: %w\n%s", err, log), readErr, s.keeper.end())
	}
	return nil
}
