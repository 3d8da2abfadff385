package ledger_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

func manifest(t testing.TB, lease elt.Lease) *elt.Manifest {
	t.Helper()
	return &elt.Manifest{
		Format: elt.ManifestFormat, Dataset: "shop.users", Date: day("2026-01-05"), Run: "run-1", Attempt: lease.Attempt, Mode: elt.Full,
		Schema: elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}},
		Parts:  []elt.Part{{Key: "part-00000.parquet", Rows: 3, Bytes: 100, SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
		Stats:  elt.TableStats{Rows: 3, Columns: []elt.ColumnStats{{Column: "id", NonNull: 3, Sum: "6", Min: "1", Max: "3"}}},
	}
}

func version(d elt.DatasetName, date elt.Date, run elt.RunID, at string) elt.Version {
	published, err := time.Parse(time.RFC3339, at)
	if err != nil {
		panic(err)
	}
	return elt.Version{ID: elt.NewVersionID(d, run), Dataset: d, Date: date, Run: run, Fence: 1, Rows: 7, PublishedAt: published, Checks: elt.ChecksPassed}
}

func TestManifests(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		_, steps := begin(t, l)
		lease := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		m := manifest(t, lease)
		ok(t, l.SaveManifest(ctx, lease, m))
		ok(t, l.SaveManifest(ctx, lease, m))
		if diff := cmp.Diff(m, must(l.Manifest(ctx, m.ObjectKey()))(t)); diff != "" {
			t.Error(diff)
		}
		_, err := l.Manifest(ctx, "none")
		wantCode(t, err, "manifest_unknown")
		if events := must(l.Events(ctx, 2, 0))(t); len(events) != 1 || events[0].Kind != "manifest.saved" || string(events[0].Detail) != `{"bytes":100,"parts":1,"rows":3}` {
			t.Errorf("events %+v", events)
		}
	})
}

func TestSchemaChanges(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		_, steps := begin(t, l)
		lease := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		m := manifest(t, lease)
		m.Changes = []elt.SchemaChange{{Column: "plan", Kind: elt.ColumnAdded, To: "string"}, {Column: "n", Kind: elt.TypeToText, From: "int64"}}
		m.Quarantined = &elt.QuarantinedRows{Rows: 1, Parts: []elt.Part{{Key: "quarantine-00000.parquet", Rows: 1, Bytes: 9, SHA256: m.Parts[0].SHA256}}}
		ok(t, l.SaveManifest(ctx, lease, m))
		ok(t, l.SaveManifest(ctx, lease, m))
		if diff := cmp.Diff(m, must(l.Manifest(ctx, m.ObjectKey()))(t)); diff != "" {
			t.Error(diff)
		}
		got := must(l.SchemaChanges(ctx, "shop.users", 5))(t)
		if len(got) != 1 || got[0].Run != "run-1" || got[0].Date != m.Date || got[0].Seq == 0 {
			t.Fatalf("changes %+v", got)
		}
		if diff := cmp.Diff(m.Changes, got[0].Changes); diff != "" {
			t.Error(diff)
		}
		if other := must(l.SchemaChanges(ctx, "shop.other", 5))(t); len(other) != 0 {
			t.Errorf("changes of another dataset: %+v", other)
		}
		if events := must(l.Events(ctx, 2, 0))(t); len(events) != 2 || events[1].Kind != "schema.changed" || string(events[0].Detail) != `{"bytes":100,"parts":1,"quarantined":1,"rows":3}` {
			t.Errorf("events %+v", events)
		}
	})
}

func TestVersionsInAnyOrder(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		first := version("shop.users", day("2026-01-05"), "run-1", "2026-01-06T05:00:00.25Z")
		first.Inputs = map[elt.DatasetName]elt.VersionID{"a": "a@run-1"}
		again := version("shop.users", day("2026-01-05"), "run-3", "2026-01-08T05:00:00Z")
		newest := version("shop.users", day("2026-01-06"), "run-2", "2026-01-07T05:00:00Z")
		other := version("revenue", day("2026-01-01"), "run-0", "2026-01-02T05:00:00Z")
		for _, v := range []elt.Version{newest, again, first, other, first} {
			ok(t, l.RecordVersions(ctx, []elt.Version{v}))
		}
		ok(t, l.RecordVersions(ctx, []elt.Version{first, again, newest, other}))
		current := map[elt.DatasetName]elt.Version{"shop.users": newest, "revenue": other}
		if diff := cmp.Diff(current, must(l.Current(ctx))(t)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]elt.Version{again, newest, first}, must(l.Versions(ctx, "shop.users", 0))(t)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]elt.Version{again}, must(l.Versions(ctx, "shop.users", 1))(t)); diff != "" {
			t.Error(diff)
		}
		facts := must(l.Facts(ctx, day("2026-01-05"), day("2026-01-05")))(t)
		if diff := cmp.Diff([]elt.Version{again}, facts.Versions); diff != "" {
			t.Error(diff)
		}
		if n := len(must(l.Events(ctx, 0, 0))(t)); n != 4 {
			t.Errorf("%d events for four versions", n)
		}
		checkInvariants(t, l)
	})
}

