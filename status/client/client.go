package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

const (
	// longPoll is how long one request of Wait waits; proxies commonly cut connections at a minute.
	longPoll = 50 * time.Second
	// mostBody bounds what is read of an answer.
	mostBody = 64 << 20
)

// Client asks one status service. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	name  string // who waits, for the dataset's page
	http  *http.Client
}

// New returns a client of the service at baseURL. The token may be empty where reading is public.
func New(baseURL, token string) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, &Error{Code: "bad_address", Message: fmt.Sprintf("%q is not the address of a status service", baseURL), Do: "write it as http://127.0.0.1:8080"}
	}
	// A redirect to another host would carry nothing of the token: net/http drops it. Following one
	// within the host is harmless.
	return &Client{base: u, token: token, http: &http.Client{}}, nil
}

// Use sends requests through another transport, for a proxy or a certificate authority of one's own. It
// is called before the client is used.
func (c *Client) Use(transport http.RoundTripper) { c.http.Transport = transport }

// As names whoever waits with this client, so that the pages can say who would be glad of a dataset; without it the
// service calls them what their token is. It is called before the client is used.
func (c *Client) As(name string) { c.name = name }

// Error is what the service refused, or why it could not be asked.
type Error struct {
	Status     int      // the HTTP status; 0 when there was no answer
	Code       elt.Code // stable: see docs/runbook.md
	Message    string
	Do         string
	RetryAfter time.Duration // how long the service asks to be left alone; 0 when it didn't say
	Err        error         // the cause, when there was no answer
}

// Error returns the sentence and its cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsUnknown reports whether err means that nobody can say how the data stands at the moment: the
// service gave no answer, or answered that it cannot vouch for anything.
func IsUnknown(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == 0 && e.Code == "status_unreachable" || e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests)
}

// Need is one day that somebody needs.
type Need struct {
	Dataset elt.DatasetName
	Date    elt.Date
}

// String returns the need as "orders@2026-01-05".
func (n Need) String() string { return string(n.Dataset) + "@" + n.Date.String() }

// ParseNeed reads "orders@2026-01-05".
func ParseNeed(text string) (Need, error) {
	name, day, ok := strings.Cut(text, "@")
	if !ok {
		return Need{}, fmt.Errorf("%q names no date: write it as orders@2026-01-05", text)
	}
	dataset, err := elt.ParseDatasetName(name)
	if err != nil {
		return Need{}, err
	}
	date, err := elt.ParseDate(day)
	return Need{dataset, date}, err
}

// Summary returns the state of everything.
func (c *Client) Summary(ctx context.Context) (api.Summary, error) {
	return ask[api.Summary](ctx, c, "/v1/summary", nil)
}

// Dataset returns a dataset with its headline.
func (c *Client) Dataset(ctx context.Context, d elt.DatasetName) (api.OneDataset, error) {
	return ask[api.OneDataset](ctx, c, "/v1/datasets/"+url.PathEscape(string(d)), nil)
}

// Datasets returns every dataset, by name.
func (c *Client) Datasets(ctx context.Context) ([]api.Dataset, error) {
	var all []api.Dataset
	cursor := ""
	for {
		page, err := ask[api.Datasets](ctx, c, "/v1/datasets", url.Values{"limit": {"500"}, "cursor": {cursor}})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Datasets...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// Day returns what happened on a day.
func (c *Client) Day(ctx context.Context, d elt.DatasetName, date elt.Date) (api.Day, error) {
	return ask[api.Day](ctx, c, "/v1/datasets/"+url.PathEscape(string(d))+"/days/"+date.String(), nil)
}

// Ready asks once whether every need is met.
func (c *Client) Ready(ctx context.Context, needs ...Need) (api.Gate, error) {
	return ask[api.Gate](ctx, c, "/v1/ready", needsQuery(needs))
}

// Wait returns as soon as every need is met or has become impossible, and else when ctx ends: then
// with the last verdict (waiting or unknown), TimedOut set, and no error. While the service is out of
// reach or cannot vouch for anything it keeps asking; if that is still so when ctx ends, it returns the
// last such error, for which [IsUnknown] holds.
func (c *Client) Wait(ctx context.Context, needs ...Need) (api.Gate, error) {
	var last api.Gate
	var lastErr error
	pause := time.Second
	for {
		query := needsQuery(needs)
		if c.name != "" {
			query.Set("as", c.name)
		}
		query.Set("timeout", strconv.FormatInt(c.nextPoll(ctx).Milliseconds(), 10)+"ms")
		gate, err := ask[api.Gate](ctx, c, "/v1/wait", query)
		switch {
		case err == nil && (gate.Verdict == api.Ready || gate.Verdict == api.Impossible):
			return gate, nil
		case err == nil:
			last, lastErr, pause = gate, nil, time.Second
		case ctx.Err() != nil:
			// The request was cut by the caller's own time limit: what was known before counts.
		case !IsUnknown(err):
			return api.Gate{}, err
		default:
			lastErr = err
			if !sleep(ctx, max(pause, retryAfter(err))) {
				return last, lastErr
			}
			pause = min(2*pause, 30*time.Second)
		}
		if ctx.Err() != nil || outOfTime(ctx) {
			last.TimedOut = true
			if lastErr == nil && last.Verdict == "" {
				lastErr = &Error{Code: "status_unreachable", Message: "the status service did not answer in time", Do: "check its address and that it runs", Err: context.Cause(ctx)}
			}
			return last, lastErr
		}
	}
}

// nextPoll leaves the service a moment to answer before the caller's time is up.
func (c *Client) nextPoll(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(0, min(longPoll, time.Until(deadline)-500*time.Millisecond))
	}
	return longPoll
}

// outOfTime reports whether so little is left that another request could not be answered.
func outOfTime(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < 600*time.Millisecond
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

func needsQuery(needs []Need) url.Values {
	texts := make([]string, len(needs))
	for i, n := range needs {
		texts[i] = n.String()
	}
	return url.Values{"need": {strings.Join(texts, ",")}}
}

// ask gets one resource.
func ask[T any](ctx context.Context, c *Client, path string, query url.Values) (body T, err error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return body, &Error{Code: "bad_address", Message: "cannot ask " + u.Redacted(), Err: err}
	}
	request.Header.Set("Accept", "application/json")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	unreachable := func(err error) error {
		return &Error{Code: "status_unreachable", Message: "cannot reach the status service at " + c.base.Redacted(), Do: "check the address, and that daybreak serve runs there", Err: err}
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return body, unreachable(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostBody))
	if err != nil {
		return body, unreachable(err)
	}
	if answer.StatusCode != http.StatusOK {
		return body, refusal(answer, text)
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return body, &Error{Code: "bad_answer", Message: "what answers at " + c.base.Redacted() + " is not a status service", Do: "check the address", Err: err}
	}
	return body, nil
}

func refusal(answer *http.Response, text []byte) error {
	e := &Error{Status: answer.StatusCode, Code: "bad_answer", Message: "the status service answered " + answer.Status}
	var p api.ProblemDetails
	// Anything but a problem comes from a proxy in between: the status line says all there is.
	if json.Unmarshal(text, &p) == nil && p.Code != "" {
		e.Code, e.Message, e.Do = p.Code, p.Detail, p.Do
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
