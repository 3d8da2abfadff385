package duckdb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// TestKilled kills a process that publishes night after night, at random moments, and looks at what it left:
// each time the warehouse and the read copy show one whole night, never an older one than before.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	last, lastCopy := 0, 0
	for range 12 {
		cmd, out := child(t, "nights", dir)
		// Let it begin a night or a few, then kill it somewhere within one.
		for range 1 + rand.IntN(3) {
			if !out.Scan() {
				t.Fatalf("the child ended by itself: %v", cmd.Wait())
			}
		}
		timer := time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() {
			if err := cmd.Process.Kill(); err != nil {
				t.Errorf("kill: %v", err)
			}
		})
		for out.Scan() { // until the pipe closes with the process
		}
		timer.Stop()
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended by itself: %v", err)
		}
		copied := nightOfCopy(t, optionsIn(dir).ReadPath)
		w, err := Open(t.Context(), optionsIn(dir))
		if err != nil {
			t.Fatalf("open after a kill: %v", err)
		}
		night := wholeNight(t, func(query string) []string { return rowsOf(t, w, query) })
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if night < last || copied < lastCopy || copied > night {
			t.Fatalf("night %d after %d, read copy %d after %d", night, last, copied, lastCopy)
		}
		last, lastCopy = night, copied
	}
	if last == 0 {
		t.Error("no night was ever published")
	}
}

// TestReadersSeeWholeNights opens the read copy again and again while nights are being published.
func TestReadersSeeWholeNights(t *testing.T) {
	dir := t.TempDir()
	w := open(t, optionsIn(dir))
	if err := publishNight(t.Context(), w, 1, 1000); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	const nights = 15
	go func() {
		for n := 2; n <= nights; n++ {
			if err := publishNight(t.Context(), w, n, 1000); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for last := 1; ; {
		night := nightOfCopy(t, optionsIn(dir).ReadPath)
		if night < last {
			t.Fatalf("the read copy went back from night %d to %d", last, night)
		}
		last = night
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if got := nightOfCopy(t, optionsIn(dir).ReadPath); got != nights {
				t.Errorf("the read copy shows night %d, want %d", got, nights)
			}
			return
		default:
		}
	}
}

// TestAReaderIsNeverLockedOut: whoever has the read copy open goes on asking it while nights are published and one is
// rolled back, and sees the night that it opened; whoever opens it anew sees the last.
func TestAReaderIsNeverLockedOut(t *testing.T) {
	dir := t.TempDir()
	w := open(t, optionsIn(dir))
	for n := 1; n < 7; n += 2 {
		if err := publishNight(t.Context(), w, n, 1000); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReadOnly(t.Context(), optionsIn(dir).ReadPath)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- publishAndRollBack(t.Context(), w, n+1) }()
		for published := false; !published; {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				published = true
			default:
			}
			if got := readerRows(t, r, "SELECT min(night) || ' ' || max(night) FROM shop.users"); got[0] != fmt.Sprintf("%d %[1]d", n) {
				t.Fatalf("the reader of night %d sees %v", n, got)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := OpenReadOnly(t.Context(), optionsIn(dir).ReadPath)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%d %d", n, n+1)
		if got := readerRows(t, again, "SELECT (SELECT max(night) FROM shop.users) || ' ' || (SELECT max(night) FROM shop.orders)"); got[0] != want {
			t.Errorf("opened anew, the copy shows users and orders of %v, want %s", got, want)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// publishAndRollBack publishes a night, and then brings shop.users back to the night before.
func publishAndRollBack(ctx context.Context, w *Warehouse, n int) error {
	if err := publishNight(ctx, w, n, 1000); err != nil {
		return err
	}
	run := elt.RunID(fmt.Sprintf("back-%d", n))
	_, err := w.Restore(ctx, elt.Restoration{
		Version: elt.Version{
			ID: elt.NewVersionID("shop.users", run), Dataset: "shop.users", Date: elt.Date{Year: 2026, Month: 1, Day: 1}, Run: run,
			Restores: elt.NewVersionID("shop.users", elt.RunID(fmt.Sprintf("night-%d", n-1))),
		},
		Fence: int64(n), Relation: "shop.users",
	})
	return err
}

// TestSecondProcess: another process is told which process has the file, also after a read copy was made.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	cmd, out := child(t, "hold", dir)
	if !out.Scan() {
		t.Fatalf("the child did not open: %v", cmd.Wait())
	}
	_, err := Open(t.Context(), optionsIn(dir))
	wantLocked(t, err, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}

	w := open(t, optionsIn(dir)) // a killed holder's lock is gone
	if err := publishNight(t.Context(), w, 1, 10); err != nil {
		t.Fatal(err)
	}
	second := exec.CommandContext(t.Context(), os.Args[0])
	second.Env = append(second.Environ(), childEnv+"=hold:"+dir)
	text, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(text), "has it open") {
		t.Errorf("a second process opened the warehouse after its read copy was made: %v, %s", err, text)
	}
}

func wantLocked(t *testing.T, err error, pid int) {
	t.Helper()
	f := elt.NewFailure(err)
	if f == nil || f.Code != "warehouse_locked" || f.Class != elt.Conflict {
		t.Fatalf("error %v, want warehouse_locked", err)
	}
	if strings.Contains(f.Message, "http") {
		t.Errorf("message %q is more than a sentence", f.Message)
	}
	if want := "process " + strconv.Itoa(pid); !strings.Contains(f.Message, want) || !strings.Contains(f.Do, want) {
		t.Errorf("message %q, advice %q: want both to name %s", f.Message, f.Do, want)
	}
}

// TestDiskFull fills the warehouse's disk in a child process, and reads what it left.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	role := "fill"
	if !smallDisk(t, dir) {
		role = "fill-limited"
	}
	cmd, out := child(t, role, dir)
	var said []string
	for out.Scan() {
		said = append(said, out.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("child: %v after %q", err, said)
	}
	refused := 0
	for _, line := range said {
		if code, ok := strings.CutPrefix(line, "refused "); ok {
			refused++
			if code != "disk_full" {
				t.Errorf("refused with code %q, want disk_full", code)
			}
		}
	}
	if refused == 0 || said[len(said)-1] != "rows 100" {
		t.Errorf("said %q, want refusals and then the rows of night 1", said)
	}
	w, err := Open(t.Context(), optionsIn(dir))
	if err != nil {
		t.Fatalf("open after the disk was full: %v", err)
	}
	defer w.Close()
	if got := wholeNight(t, func(query string) []string { return rowsOf(t, w, query) }); got != 1 {
		t.Errorf("night %d is published, want 1", got)
	}
	if got := nightOfCopy(t, optionsIn(dir).ReadPath); got != 1 {
		t.Errorf("the read copy shows night %d, want 1", got)
	}
}
