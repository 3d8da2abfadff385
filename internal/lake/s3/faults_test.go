package s3_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/lake/laketest"
	"github.com/daybreak-data/daybreak/internal/lake/s3"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

const partSize = 5 << 20

// behind returns a new lake that is reached through a proxy, on which fault sees every request before the
// server does. A fault that returns false has answered itself.
func behind(t *testing.T, fault func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool) (*s3.Store, s3.Options) {
	t.Helper()
	direct := options(t)
	server, err := url.Parse(direct.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(server)
		r.Out.Host = r.In.Host // it is part of the signature
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault(w, r, pass) {
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	o := direct
	o.Endpoint, o.PartSize, o.MaxAttempts, o.MaxBackoff = proxy.URL, partSize, 3, time.Millisecond
	return open(t, o), direct
}

// The requests of a Put that make its object visible.
func isPut(r *http.Request) bool {
	return r.Method == http.MethodPut && !r.URL.Query().Has("partNumber")
}
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// answers are ways to lose the answer of a request that the server has carried out.
var answers = map[string]func(http.ResponseWriter){
	"500": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	"cut": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
}

func TestPutSurvivesALostAnswer(t *testing.T) {
	for how, answer := range answers {
		for size, visible := range map[int]func(*http.Request) bool{1000: isPut, partSize + 1: isComplete} {
			t.Run(how, func(t *testing.T) {
				lost := 0
				s, direct := behind(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool {
					if !visible(r) || lost > 0 {
						return true
					}
					lost++
					pass.ServeHTTP(httptest.NewRecorder(), r)
					answer(w)
					return false
				})
				want := laketest.Bytes(1, size)
				put, err := s.Put(t.Context(), "k", bytes.NewReader(want))
				if err != nil || lost != 1 {
					t.Fatalf("%d answers lost: %v", lost, err)
				}
				stat, err := open(t, direct).Stat(t.Context(), "k")
				if err != nil || stat != put || stat.Bytes != int64(size) {
					t.Errorf("Put returned %+v, the server has %+v, %v", put, stat, err)
				}
			})
		}
	}
}

func TestALostAnswerIsNotTakenForAnothersObject(t *testing.T) {
	for size, visible := range map[int]func(*http.Request) bool{1000: isPut, partSize + 1: isComplete} {
		s, direct := behind(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if visible(r) {
				w.WriteHeader(http.StatusInternalServerError)
				return false
			}
			return true
		})
		body := laketest.Bytes(1, size)
		if _, err := open(t, direct).Put(t.Context(), "k", bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		_, err := s.Put(t.Context(), "k", bytes.NewReader(body))
		laketest.Want(t, err, lake.CodeExists)
	}
}

func TestAnUnavailableServerLeavesNothing(t *testing.T) {
	for name, fails := range map[string]func(*http.Request) bool{
		"put": isPut, "complete": isComplete,
		"create": func(r *http.Request) bool { return r.URL.Query().Has("uploads") },
		"part":   func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "3" },
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			s, direct := behind(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if fails(r) {
					tries++
					w.WriteHeader(http.StatusServiceUnavailable)
					return false
				}
				return true
			})
			size := 4 * partSize
			if name == "put" {
				size = 1000
			}
			_, err := s.Put(t.Context(), "k", bytes.NewReader(laketest.Bytes(1, size)))
			laketest.Want(t, err, lake.CodeUnavailable)
			if class := elt.NewFailure(err).Class; class != elt.Transient {
				t.Errorf("class is %s", class)
			}
			if tries != 3 {
				t.Errorf("tried %d times, want 3", tries)
			}
			wantNothing(t, direct)
		})
	}
}

// wantNothing fails the test if the bucket holds an object or the parts of one.
func wantNothing(t *testing.T, o s3.Options) {
	t.Helper()
	laketest.WantEmpty(t, open(t, o))
	uploads, err := testenv.S3(t).Client().ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &o.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(uploads.Uploads); n > 0 {
		t.Errorf("%d uploads were left behind", n)
	}
}

