package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// slackMessage is the body of an incoming webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
type slackMessage struct {
	Channel string       `json:"channel,omitempty"`
	Text    string       `json:"text"` // what a notification shows, and who cannot see blocks
	Blocks  []slackBlock `json:"blocks"`
}

// slackBlock is a section, or a context with its elements.
type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

// slackText is text in Slack's markup; verbatim keeps shop.app from becoming a link.
type slackText struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim"`
}

func mrkdwn(text string) slackText { return slackText{"mrkdwn", text, true} }

// Slack refuses a text of more than 3000 characters; https://docs.slack.dev/reference/block-kit/blocks/section-block.
const (
	mostText     = 2900
	mostAffected = 20
)

var slackIcons = map[elt.NoticeKind]string{
	elt.NoticeOpened: ":red_circle:", elt.NoticeUpdated: ":large_orange_circle:", elt.NoticeAcknowledged: ":eyes:", elt.NoticeResolved: ":large_green_circle:",
}

func slackBody(m elt.Message, baseURL, channel string) ([]byte, error) {
	w := wordsOf(m.Notice)
	in := w.Incident
	section := func(text string) slackBlock {
		t := mrkdwn(text)
		return slackBlock{Type: "section", Text: &t}
	}
	sentence := clip(escape(w.sentence()))
	out := slackMessage{Channel: channel, Text: sentence, Blocks: []slackBlock{section(slackIcons[w.Kind] + " *" + sentence + "*")}}
	if w.Kind == elt.NoticeOpened || w.Kind == elt.NoticeUpdated {
		out.Blocks = append(out.Blocks, section(escape(w.did())))
	}
	if w.Kind != elt.NoticeAcknowledged {
		out.Blocks = append(out.Blocks, section(w.affected()))
	}
	foot := []string{escape(string(in.ID)), "since " + w.moment(in.OpenedAt)}
	if in.Failure != nil && w.Kind != elt.NoticeResolved {
		foot = append(foot, "`"+escape(string(in.Failure.Code))+"`")
	}
	if in.AcknowledgedBy != "" && w.Kind != elt.NoticeAcknowledged {
		foot = append(foot, clip(escape(in.AcknowledgedBy))+" looks after it")
	}
	if page := link(baseURL, in); page != "" {
		foot = append(foot, "<"+escape(page)+"|status page>")
	}
	out.Blocks = append(out.Blocks, slackBlock{Type: "context", Elements: []slackText{mrkdwn(clip(strings.Join(foot, " · ")))}})
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(out)
	return b.Bytes(), err
}

// affected is a line for each affected dataset: who owns it, and what its readers have.
func (w words) affected() string {
	var b strings.Builder
	for i, a := range w.Affected {
		owners := "nobody owns it"
		if len(a.Owners) > 0 {
			owners = strings.Join(a.Owners, ", ")
		}
		line := fmt.Sprintf("• *%s* · %s · %s\n", escape(string(a.Name)), escape(owners), w.serving(a))
		if i == mostAffected || b.Len()+len(line) > mostText-100 {
			fmt.Fprintf(&b, "• and %d more", len(w.Affected)-i)
			break
		}
		b.WriteString(line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (w words) serving(a elt.AffectedDataset) string {
	if a.Serving.IsZero() {
		return "nothing published yet"
	}
	return "readers have " + date(a.Serving)
}

// escape keeps a text from being read as Slack's markup.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// clip shortens a text that Slack would refuse. It does not cut a character or an escape in two.
func clip(s string) string {
	if len(s) <= mostText {
		return s
	}
	cut := strings.LastIndexAny(s[:mostText], " ,")
	return s[:max(cut, 0)] + " …"
}

var slackWord = regexp.MustCompile(`^[a-z_]{1,64}$`)

// slackReason is the word with which Slack refuses a message, such as no_service. Anything else is not repeated.
func slackReason(body []byte) string {
	if word := string(bytes.TrimSpace(body)); slackWord.MatchString(word) {
		return " (" + word + ")"
	}
	return ""
}
