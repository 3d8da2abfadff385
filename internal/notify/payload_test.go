package notify

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var update = flag.Bool("update", false, "write the golden files")

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// failed is a notice of a table that failed, with two models behind it.
func failed(change func(*elt.Notice)) elt.Message {
	n := elt.Notice{
		Kind: elt.NoticeOpened, Revision: 1, At: at("2026-11-21T05:12:00Z"), Zone: "Europe/Berlin",
		Incident: elt.Incident{
			ID: "incident-12", Cause: "shop.users", Date: elt.Date{Year: 2026, Month: 11, Day: 20}, Title: "shop.users failed to extract",
			Failure: &elt.Failure{Code: "table_missing", Class: elt.Config}, Affected: []elt.DatasetName{"churn", "revenue", "shop.users"},
			OpenedAt: at("2026-11-21T05:12:00Z"),
		},
		Affected: []elt.AffectedDataset{
			{Name: "churn", Owners: []string{"growth@example.com", "data@example.com"}, Deadline: at("2026-11-21T06:00:00Z"), Serving: elt.Date{Year: 2026, Month: 11, Day: 19}},
			{Name: "revenue", Owners: []string{"finance@example.com"}, Deadline: at("2026-11-21T07:00:00Z"), Serving: elt.Date{Year: 2026, Month: 11, Day: 18}},
			{Name: "shop.users"},
		},
		Step: elt.ExtractStep, Attempts: 3,
	}
	if change != nil {
		change(&n)
	}
	return elt.Message{ID: elt.MessageID(fmt.Sprintf("incident-12/%s/%d/pager", n.Kind, n.Revision)), Destination: "pager", Notice: n}
}

// late is a notice of a table whose run has not started, with nothing behind it.
func late(n *elt.Notice) {
	n.At, n.Incident.OpenedAt = at("2026-11-21T08:00:05Z"), at("2026-11-21T08:00:05Z")
	n.Incident.Title, n.Incident.Failure, n.Incident.Affected = "shop.users is late: its run has not started", nil, []elt.DatasetName{"shop.users"}
	n.Affected = []elt.AffectedDataset{{Name: "shop.users", Owners: []string{"growth@example.com"}, Deadline: at("2026-11-21T08:00:00Z"), Serving: elt.Date{Year: 2026, Month: 11, Day: 19}}}
	n.Step, n.Attempts = "", 0
}

func TestPayloads(t *testing.T) {
	cases := map[string]elt.Message{
		"opened_failed": failed(nil),
		"opened_late":   failed(late),
		"opened_retrying": failed(func(n *elt.Notice) {
			late(n)
			n.Incident.Title = "shop.users is late: its load is being retried"
			n.Incident.Failure = &elt.Failure{Code: "lake_unavailable", Class: elt.Transient}
			n.Step, n.Attempts, n.NextAttemptAt = elt.LoadStep, 2, at("2026-11-21T08:04:00Z")
		}),
		"updated_affected": failed(func(n *elt.Notice) {
			n.Kind, n.Revision, n.Added, n.At = elt.NoticeUpdated, 2, []elt.DatasetName{"revenue"}, at("2026-11-21T06:30:00Z")
		}),
		"updated_failure": failed(func(n *elt.Notice) {
			n.Kind, n.Revision, n.Incident.AcknowledgedBy = elt.NoticeUpdated, 4, "growth@example.com"
		}),
		"acknowledged": failed(func(n *elt.Notice) {
			n.Kind, n.Revision, n.Incident.AcknowledgedBy = elt.NoticeAcknowledged, 3, "growth@example.com"
		}),
		"resolved": failed(func(n *elt.Notice) {
			n.Kind, n.Revision, n.At, n.Incident.ResolvedAt = elt.NoticeResolved, 5, at("2026-11-21T06:24:31Z"), at("2026-11-21T06:24:31Z")
			n.Step, n.Attempts = "", 0
			for i := range n.Affected {
				n.Affected[i].Serving = n.Incident.Date
			}
		}),
		"markup": failed(func(n *elt.Notice) {
			late(n)
			n.Zone = "Nowhere/At_All"
			n.Affected[0].Owners = []string{"<!channel> & <https://example.com|click>"}
		}),
	}
	for name, m := range cases {
		t.Run(name, func(t *testing.T) {
			slack, err := slackBody(m, "https://data.example.com/", "")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "slack_"+name, slack)
			webhook, err := webhookBody(m, "https://data.example.com/")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "webhook_"+name, webhook)
		})
	}
}

// golden compares JSON, made readable, with a file of testdata.
func golden(t *testing.T, name string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(body), "", "  "); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	b.WriteByte('\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-file +body); go test ./internal/notify -update writes it:\n%s", path, diff)
	}
}

// The book shows a body as it is sent.
func TestTheBookShowsABody(t *testing.T) {
	body, err := os.ReadFile("testdata/webhook_updated_affected.json")
	if err != nil {
		t.Fatal(err)
	}
	book, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for line := range strings.Lines(string(body)) {
		want.WriteString("    " + line)
	}
	if !strings.Contains(string(book), want.String()) {
		t.Errorf("docs/notifications.md does not show:\n%s", &want)
	}
}

func TestSlackTakesWhatIsLarge(t *testing.T) {
	m := failed(func(n *elt.Notice) {
		n.Incident.Title = strings.Repeat("very long words & ", 400)
		for i := range 2000 {
			name := elt.DatasetName(fmt.Sprintf("shop.table_with_a_long_name_%04d", i))
			n.Incident.Affected = append(n.Incident.Affected, name)
			n.Affected = append(n.Affected, elt.AffectedDataset{Name: name, Owners: []string{strings.Repeat("&", 300) + "@example.com"}})
		}
	})
	body, err := slackBody(m, "", "#data")
	if err != nil {
		t.Fatal(err)
	}
	var got slackMessage
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Channel != "#data" || len(got.Text) > 3000 {
		t.Errorf("channel %q, %d characters of text", got.Channel, len(got.Text))
	}
	for _, b := range got.Blocks {
		if b.Text != nil && (len(b.Text.Text) > 3000 || b.Text.Text == "") {
			t.Errorf("a block has %d characters", len(b.Text.Text))
		}
	}
	if text := got.Blocks[2].Text.Text; !strings.Contains(text, "• *churn*") || !strings.Contains(text, " more") {
		t.Errorf("affected are:\n%s", text)
	}
	if strings.Contains(string(body), "status page") {
		t.Error("there is no page to link to")
	}
}

func TestLasted(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "less than a minute", 59 * time.Second: "less than a minute", time.Minute: "1 min", 59 * time.Minute: "59 min",
		72 * time.Minute: "1 h 12 min", 47 * time.Hour: "47 h 0 min", 48 * time.Hour: "2 days", 200 * time.Hour: "8 days",
	} {
		if got := lasted(d); got != want {
			t.Errorf("%s lasted %q, want %q", d, got, want)
		}
	}
}
