package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// few is how many rows most tests make: enough for every shape of data, quickly.
const few = 6000

var (
	today = elt.Date{Year: 2026, Month: time.November, Day: 21}
	zones = []string{"UTC", "Europe/Dublin", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati"}
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func create(t *testing.T, o Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	if err := Create(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

// digest returns the checksum of every file below dir.
func digest(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		sum := sha256.Sum256(b)
		out[name] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func query(t *testing.T, dir, q string) (n int64) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "production.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(q).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

func TestSameSeedSameBytes(t *testing.T) {
	o := Options{Seed: 7, Today: today, Zone: zone(t, "Europe/Dublin"), Rows: few}
	a, b := digest(t, create(t, o)), digest(t, create(t, o))
	if a["state/mask.key"] == b["state/mask.key"] {
		t.Error("two workspaces share a mask key")
	}
	delete(a, "state/mask.key")
	delete(b, "state/mask.key")
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error("the same seed made other files:", diff)
	}
	o.Seed++
	if c := digest(t, create(t, o)); c["production.db"] == a["production.db"] {
		t.Error("another seed made the same database")
	}
}

func TestFullSize(t *testing.T) {
	w, err := imagine(1, today, time.UTC, Rows)
	if err != nil {
		t.Fatal(err)
	}
	if n := w.rows(); n < 285_000 || n > 315_000 {
		t.Errorf("%d rows, expected about %d", n, Rows)
	}
	if len(w.parts)*2 < w.rows() {
		t.Errorf("%d of %d rows are message parts, expected most of them", len(w.parts), w.rows())
	}
}

func TestCreateReportsProgress(t *testing.T) {
	var last, total int
	dir := create(t, Options{Today: today, Rows: few, Progress: func(done, of int) {
		if done < last {
			t.Errorf("progress went back from %d to %d", last, done)
		}
		last, total = done, of
	}})
	var rows int64
	for _, table := range []string{"companies", "users", "conversations", "message_parts", "subscriptions", "invoices"} {
		n := query(t, dir, "SELECT count(*) FROM "+table)
		if n == 0 {
			t.Errorf("table %s is empty", table)
		}
		rows += n
	}
	if last != total || int64(total) != rows {
		t.Errorf("progress ended at %d of %d, the tables hold %d rows", last, total, rows)
	}
}

func TestIntegrity(t *testing.T) {
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			dir := create(t, Options{Seed: 3, Today: today, Zone: zone(t, name), Rows: few})
			end := today.Start(zone(t, name)).UTC().Format("2006-01-02T15:04:05.000Z")
			for what, q := range map[string]string{
				"conversations without a company":        orphan("conversations", "company_id", "companies"),
				"conversations without a contact":        orphan("conversations", "user_id", "users"),
				"conversations of an unknown agent":      orphan("conversations", "assignee_id", "users"),
				"parts without a conversation":           orphan("message_parts", "conversation_id", "conversations"),
				"parts of an unknown author":             orphan("message_parts", "author_id", "users"),
				"subscriptions without a company":        orphan("subscriptions", "company_id", "companies"),
				"invoices without a subscription":        orphan("invoices", "subscription_id", "subscriptions"),
				"parts before their conversation":        "SELECT count(*) FROM message_parts p JOIN conversations c ON c.id = p.conversation_id WHERE p.created_at < c.created_at",
				"conversations older than their contact": "SELECT count(*) FROM conversations c JOIN users u ON u.id = c.user_id WHERE c.created_at < u.created_at",
				"parts newer than their conversation":    "SELECT count(*) FROM message_parts p JOIN conversations c ON c.id = p.conversation_id WHERE p.created_at > c.updated_at",
				"invoices that do not add up":            "SELECT count(*) FROM invoices WHERE round(100 * (subtotal + tax - total)) <> 0",
				"paid invoices without a date":           "SELECT count(*) FROM invoices WHERE (status = 'paid') <> (paid_at IS NOT NULL)",
			} {
				if n := query(t, dir, q); n != 0 {
					t.Errorf("%d %s", n, what)
				}
			}
			for _, table := range []string{"companies", "users", "conversations", "message_parts", "subscriptions", "invoices"} {
				if n := query(t, dir, "SELECT count(*) FROM "+table+" WHERE updated_at >= '"+end+"' OR updated_at < created_at"); n != 0 {
					t.Errorf("%d rows of %s were updated today, or before they were created", n, table)
				}
			}
		})
	}
}

func orphan(child, column, parent string) string {
	return "SELECT count(*) FROM " + child + " c LEFT JOIN " + parent + " p ON p.id = c." + column +
		" WHERE p.id IS NULL AND c." + column + " IS NOT NULL"
}

// TestLooksLikeProduction holds what the demo promises to show: gaps, NULLs, scripts, currencies, late updates.
func TestLooksLikeProduction(t *testing.T) {
	dir := create(t, Options{Seed: 1, Today: today, Zone: zone(t, "Europe/Dublin"), Rows: 40_000})
	for what, q := range map[string]string{
		"deleted companies":                     "SELECT max(id) - count(*) FROM companies",
		"deleted subscriptions":                 "SELECT max(id) - count(*) FROM subscriptions",
		"users of a deleted company":            orphan("users", "company_id", "companies"),
		"users without a name":                  "SELECT count(*) FROM users WHERE name IS NULL",
		"conversations without a rating":        "SELECT count(*) FROM conversations WHERE rating IS NULL",
		"ten scripts or more in names":          "SELECT count(DISTINCT unicode(name) / 256) > 6 FROM users",
		"messages outside of Latin":             "SELECT count(*) FROM message_parts WHERE unicode(body) > 12000",
		"eight currencies or more":              "SELECT count(DISTINCT currency) >= 8 FROM invoices",
		"time zones off the full hour":          "SELECT count(*) FROM companies WHERE time_zone IN ('Asia/Kathmandu', 'Asia/Kolkata', 'America/St_Johns')",
		"conversations updated days later":      "SELECT count(*) FROM conversations WHERE julianday(updated_at) - julianday(created_at) > 3",
		"invoices paid weeks later":             "SELECT count(*) FROM invoices WHERE julianday(paid_at) - julianday(created_at) > 14",
		"messages edited a day later":           "SELECT count(*) FROM message_parts WHERE julianday(updated_at) - julianday(created_at) > 1",
		"fewer conversations on Sundays":        "SELECT sum(strftime('%w', created_at) = '0') * 3 < sum(strftime('%w', created_at) = '2') FROM conversations",
		"a tenth of customers is half the load": "SELECT (SELECT sum(n) FROM (SELECT count(*) n FROM conversations GROUP BY company_id ORDER BY n DESC LIMIT (SELECT count(*) / 10 FROM companies))) * 2 > (SELECT count(*) FROM conversations)",
		"something happened yesterday":          "SELECT count(*) FROM message_parts WHERE created_at > '2026-11-20T12:00'",
		"money stays a decimal of two places":   "SELECT count(*) > 0 AND sum(abs(100 * total - round(100 * total)) > 1e-6) = 0 FROM invoices",
	} {
		if query(t, dir, q) < 1 {
			t.Errorf("there are no %s", what)
		}
	}
}

func TestSecondCreateChangesNothing(t *testing.T) {
	dir := create(t, Options{Seed: 1, Today: today, Rows: few})
	before := digest(t, dir)
	err := Create(t.Context(), dir, Options{Seed: 2, Today: today.AddDays(1), Rows: few})
	if !errors.Is(err, ErrExists) {
		t.Fatalf("got %v, expected ErrExists", err)
	}
	if diff := cmp.Diff(before, digest(t, dir)); diff != "" {
		t.Error("the workspace changed:", diff)
	}
	w, err := Open(dir)
	if want := (Workspace{Seed: 1, Today: today, Zone: "UTC", Rows: few, Complete: true}); err != nil || w != want {
		t.Errorf("Open says %+v, %v; expected %+v", w, err, want)
	}
}

func TestForeignFolderIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.md"), []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := digest(t, dir)
	var e *elt.Error
	if err := Create(t.Context(), dir, Options{Today: today, Rows: few}); !errors.As(err, &e) || e.Code != "demo_dir_taken" {
		t.Errorf("got %v, expected demo_dir_taken", err)
	}
	if diff := cmp.Diff(before, digest(t, dir)); diff != "" {
		t.Error("the folder changed:", diff)
	}
}