func TestFactsBringTheStepsThatMatter(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		date := day("2026-01-05")
		for i, id := range []string{"run-1", "run-2"} {
			run, steps, days := night(id, date.AddDays(i))
			must2(l.CreateRun(ctx, run, steps, days))(t)
		}
		ok(t, l.RecordVersions(ctx, []elt.Version{version("shop.users", date, "run-1", "2026-01-06T05:00:00Z")}))
		facts := must(l.Facts(ctx, date, date))(t)
		got := ids(facts.Steps)
		want := []elt.StepID{"run-1/extract/shop.orders", "run-1/load/shop.orders", "run-1/transform/revenue", "run-1/publish"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		ok(t, l.RecordVersions(ctx, []elt.Version{version("shop.orders", date, "run-1", "2026-01-06T05:00:00Z"), version("revenue", date, "run-0", "2026-01-06T05:00:00Z")}))
		facts = must(l.Facts(ctx, date, date))(t)
		if diff := cmp.Diff([]elt.StepID{"run-1/transform/revenue", "run-1/publish"}, ids(facts.Steps)); diff != "" {
			t.Error(diff)
		}
		if facts.Revision != must(l.Revision(ctx))(t) || facts.Now.IsZero() || len(facts.Days) != 3 || len(facts.Versions) != 3 {
			t.Errorf("facts %+v", facts)
		}
		facts = must(l.Facts(ctx, date.AddDays(9), date.AddDays(10)))(t)
		if len(facts.Days)+len(facts.Steps)+len(facts.Versions) != 0 {
			t.Errorf("facts of dates of which nothing is known: %+v", facts)
		}
	})
}

func ids(steps []elt.Step) (out []elt.StepID) {
	for _, s := range steps {
		out = append(out, s.ID)
	}
	return out
}

func TestTheCatalogue(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		users := elt.Dataset{
			Name: "shop.users", Kind: elt.TableDataset, Schedule: "nightly", Description: "Everybody – ünïcode", Owners: []string{"growth@example.com", "data@example.com"},
			Tags: []string{"pii"}, Columns: []elt.ColumnDoc{{Name: "id", Type: "int64", Tests: []string{"unique"}}}, Relation: "shop.users", Materialized: "full",
			DeadlineTime: "07:00", Zone: "Europe/Berlin",
		}
		revenue := elt.Dataset{Name: "revenue", Kind: elt.ModelDataset, Schedule: "nightly", Inputs: []elt.DatasetName{"shop.users"}, Relation: "analytics.revenue", Zone: "UTC"}
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{users, revenue}))
		if diff := cmp.Diff([]elt.Dataset{revenue, users}, must(l.Datasets(ctx))(t)); diff != "" {
			t.Error(diff)
		}
		before := must(l.Revision(ctx))(t)
		revenue.Owners = []string{}
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{revenue, users}))
		if after := must(l.Revision(ctx))(t); after != before {
			t.Errorf("the same catalogue moved the revision from %d to %d", before, after)
		}
		users.Tags = nil
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{users}))
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{users}))
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{users, revenue}))
		var kinds []string
		for _, e := range must(l.Events(ctx, before, 0))(t) {
			kinds = append(kinds, e.Kind+" "+string(e.Dataset))
		}
		want := []string{"dataset.changed shop.users", "dataset.retired revenue", "dataset.changed revenue"}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTicksAreDecidedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ran := elt.Tick{Schedule: "nightly", Date: day("2026-01-05"), DueAt: day("2026-01-06").Start(time.UTC), Run: "run-1"}
		skipped := elt.Tick{Schedule: "nightly", Date: day("2026-01-06"), DueAt: day("2026-01-07").Start(time.UTC), Skipped: "the process was away"}
		for _, tick := range []elt.Tick{ran, skipped} {
			if !must(l.RecordTick(ctx, tick))(t) || must(l.RecordTick(ctx, tick))(t) {
				t.Errorf("tick %+v was not recorded exactly once", tick)
			}
		}
		if diff := cmp.Diff([]elt.Tick{skipped, ran}, must(l.Ticks(ctx, "nightly", 0))(t)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]elt.Tick{skipped}, must(l.Ticks(ctx, "nightly", 1))(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheAuditTrailIsPaged(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		before := must(l.Revision(ctx))(t)
		for _, action := range []string{"a", "b", "c"} {
			ok(t, l.Audit(ctx, elt.AuditEntry{Actor: "growth@example.com", Action: action, Target: "t", Reason: "r"}))
		}
		if after := must(l.Revision(ctx))(t); after != before+3 {
			t.Errorf("three acts moved the revision from %d to %d", before, after)
		}
		var got []string
		pages := 0
		for next := int64(0); ; pages++ {
			entries, following, err := l.AuditTrail(ctx, next, 2)
			ok(t, err)
			for _, e := range entries {
				got = append(got, e.Action)
			}
			if next = following; next == 0 {
				break
			}
		}
		if diff := cmp.Diff([]string{"c", "b", "a"}, got); diff != "" || pages != 1 {
			t.Errorf("%d pages: %s", pages+1, diff)
		}
	})
}