func TestAFailingBodyLeavesNoUpload(t *testing.T) {
	s, direct := behind(t, func(http.ResponseWriter, *http.Request, http.Handler) bool { return true })
	gone := errors.New("the source went away")
	body := io.MultiReader(bytes.NewReader(laketest.Bytes(1, 3*partSize)), &failing{gone})
	if _, err := s.Put(t.Context(), "k", body); !errors.Is(err, gone) {
		t.Errorf("error is %v", err)
	}
	wantNothing(t, direct)
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestAShortenedObjectIsNoticed(t *testing.T) {
	for _, size := range []int{1000, partSize + 1} {
		s, _ := behind(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool {
			if r.Method != http.MethodHead {
				return true
			}
			answer := httptest.NewRecorder()
			pass.ServeHTTP(answer, r)
			maps.Copy(w.Header(), answer.Header())
			w.Header().Set("Content-Length", "999")
			w.WriteHeader(answer.Code)
			return false
		})
		_, err := s.Put(t.Context(), "k", bytes.NewReader(laketest.Bytes(1, size)))
		laketest.Want(t, err, lake.CodeCorrupt)
	}
}

func TestBytesThatChangeOnTheWayAreRefused(t *testing.T) {
	s, direct := behind(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			body[len(body)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return true
	})
	for _, size := range []int{1000, partSize + 1} {
		_, err := s.Put(t.Context(), "k", bytes.NewReader(laketest.Bytes(1, size)))
		laketest.Want(t, err, lake.CodeCorrupt)
	}
	wantNothing(t, direct)
}

func TestAReadThatIsCutIsAnError(t *testing.T) {
	s, _ := behind(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool {
		if r.Method != http.MethodGet {
			return true
		}
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		w.Header().Set("Content-Length", answer.Header().Get("Content-Length"))
		if _, err := w.Write(answer.Body.Bytes()[:answer.Body.Len()/2]); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	})
	if _, err := s.Put(t.Context(), "k", bytes.NewReader(laketest.Bytes(1, 100_000))); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	laketest.Want(t, err, lake.CodeUnavailable)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestFailuresSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*s3.Options)
		code   elt.Code
	}{
		"no such bucket": {func(o *s3.Options) { o.Bucket = "no-such-bucket" }, lake.CodeBucketMissing},
		"wrong secret":   {func(o *s3.Options) { o.SecretKey = "wrong" }, lake.CodeAccessDenied},
		"wrong key":      {func(o *s3.Options) { o.AccessKey = "wrong" }, lake.CodeAccessDenied},
		"wrong region":   {func(o *s3.Options) { o.Region = "eu-west-9" }, lake.CodeMisconfigured},
		"no server":      {func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:1" }, lake.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.MaxBackoff = time.Millisecond
			c.change(&o)
			s := open(t, o)
			_, err := s.Put(t.Context(), "k", strings.NewReader("x"))
			laketest.Want(t, err, c.code)
			laketest.Want(t, s.Check(t.Context()), c.code)
			_, err = s.Open(t.Context(), "k")
			laketest.Want(t, err, c.code)
			_, err = s.Stat(t.Context(), "k")
			laketest.Want(t, err, c.code)
		})
	}
	good := options(t)
	laketest.Want(t, open(t, good).Check(t.Context()), "")

	for name, o := range map[string]s3.Options{
		"no bucket":  {Region: "us-east-1", AccessKey: "x", SecretKey: "x"},
		"bad prefix": {Bucket: "b", Prefix: "../up", AccessKey: "x", SecretKey: "x"},
	} {
		if _, err := s3.Open(t.Context(), o); laketest.CodeOf(err) != lake.CodeMisconfigured {
			t.Errorf("%s: %v", name, err)
		}
	}
}