// TestInterruptedCreateIsFinished stops Create at many moments; what is left never looks like a database, and the
// next call ends with the workspace that an undisturbed one makes.
func TestInterruptedCreateIsFinished(t *testing.T) {
	o := Options{Seed: 5, Today: today, Rows: few}
	want := digest(t, create(t, o))
	for _, moment := range []int{0, 1, 500, 3000, 5500} {
		dir := filepath.Join(t.TempDir(), "demo")
		ctx, cancel := context.WithCancel(t.Context())
		stopped := o
		stopped.Progress = func(done, _ int) {
			if done >= moment {
				cancel()
			}
		}
		if err := Create(ctx, dir, stopped); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped after %d rows: got %v", moment, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "production.db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("stopped after %d rows: there is half a database (%v)", moment, err)
		}
		// A process that is killed also leaves its unfinished file behind.
		if err := os.WriteFile(filepath.Join(dir, "production.db.unfinished"), bytes.Repeat([]byte{7}, 9999), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Create(t.Context(), dir, o); err != nil {
			t.Fatal(err)
		}
		got := digest(t, dir)
		got["state/mask.key"] = want["state/mask.key"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("stopped after %d rows and made again: %s", moment, diff)
		}
	}
}

func TestZoneNeedsAName(t *testing.T) {
	var e *elt.Error
	for _, loc := range []*time.Location{time.Local, time.FixedZone("somewhere", 3600)} {
		if err := Create(t.Context(), filepath.Join(t.TempDir(), "demo"), Options{Today: today, Zone: loc}); !errors.As(err, &e) || e.Code != "demo_zone_unnamed" {
			t.Errorf("zone %s: got %v, expected demo_zone_unnamed", loc, err)
		}
	}
}

func TestBrokenMarkerIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, marker), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	var e *elt.Error
	if err := Create(t.Context(), dir, Options{Today: today, Rows: few}); !errors.As(err, &e) || e.Code != "demo_marker_broken" {
		t.Errorf("got %v, expected demo_marker_broken", err)
	}
}

// TestModelsAreReproducible keeps clocks out of the models: a night run again must give the same rows.
func TestModelsAreReproducible(t *testing.T) {
	err := fs.WalkDir(workspace, "workspace/sql", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := workspace.ReadFile(name)
		for _, word := range []string{"now()", "current_date", "current_timestamp", "today()", "random()"} {
			if strings.Contains(strings.ToLower(string(b)), word) {
				t.Errorf("%s uses %s", name, word)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