func TestIncidents(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		in := elt.Incident{
			Cause: "shop.users", Date: day("2026-01-05"), Title: "shop.users failed", Affected: []elt.DatasetName{"revenue", "shop.users"},
			Failure: &elt.Failure{Code: "source_unreachable", Class: elt.Transient, Message: "cut"},
		}
		opened, fresh, err := l.OpenIncident(ctx, in)
		ok(t, err)
		if !fresh || opened.ID == "" || opened.OpenedAt.IsZero() {
			t.Errorf("fresh %v, incident %+v", fresh, opened)
		}
		same, fresh, err := l.OpenIncident(ctx, elt.Incident{Cause: "shop.users", Date: day("2026-01-05"), Title: "again"})
		ok(t, err)
		if diff := cmp.Diff(opened, same); diff != "" || fresh {
			t.Errorf("fresh %v: %s", fresh, diff)
		}
		must2(l.OpenIncident(ctx, elt.Incident{Cause: "shop.users", Date: day("2026-01-06")}))(t)

		opened.AcknowledgedBy, opened.Affected, opened.Failure = "growth@example.com", []elt.DatasetName{"shop.users"}, nil
		ok(t, l.UpdateIncident(ctx, opened))
		before := must(l.Revision(ctx))(t)
		ok(t, l.UpdateIncident(ctx, opened))
		if after := must(l.Revision(ctx))(t); after != before {
			t.Errorf("the same update moved the revision from %d to %d", before, after)
		}
		ok(t, l.ResolveIncident(ctx, opened.ID))
		ok(t, l.ResolveIncident(ctx, opened.ID))
		wantCode(t, l.UpdateIncident(ctx, opened), "incident_resolved")
		wantCode(t, l.ResolveIncident(ctx, "none"), "incident_unknown")
		if open := must(l.Incidents(ctx, true, 0))(t); len(open) != 1 || open[0].Date != day("2026-01-06") {
			t.Errorf("open incidents %+v", open)
		}
		all := must(l.Incidents(ctx, false, 0))(t)
		if len(all) != 2 || all[1].ID != opened.ID || all[1].ResolvedAt.IsZero() || all[1].AcknowledgedBy != "growth@example.com" || len(all[1].Affected) != 1 || all[1].Failure != nil {
			t.Errorf("incidents %+v", all)
		}
		again, fresh, err := l.OpenIncident(ctx, in)
		ok(t, err)
		if !fresh || again.ID == opened.ID {
			t.Errorf("fresh %v, incident %+v", fresh, again)
		}
	})
}

// Asking for what is so already is free: it waits for no disk.
func TestNothingNewIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, "sqlite:"+path)
	run, steps, days := night("run-1", day("2026-01-05"))
	tick := elt.Tick{Schedule: "nightly", Date: run.Date, DueAt: day("2026-01-06").Start(time.UTC), Run: run.ID}
	ask := func() {
		t.Helper()
		ok(t, l.SyncDatasets(t.Context(), []elt.Dataset{{Name: "revenue"}}))
		must2(l.CreateRun(t.Context(), run, steps, days))(t)
		ok(t, l.ExpectDays(t.Context(), days))
		ok(t, l.RecordVersions(t.Context(), []elt.Version{version("revenue", run.Date, run.ID, "2026-01-06T05:00:00Z")}))
		must(l.RecordTick(t.Context(), tick))(t)
		must(l.ReleaseLeases(t.Context()))(t)
		ok(t, l.BlockSteps(t.Context(), nil))
	}
	ask()
	before := must(os.Stat(path + "-wal"))(t)
	ask()
	if after := must(os.Stat(path + "-wal"))(t); after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the write-ahead log grew from %d to %d bytes", before.Size(), after.Size())
	}
}

func TestInputsOfAnyName(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		v := version("revenue", day("2026-01-05"), "run-1", "2026-01-06T05:00:00Z")
		v.Inputs = map[elt.DatasetName]elt.VersionID{"shop.users": "shop.users@run-1", `a "quoted" \ <name>`: "{}", "": ""}
		ok(t, l.RecordVersions(t.Context(), []elt.Version{v}))
		if diff := cmp.Diff([]elt.Version{v}, must(l.Versions(t.Context(), "revenue", 0))(t)); diff != "" {
			t.Error(diff)
		}
	})
}
