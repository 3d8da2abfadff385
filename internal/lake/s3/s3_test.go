package s3_test

import (
	"testing"

	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/lake/laketest"
	"github.com/daybreak-data/daybreak/internal/lake/s3"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// options returns those of a lake in a new bucket.
func options(t *testing.T) s3.Options {
	server := testenv.S3(t)
	return s3.Options{
		Bucket: server.NewBucket(t), Region: server.Region, Endpoint: server.Endpoint,
		AccessKey: server.AccessKey, SecretKey: server.SecretKey, PathStyle: true,
	}
}

func open(t *testing.T, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	laketest.Run(t, func(t *testing.T) lake.Store { return open(t, options(t)) })
}

func TestConformanceBelowAPrefixInSmallParts(t *testing.T) {
	laketest.Run(t, func(t *testing.T) lake.Store {
		o := options(t)
		o.Prefix, o.PartSize = "/team/lake/", 5<<20
		return open(t, o)
	})
}
