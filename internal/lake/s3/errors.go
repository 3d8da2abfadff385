package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/aws/smithy-go"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
)

// failure returns what an operator can do about an error of the SDK; nil if there is none.
func (s *Store) failure(operation, key string, err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("cannot %s %s", operation, s)
	if key != "" {
		what = fmt.Sprintf("cannot %s %s of %s", operation, key, s)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", what, err)
	}
	status, err := statusOf(err), inWords(err)
	switch {
	case isCode(err, "NoSuchBucket"):
		return &elt.Error{Code: lake.CodeBucketMissing, Class: elt.Config, Err: err,
			What: fmt.Sprintf("%s: there is no bucket %s", s, *s.bucket),
			Do:   "create the bucket, or correct its name, region and endpoint in the lake's configuration"}
	case isCode(err, "RequestTimeTooSkewed"):
		return s.misconfigured(what, "set this machine's clock: it differs from the server's", err)
	case status == http.StatusMovedPermanently, isCode(err, "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
		return s.misconfigured(what, "set the lake's region to the bucket's own", err)
	case status == http.StatusNotImplemented:
		return s.misconfigured(what, "use a server that knows conditional writes and multipart uploads", err)
	case status == http.StatusForbidden, status == http.StatusUnauthorized, isCode(err, "InvalidAccessKeyId", "XAdminUserNotFound"):
		return &elt.Error{Code: lake.CodeAccessDenied, Class: elt.Config, What: what, Err: err,
			Do: "check the lake's access key and secret, and let them get, put, list and delete objects in bucket " + *s.bucket}
	case status == http.StatusNotFound && operation == "read":
		return lake.Missing(s.String(), key)
	case status == http.StatusInsufficientStorage, isCode(err, "QuotaExceeded", "XMinioStorageFull"):
		return &elt.Error{Code: lake.CodeFull, Class: elt.Quota, What: what, Err: err,
			Do: "free space in bucket " + *s.bucket + ", or raise its quota; what was published stays readable"}
	case isCode(err, "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"):
		return lake.Corrupt(s.String(), key, err.Error())
	case status >= 400 && status < 500 && !slices.Contains([]int{http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests}, status):
		return &elt.Error{Code: lake.CodeRefused, Class: elt.Internal, What: what, Err: err,
			Do: "report it with the step's log and the name of the server"}
	}
	return &elt.Error{Code: lake.CodeUnavailable, Class: elt.Transient, What: what, Err: err,
		Do: "nothing: it is tried again; if it lasts, check that the server can be reached from here"}
}

// told is an error of the SDK in a few words. Its own text recites every layer that it passed through.
type told struct {
	error
	text string
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.error }

// inWords says what the server answered, or why it did not, without what was asked: the sentence around it has that.
func inWords(err error) error {
	text := err.Error()
	var api smithy.APIError
	var op *net.OpError
	var request *url.Error
	var answer interface{ ServiceRequestID() string }
	switch {
	case errors.As(err, &api):
		text = api.ErrorCode()
		if m := api.ErrorMessage(); m != "" && m != text {
			text += ": " + m
		}
		if status := statusOf(err); status != 0 {
			text += fmt.Sprintf(" (HTTP %d", status)
			if errors.As(err, &answer) && answer.ServiceRequestID() != "" {
				text += ", request " + answer.ServiceRequestID()
			}
			text += ")"
		}
	case errors.As(err, &op):
		text = op.Error()
	case errors.As(err, &request):
		text = request.Err.Error()
	}
	return told{err, text}
}

func (s *Store) noCredentials(err error) error {
	return &elt.Error{Code: lake.CodeAccessDenied, Class: elt.Config, Err: err,
		What: fmt.Sprintf("%s: there are no credentials", s),
		Do:   "set the lake's access key and secret, or give this machine a role that opens the bucket"}
}

func (s *Store) misconfigured(what, do string, err error) error {
	return &elt.Error{Code: lake.CodeMisconfigured, Class: elt.Config, What: what, Do: do, Err: err}
}

func (s *Store) tooLarge() error {
	return &elt.Error{Code: lake.CodeTooLarge, Class: elt.Config,
		What: fmt.Sprintf("an object for %s is larger than %d parts of %d bytes", s, maxParts, s.partSize),
		Do:   "extract into smaller parts"}
}

// statusOf returns the HTTP status of the server's answer, or 0 if there was none.
func statusOf(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// unreachable reports whether the last try found nobody at the server's address.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func isStatus(err error, status int) bool { return statusOf(err) == status }

// isCode reports whether the server answered with one of its error codes.
func isCode(err error, codes ...string) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}
