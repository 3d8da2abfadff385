package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// The codes of this package; docs/runbook.md explains them.
const (
	codeDenied        elt.Code = "warehouse_denied"
	codeUnreachable   elt.Code = "warehouse_unreachable"
	codeQuota         elt.Code = "warehouse_quota"
	codeBytesLimit    elt.Code = "bytes_limit"
	codeTooBig        elt.Code = "resources_exceeded"
	codeJobStopped    elt.Code = "job_stopped"
	codeJobTaken      elt.Code = "job_id_taken"
	codeBucketMissing elt.Code = "bucket_missing"
	codeBucketObject  elt.Code = "bucket_object"
	codeLayoutInvalid elt.Code = "layout_invalid"
	codePublishedGone elt.Code = "published_gone"
)

// reasonOf returns BigQuery's word for what went wrong and the HTTP status, as far as err tells them.
func reasonOf(err error) (reason string, status int) {
	if api, ok := errors.AsType[*googleapi.Error](err); ok {
		if len(api.Errors) > 0 {
			reason = api.Errors[0].Reason
		}
		return reason, api.Code
	}
	if job, ok := errors.AsType[*bigquery.Error](err); ok {
		return job.Reason, 0
	}
	return "", 0
}

func isStatus(err error, status int) bool {
	_, got := reasonOf(err)
	return got == status
}

// sendAgain reports whether a request that failed is sent again as it was: the job's ID keeps it from being done
// twice. An upload whose session is gone begins anew.
func sendAgain(err error) bool {
	if errors.Is(err, context.Canceled) || elt.CodeOf(err) != "" { // the latter is ours, not BigQuery's
		return false
	}
	switch reason, status := reasonOf(err); {
	case status == 0: // no answer at all
		return true
	case reason == "quotaExceeded":
		return false
	case reason == "rateLimitExceeded", reason == "jobRateLimitExceeded", reason == "backendError":
		return true
	default:
		return status >= 500 || status == http.StatusGone || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests
	}
}

// runAgain reports whether a job that was accepted and failed may well pass under another ID.
func runAgain(err error) bool {
	switch reason, _ := reasonOf(err); reason {
	case "backendError", "jobBackendError", "internalError", "jobInternalError", "rateLimitExceeded", "jobRateLimitExceeded":
		return true
	}
	return false
}

// verdicts say what each of BigQuery's reasons means to an operator.
var verdicts = map[string]struct {
	code  elt.Code
	class elt.Class
	do    string
}{
	"accessDenied":             {codeDenied, elt.Config, "grant Daybreak's service account the roles that docs/bigquery.md lists"},
	"forbidden":                {codeDenied, elt.Config, "grant Daybreak's service account the roles that docs/bigquery.md lists"},
	"billingNotEnabled":        {codeDenied, elt.Config, "enable billing for the project"},
	"quotaExceeded":            {codeQuota, elt.Quota, "wait until the quota is there again, as a rule tomorrow, or have it raised; then retry the run"},
	"bytesBilledLimitExceeded": {codeBytesLimit, elt.Quota, "make the query read less, or raise bigquery.maximum_bytes_billed"},
	"resourcesExceeded":        {codeTooBig, elt.Quota, "make the model smaller: fewer columns in its joins, sorts and groups, or several models"},
	"stopped":                  {codeJobStopped, elt.Transient, "nothing: the step is tried again; if nobody stopped the job, look into the project's audit log"},
	"backendError":             {codeUnreachable, elt.Transient, "nothing: the step is tried again"},
	"jobBackendError":          {codeUnreachable, elt.Transient, "nothing: the step is tried again"},
	"internalError":            {codeUnreachable, elt.Transient, "nothing: the step is tried again"},
	"jobInternalError":         {codeUnreachable, elt.Transient, "nothing: the step is tried again"},
	"rateLimitExceeded":        {warehouse.CodeBusy, elt.Transient, "nothing: the step is tried again; if it goes on, run fewer steps at a time"},
	"jobRateLimitExceeded":     {warehouse.CodeBusy, elt.Transient, "nothing: the step is tried again; if it goes on, run fewer steps at a time"},
}

// fail explains an error of BigQuery's while doing what; an error that has a code is kept.
func (w *Warehouse) fail(ctx context.Context, what string, err error) error {
	if err == nil || elt.CodeOf(err) != "" {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	reason, status := reasonOf(err)
	if _, away := errors.AsType[errAway](err); away {
		reason, status = "", 0
	}
	sentence := what + ": " + essence(err)
	if v, ok := verdicts[reason]; ok {
		return &elt.Error{Code: v.code, Class: v.class, What: sentence, Do: v.do}
	}
	switch {
	case strings.Contains(sentence, "concurrent update"):
		return warehouse.Busy(sentence)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &elt.Error{Code: codeDenied, Class: elt.Config, What: sentence, Do: verdicts["accessDenied"].do}
	case reason == "" && (status == 0 || status >= 500):
		return &elt.Error{Code: codeUnreachable, Class: elt.Transient, What: sentence, Do: "nothing: the step is tried again; if it goes on, check the network and BigQuery's status page"}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// refused explains why BigQuery refuses SQL or a file that a person wrote: class data, under the given code.
// Failures that are not the text's fault keep their own codes. before is the number of lines that stand ahead of
// the person's own in what BigQuery was given.
func (w *Warehouse) refused(ctx context.Context, code elt.Code, what, do string, before int, err error) error {
	failed := w.fail(ctx, what, err)
	if failed == nil || elt.CodeOf(failed) != "" || ctx.Err() != nil {
		return failed
	}
	text := essence(err)
	if m := position.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
		if line > before {
			what += fmt.Sprintf(", line %d", line-before)
		}
	}
	return &elt.Error{Code: code, Class: elt.Data, What: what + ": " + text, Do: do}
}

var (
	position   = regexp.MustCompile(` at \[(\d+):\d+\]`)
	badValue   = regexp.MustCompile(`((?:Bad|Invalid|Could not (?:cast|parse)|Error while reading)[^:;]*:).*`)
	quotedText = regexp.MustCompile(`'[^']*'`)
)

// essence cuts BigQuery's message to what a person needs, in one line. Values that a conversion choked on are left
// out: messages reach pages that everybody reads.
func essence(err error) string {
	text := err.Error()
	var api *googleapi.Error
	var job *bigquery.Error
	switch {
	case errors.As(err, &api) && api.Message != "":
		text = api.Message
	case errors.As(err, &job):
		text = job.Message
	}
	text, _, _ = strings.Cut(text, "\n")
	at := position.FindString(text)
	text = strings.Replace(text, at, "", 1)
	text = badValue.ReplaceAllString(text, "$1 …")
	text = quotedText.ReplaceAllString(text, "'…'")
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + "…"
	}
	return text + at
}
