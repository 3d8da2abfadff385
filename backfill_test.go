package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// backfill is what daybreak backfill show --json says.
type backfill struct {
	elt.Backfill
	Days []elt.BackfillDay `json:"days"`
}

func backfillOf(t *testing.T, dir, id string) (b backfill) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, dir, nil, "backfill", "show", id, "--json").out), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// rewritten is a workspace in which the last two nights were brought, and rows of both dates were changed in production
// behind their cursors' back; and what people should read once both dates were brought again.
func rewritten(t *testing.T) (dir, from, to string, want map[string]string) {
	t.Helper()
	dir, _, _ = twoNights(t)
	from, to = lastDate(t).AddDays(-1).String(), lastDate(t).String()
	change(t, filepath.Join(dir, "production.db"), `UPDATE conversations SET state = 'snoozed' WHERE id IN (SELECT id FROM conversations ORDER BY updated_at DESC LIMIT 400)`)
	undisturbed := filepath.Join(t.TempDir(), "undisturbed")
	if err := os.CopyFS(undisturbed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	must(t, undisturbed, nil, "backfill", "app.conversations", "--from", from, "--to", to, "--mode", "all", "--yes")
	want = contents(t, undisturbed)
	if cmp.Equal(want, contents(t, dir)) {
		t.Fatal("bringing the days again changed nothing")
	}
	if a := must(t, undisturbed, nil, "plan", "--outdated"); !strings.Contains(a.out, "Nothing is outdated") {
		t.Errorf("after the backfill:\n%s", a.out)
	}
	return dir, from, to, want
}

// A backfill is planned, refused when what it was planned over has changed, and brings the days with what is made from
// them; while it is killed now and then, and goes on, the end is that of one that was left alone.
func TestABackfillThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	dir, from, to, want := rewritten(t)
	asked := []string{"app.conversations", "--from", from, "--to", to, "--mode", "all"}
	var plan struct {
		Token string            `json:"plan_token"`
		Days  []elt.BackfillDay `json:"days"`
	}
	if err := json.Unmarshal([]byte(must(t, dir, nil, append([]string{"backfill", "plan", "--json"}, asked...)...).out), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Days) < 5 || plan.Days[0].Action != elt.ExtractDay {
		t.Fatalf("planned %+v", plan.Days)
	}
	start := append([]string{"backfill", "start", "--detach", "--reason", "states were wrong", "--token", plan.Token}, asked...)
	other := append(slices.Clone(start), "--no-downstream")
	wantRefusal(t, do(t, dir, nil, other...), 75, "plan_stale", "has changed")
	must(t, dir, nil, start...)
	wantRefusal(t, do(t, dir, nil, start...), 75, "plan_stale", "0 days now")

	ended := false
	for after := 300 * time.Millisecond; !ended; after += after / 6 { // on a slow machine it gets on in the end
		ended = killedAfter(t, dir, after, "backfill", "resume", "backfill-1") || ask(t, ledgerIn(dir), "SELECT ended_at IS NOT NULL FROM backfills")[0][0] == "1"
	}
	b := backfillOf(t, dir, "backfill-1")
	if b.State != elt.BackfillSucceeded || b.Progress[elt.BackfillDaySucceeded] != len(plan.Days) {
		t.Errorf("it ended as %s: %v", b.State, b.Progress)
	}
	if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
		t.Errorf("published (-undisturbed +killed):\n%s", diff)
	}
	wantOneTruth(t, dir)
	if a := must(t, dir, nil, "audit", "backfill-1"); !strings.Contains(a.out, "backfill.start") || !strings.Contains(a.out, "states were wrong") {
		t.Errorf("audit trail:\n%s", a.out)
	}
	again := must(t, dir, nil, "backfill", "plan", "app.conversations", "--from", from, "--to", to, "--mode", "outdated")
	if !strings.Contains(again.out, "it is not outdated") {
		t.Errorf("planned afterwards:\n%s", again.out)
	}
}

