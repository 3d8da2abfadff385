package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// trouble is an incident whose failure quotes a value that no message may carry.
func trouble(cause elt.DatasetName) elt.Incident {
	return elt.Incident{
		Cause: cause, Date: day("2026-01-05"), Title: string(cause) + " failed to extract", Affected: []elt.DatasetName{cause},
		Failure: &elt.Failure{Code: "value_not_representable", Class: elt.Data, Message: "name = hunter2", Do: "correct hunter2"},
	}
}

// told returns the messages of the outbox in the order in which they were written.
func told(t *testing.T, l *ledger.Ledger) []string {
	t.Helper()
	var out []string
	for _, m := range must(l.Messages(t.Context(), "", 1000))(t) {
		out = append([]string{string(m.ID)}, out...)
	}
	return out
}

// claim returns the next message that is due, which there must be.
func claim(t *testing.T, l *ledger.Ledger, to elt.DestinationName, ttl time.Duration) elt.Message {
	t.Helper()
	m, found, err := l.ClaimMessage(t.Context(), to, ttl)
	ok(t, err)
	if !found {
		t.Fatalf("no message to %s is due", to)
	}
	return m
}

func wantNone(t *testing.T, l *ledger.Ledger, to elt.DestinationName) {
	t.Helper()
	m, found, err := l.ClaimMessage(t.Context(), to, hour)
	ok(t, err)
	if found {
		t.Errorf("message %s is due", m.ID)
	}
}

func TestNewsOfAnIncidentIsPutIntoTheOutbox(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		must2(l.OpenIncident(ctx, trouble("shop.orders")))(t) // nobody is told
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack", "pager"}))
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{
			{Name: "shop.users", Owners: []string{"growth@example.com", "data@example.com"}, Zone: "Europe/Dublin"}, {Name: "revenue"},
		}))
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		ok(t, l.Finish(ctx, must(l.Claim(ctx, steps[0].ID, "w", hour))(t), elt.Outcome{State: elt.StepFailed, Error: trouble("shop.users").Failure}))
		ok(t, l.RecordVersions(ctx, []elt.Version{version("shop.users", day("2026-01-04"), "run-0", "2026-01-05T05:00:00Z")}))

		in := must2(l.OpenIncident(ctx, trouble("shop.users")))(t)
		must2(l.OpenIncident(ctx, trouble("shop.users")))(t) // open already: no news
		in.Affected = []elt.DatasetName{"revenue", "shop.users", "unheard_of"}
		ok(t, l.UpdateIncident(ctx, in))
		ok(t, l.UpdateIncident(ctx, in)) // the same
		in.Title, in.Failure = "shop.users is late", nil
		ok(t, l.UpdateIncident(ctx, in)) // it is tried again: to and fro tells nothing
		in.Title, in.Failure = trouble("shop.users").Title, trouble("shop.users").Failure
		ok(t, l.UpdateIncident(ctx, in))
		in.Title = "shop.users failed to verify"
		ok(t, l.UpdateIncident(ctx, in)) // another failure is news
		in.AcknowledgedBy = "growth@example.com"
		ok(t, l.UpdateIncident(ctx, in))
		in.AcknowledgedBy = "" // as somebody says who read it before
		ok(t, l.UpdateIncident(ctx, in))
		ok(t, l.ResolveIncident(ctx, in.ID))
		ok(t, l.ResolveIncident(ctx, in.ID))

		var want []string
		for _, what := range []string{"opened/1", "updated/2", "updated/3", "acknowledged/4", "resolved/5"} {
			for _, to := range []string{"slack", "pager"} { // told turns the order within one event around
				want = append(want, fmt.Sprintf("%s/%s/%s", in.ID, what, to))
			}
		}
		if diff := cmp.Diff(want, told(t, l)); diff != "" {
			t.Error(diff)
		}
		messages := must(l.Messages(ctx, in.ID, 0))(t)
		if len(messages) != 10 {
			t.Fatalf("%d messages", len(messages))
		}
		updated := messages[7].Notice // the first update
		due := days[0].Deadline
		wantNotice := elt.Notice{
			Kind: elt.NoticeUpdated, Revision: 2, At: updated.At, Zone: "Europe/Dublin", Added: []elt.DatasetName{"revenue", "unheard_of"},
			Incident: elt.Incident{
				ID: in.ID, Cause: "shop.users", Date: in.Date, Title: "shop.users failed to extract", OpenedAt: in.OpenedAt,
				Failure: &elt.Failure{Code: "value_not_representable", Class: elt.Data}, Affected: in.Affected,
			},
			Affected: []elt.AffectedDataset{
				{Name: "revenue", Deadline: due},
				{Name: "shop.users", Owners: []string{"growth@example.com", "data@example.com"}, Deadline: due, Serving: day("2026-01-04")},
				{Name: "unheard_of"},
			},
			Step: elt.ExtractStep, Attempts: 1,
		}
		if diff := cmp.Diff(wantNotice, updated, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
		if n := messages[1].Notice; n.Kind != elt.NoticeResolved || n.Incident.ResolvedAt.IsZero() || n.Incident.AcknowledgedBy != "growth@example.com" {
			t.Errorf("resolved as %+v", n)
		}
		var stored string
		ok(t, l.Writer().QueryRowContext(ctx, `SELECT MAX(notice) FROM outbox WHERE notice LIKE '%hunter2%' HAVING COUNT(*) > 0 UNION ALL SELECT ''`).Scan(&stored))
		if strings.Contains(stored, "hunter2") {
			t.Errorf("a value of the data is stored: %s", stored)
		}
		checkInvariants(t, l)
	})
}

func TestMessagesAreClaimedInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack", "pager"}))
		users := must2(l.OpenIncident(ctx, trouble("shop.users")))(t)
		orders := must2(l.OpenIncident(ctx, trouble("shop.orders")))(t)
		ok(t, l.ResolveIncident(ctx, users.ID))

		first := claim(t, l, "slack", hour)
		if first.ID != elt.MessageID(users.ID+"/opened/1/slack") || first.Attempt != 1 || first.State != elt.MessageSending || first.ClaimedAt.IsZero() {
			t.Errorf("claimed %+v", first)
		}
		if second := claim(t, l, "slack", hour); second.Notice.Incident.ID != orders.ID {
			t.Errorf("claimed %s: nothing of %s may overtake what is being sent", second.ID, users.ID)
		}
		wantNone(t, l, "slack")
		failure := &elt.Failure{Code: "destination_failed", Class: elt.Transient, Message: "500"}
		ok(t, l.FinishMessage(ctx, first, elt.Delivery{State: elt.MessagePending, Wait: hour, Error: failure}))
		wantNone(t, l, "slack") // its next attempt is not due, and the resolution waits for it
		wantCode(t, l.FinishMessage(ctx, first, elt.Delivery{State: elt.MessageDelivered}), "message_not_held")

		first = claim(t, l, "pager", hour) // another destination goes its own way
		ok(t, l.FinishMessage(ctx, first, elt.Delivery{State: elt.MessageDelivered}))
		claim(t, l, "pager", hour)
		if m := claim(t, l, "pager", hour); m.Notice.Kind != elt.NoticeResolved || m.Notice.Incident.ID != users.ID {
			t.Errorf("claimed %s", m.ID)
		}
		for _, m := range must(l.Messages(ctx, users.ID, 0))(t) {
			if m.ID == elt.MessageID(users.ID+"/opened/1/slack") && (m.State != elt.MessagePending || cmp.Diff(failure, m.Error) != "" || !m.NextAttemptAt.After(m.ClaimedAt)) {
				t.Errorf("after a failure: %+v", m)
			}
		}
		checkInvariants(t, l)
	})
}

// A sender that died between sending and recording leaves a message that another one sends under the same ID.
func TestALostMessageIsClaimedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack"}))
		must2(l.OpenIncident(ctx, trouble("shop.users")))(t)
		lost := claim(t, l, "slack", 0)
		again := claim(t, l, "slack", hour)
		if again.ID != lost.ID || again.Attempt != 2 {
			t.Errorf("claimed %s, attempt %d", again.ID, again.Attempt)
		}
		wantCode(t, l.FinishMessage(ctx, lost, elt.Delivery{State: elt.MessageDelivered}), "message_not_held")
		ok(t, l.FinishMessage(ctx, again, elt.Delivery{State: elt.MessageFailed, Error: &elt.Failure{Code: "destination_refused"}}))
		wantNone(t, l, "slack")
		checkInvariants(t, l)
		if m := must(l.Messages(ctx, "", 0))(t)[0]; m.State != elt.MessageFailed || m.EndedAt.IsZero() || m.Error.Code != "destination_refused" {
			t.Errorf("ended as %+v", m)
		}
	})
}

func TestEachMessageIsClaimedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack"}))
		const incidents, senders = 20, 8
		for i := range incidents {
			must2(l.OpenIncident(ctx, trouble(elt.DatasetName(fmt.Sprintf("shop.t%d", i)))))(t)
		}
		claimed := make(chan elt.MessageID, incidents*senders)
		done := make(chan error, senders)
		for range senders {
			go func() {
				for {
					m, found, err := l.ClaimMessage(ctx, "slack", hour)
					if err != nil || !found {
						done <- err
						return
					}
					claimed <- m.ID
				}
			}()
		}
		for range senders {
			ok(t, <-done)
		}
		close(claimed)
		seen := make(map[elt.MessageID]bool)
		for id := range claimed {
			if seen[id] {
				t.Errorf("%s was claimed twice", id)
			}
			seen[id] = true
		}
		if len(seen) != incidents {
			t.Errorf("%d of %d messages were claimed", len(seen), incidents)
		}
		checkInvariants(t, l)
	})
}

func TestADestinationThatLeavesIsToldNothingMore(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack", "pager"}))
		before := must(l.Revision(ctx))(t)
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"pager", "slack"}))
		if after := must(l.Revision(ctx))(t); after != before {
			t.Errorf("the same destinations moved the revision from %d to %d", before, after)
		}
		in := must2(l.OpenIncident(ctx, trouble("shop.users")))(t)
		held := claim(t, l, "pager", hour)
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack"}))
		ok(t, l.ResolveIncident(ctx, in.ID))
		wantNone(t, l, "pager")
		wantCode(t, l.FinishMessage(ctx, held, elt.Delivery{State: elt.MessageDelivered}), "message_not_held")
		var pager []string
		for _, m := range must(l.Messages(ctx, in.ID, 0))(t) {
			if m.Destination == "pager" {
				pager = append(pager, fmt.Sprintf("%s %s %s", m.Notice.Kind, m.State, m.Error.Code))
			}
		}
		if diff := cmp.Diff([]string{"opened failed destination_removed"}, pager); diff != "" {
			t.Error(diff)
		}
	})
}

// A change of an incident that cannot be told is no change.
func TestNewsAndMessageAreOneTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack"}))
		in := must2(l.OpenIncident(ctx, trouble("shop.users")))(t)
		_, err := l.Writer().ExecContext(ctx, `ALTER TABLE outbox RENAME TO elsewhere`)
		ok(t, err)
		if _, _, err := l.OpenIncident(ctx, trouble("shop.orders")); err == nil {
			t.Error("an incident was opened without its message")
		}
		if err := l.ResolveIncident(ctx, in.ID); err == nil {
			t.Error("an incident was resolved without its message")
		}
		_, err = l.Writer().ExecContext(context.WithoutCancel(ctx), `ALTER TABLE elsewhere RENAME TO outbox`)
		ok(t, err)
		if open := must(l.Incidents(ctx, true, 0))(t); len(open) != 1 || open[0].ID != in.ID {
			t.Errorf("open incidents %+v", open)
		}
		checkInvariants(t, l)
	})
}

// A ledger that was written before there was an outbox keeps its incidents, open ones included.
func TestIncidentsFromBeforeTheOutbox(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		in := must2(l.OpenIncident(ctx, trouble("shop.users")))(t)
		ok(t, l.MigrateTo(ctx, 1))
		_, err := l.Incidents(ctx, true, 0)
		wantCode(t, err, "ledger_older")
		ok(t, l.Migrate(ctx))
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack"}))
		ok(t, l.ResolveIncident(ctx, in.ID))
		if diff := cmp.Diff([]string{string(in.ID) + "/resolved/1/slack"}, told(t, l)); diff != "" {
			t.Error(diff)
		}
		checkInvariants(t, l)
	})
}
