package s3

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
)

// nobody is at the server's address; it notes what was to be asked.
type nobody struct{ asked []string }

func (n *nobody) Do(r *http.Request) (*http.Response, error) {
	n.asked = append(n.asked, r.Method)
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

// A write that reached nobody is not looked for with as much patience as it was tried with: the sentence comes at once.
func TestNobodyIsAskedTwiceForPatience(t *testing.T) {
	s, err := Open(t.Context(), Options{Bucket: "b", Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "s", MaxAttempts: 3, MaxBackoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	n := &nobody{}
	o := s.client.Options()
	o.HTTPClient = n
	s.client = s3.New(o)
	_, err = s.Put(t.Context(), "k", strings.NewReader("x"))
	if f := elt.NewFailure(err); f == nil || f.Code != lake.CodeUnavailable || f.Class != elt.Transient {
		t.Errorf("Put: %v", err)
	}
	if diff := cmp.Diff([]string{"PUT", "PUT", "PUT", "HEAD"}, n.asked); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("cannot write k of lake s3://b/ at http://127.0.0.1:1: dial tcp: connection refused", err.Error()); diff != "" {
		t.Error(diff)
	}
}