// killedAfter starts daybreak and kills it after that time. ended reports whether it had ended well before: by itself it ends
// in no other way, whatever the one before it was killed at.
func killedAfter(t *testing.T, dir string, after time.Duration, args ...string) (ended bool) {
	t.Helper()
	cmd := program(t.Context(), t, dir, nil, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
	defer timer.Stop()
	err := cmd.Wait()
	if err != nil && !wasKilled(cmd.ProcessState) {
		t.Fatalf("daybreak %s: %v before it was killed\n%s", strings.Join(args, " "), err, &said)
	}
	return err == nil
}

// A night comes in the middle of a backfill: the night goes first, the backfill rests and goes on, and both end well.
// Cancelled, nothing more of a backfill starts, whoever comes.
func TestABackfillRestsForANightAndStaysCancelled(t *testing.T) {
	t.Parallel()
	dir, from, to, want := rewritten(t)
	must(t, dir, nil, "backfill", "start", "--detach", "--token", tokenOf(t, dir, from, to), "app.conversations", "--from", from, "--to", to, "--mode", "all")
	a := must(t, dir, nil, "run", "--again", "--date", to) // goes first, though the backfill was started before it
	if b := backfillOf(t, dir, "backfill-1"); b.Progress[elt.BackfillDayPending] != b.Total() {
		t.Errorf("while the night ran, the backfill did %v; the night said\n%s", b.Progress, a.out)
	}
	must(t, dir, nil, "backfill", "resume", "backfill-1")
	b := backfillOf(t, dir, "backfill-1")
	if b.State != elt.BackfillSucceeded {
		t.Errorf("it ended as %s: %v", b.State, b.Progress)
	}
	for _, d := range b.Days {
		if d.Dataset == "app.conversations" && d.Date.String() == to && (d.State != elt.BackfillDaySkipped || !strings.Contains(d.Says, "meanwhile")) {
			t.Errorf("the night has brought %s, and the backfill says %s: %s", to, d.State, d.Says)
		}
	}
	got := contents(t, dir)
	for relation, rows := range want {
		if strings.Contains(relation, "conversations") && got[relation] != rows {
			t.Errorf("%s is not as it should be", relation)
		}
	}
	wantOneTruth(t, dir)

	must(t, dir, nil, "backfill", "start", "--detach", "--token", tokenOf(t, dir, from, to), "app.conversations", "--from", from, "--to", to, "--mode", "all")
	must(t, dir, nil, "backfill", "cancel", "backfill-2", "--reason", "not needed")
	before := contents(t, dir)
	wantRefusal(t, do(t, dir, nil, "backfill", "resume", "backfill-2"), 75, "backfill_ended", "cancelled")
	wantRefusal(t, do(t, dir, nil, "backfill", "retry", "backfill-2"), 75, "backfill_cancelled", "nothing of it starts any more")
	must(t, dir, nil, "run", "--date", to)
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("a cancelled backfill changed something:\n%s", diff)
	}
	if b := backfillOf(t, dir, "backfill-2"); b.Progress[elt.BackfillDayCancelled] != b.Total() || !strings.Contains(b.Says, "not needed") {
		t.Errorf("cancelled, it says %+v", b.Backfill)
	}
}

func tokenOf(t *testing.T, dir, from, to string) string {
	t.Helper()
	return tokenFor(t, dir, "app.conversations", "--from", from, "--to", to, "--mode", "all")
}

// tokenFor plans a backfill and returns the token that starts it.
func tokenFor(t *testing.T, dir string, asked ...string) string {
	t.Helper()
	out := must(t, dir, nil, append([]string{"backfill", "plan"}, asked...)...).out
	_, token, found := strings.Cut(out, "--token ")
	if !found {
		t.Fatalf("no token in\n%s", out)
	}
	return strings.TrimSpace(token)
}
