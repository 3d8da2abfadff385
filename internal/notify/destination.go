package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Destination is where messages go. It prints as its name: its address and its secret are seen by nobody.
type Destination struct {
	name    elt.DestinationName
	url     string
	channel string // Slack only
	secret  string // webhooks only; Slack checks no signature
	slack   bool
	lineage *Lineage // OpenLineage only
}

// Slack returns the incoming webhook of a Slack channel. Most webhooks are made for one channel and ignore another.
func Slack(url, channel string) Destination {
	return Destination{name: "slack", url: url, channel: channel, slack: true}
}

// Webhook returns an endpoint that takes the JSON of docs/notifications.md, signed with the secret.
func Webhook(name elt.DestinationName, url, secret string) Destination {
	return Destination{name: name, url: url, secret: secret}
}

// Name is what the ledger and the logs call it.
func (d Destination) Name() elt.DestinationName { return d.name }

// Format prints the name, whatever the verb.
func (d Destination) Format(f fmt.State, _ rune) { fmt.Fprint(f, string(d.name)) }

// LogValue logs the name.
func (d Destination) LogValue() slog.Value { return slog.StringValue(string(d.name)) }

// maxAnswer is how much of an answer is read, so that its connection can serve again.
const maxAnswer = 64 << 10

// request makes the HTTP request that brings the message. Its body is the same at every attempt.
func (d Destination) request(ctx context.Context, m elt.Message, baseURL string, now time.Time) (*http.Request, error) {
	encode := webhookBody
	switch {
	case d.lineage != nil:
		encode = func(m elt.Message, _ string) ([]byte, error) { return d.lineage.body(m) }
	case d.slack:
		encode = func(m elt.Message, baseURL string) ([]byte, error) { return slackBody(m, baseURL, d.channel) }
	}
	body, err := encode(m, baseURL)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the URL of %s cannot be read", d.name) // without its cause, which quotes the URL
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "daybreak")
	r.Header.Set("Idempotency-Key", string(m.ID))
	if d.lineage != nil && d.lineage.Key != "" {
		r.Header.Set("Authorization", "Bearer "+d.lineage.Key)
	}
	if d.secret != "" {
		r.Header.Set("Daybreak-Signature", signature(d.secret, now, body))
	}
	return r, nil
}

// signature returns the value of the Daybreak-Signature header: the time in Unix seconds, and in hexadecimal the
// HMAC-SHA-256 of time, full stop and body. The time keeps an old message from being played again.
func signature(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// send brings the message to the destination and returns how the attempt ended; the wait of one that is to be tried
// again is what the destination asked for, or 0.
func (d Destination) send(ctx context.Context, client *http.Client, m elt.Message, baseURL string, now time.Time) elt.Delivery {
	r, err := d.request(ctx, m, baseURL, now)
	if err != nil {
		return gaveUp("internal_error", elt.Internal, err.Error(), "report it with this message")
	}
	answer, err := client.Do(r)
	if err != nil {
		return d.unanswered(err)
	}
	defer answer.Body.Close() // it was only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		body = nil // the status has said whether the message was taken
	}
	return d.answered(answer, body, now)
}

// answered judges an answer by its status.
func (d Destination) answered(answer *http.Response, body []byte, now time.Time) elt.Delivery {
	said := fmt.Sprintf("%s answered %d", d.name, answer.StatusCode)
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return elt.Delivery{State: elt.MessageDelivered}
	case code == http.StatusTooManyRequests:
		return later("destination_busy", said, "nothing: it is sent when the destination allows", retryAfter(answer.Header, now))
	case code >= 500:
		return later("destination_failed", said, "if it stays, ask whoever runs the destination", retryAfter(answer.Header, now))
	case d.lineage != nil:
		return d.answeredLineage(code, said)
	case code >= 300 && code < 400:
		return gaveUp("destination_redirects", elt.Config, said+", which names another address", "configure the address itself")
	}
	if d.slack {
		said += slackReason(body)
	}
	return gaveUp("destination_refused", elt.Config, said, "check that the webhook exists still, and what it takes")
}

func gaveUp(code elt.Code, class elt.Class, what, do string) elt.Delivery {
	return elt.Delivery{State: elt.MessageFailed, Error: &elt.Failure{Code: code, Class: class, Message: what, Do: do}}
}

func later(code elt.Code, what, do string, wait time.Duration) elt.Delivery {
	return elt.Delivery{State: elt.MessagePending, Wait: wait, Error: &elt.Failure{Code: code, Class: elt.Transient, Message: what, Do: do}}
}

// maxRetryAfter bounds what a destination may ask for.
const maxRetryAfter = time.Hour

// retryAfter returns the wait that an answer asks for, in seconds or as a date; 0 for none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
