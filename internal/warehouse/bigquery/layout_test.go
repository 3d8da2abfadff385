package bigquery

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

// clicks is a day of clicks, each an id and an instant of the 5th or a later day of January 2026.
func clicks(t testing.TB, run elt.RunID, mode elt.Mode, at ...string) warehousetest.Day {
	t.Helper()
	m := elt.Manifest{
		Dataset: "shop.users", Run: run, Date: elt.Date{Year: 2026, Month: 1, Day: 5}, Attempt: 1, Mode: mode, Key: []string{"id"},
		Schema: elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "at", Type: elt.Type{Kind: elt.Timestamp}}},
	}
	if mode == elt.Incremental {
		m.Cursor = "at"
		m.Range = &elt.CursorRange{From: warehousetest.Micros(t, "2026-01-05 00:00:00"), To: warehousetest.Micros(t, "2026-01-06 00:00:00")}
	}
	rows := make([]warehousetest.Row, len(at))
	for i, a := range at {
		rows[i] = warehousetest.Row{int64(i), warehousetest.Micros(t, a)}
	}
	return warehousetest.NewDay(t, t.TempDir(), m, rows)
}

// benchOf is a warehouse whose table is arranged like this.
func benchOf(t testing.TB, o Options, l *elt.Layout) bench {
	t.Helper()
	o.Layout = func(elt.DatasetName) elt.Layout { return *l }
	server := bigquerytest.New(t)
	return bench{Warehouse: open(t, server, o), server: server}
}

// jobs returns what the jobs since the nth request were asked to do.
func (b bench) jobs(n int) (out []*bq.JobConfiguration) {
	for _, r := range b.server.Requests()[n:] {
		if r.Config != nil {
			out = append(out, r.Config)
		}
	}
	return out
}

func (b bench) queries(n int) (out []string) {
	for _, c := range b.jobs(n) {
		if c.Query != nil {
			out = append(out, c.Query.Query)
		}
	}
	return out
}

// TestPrunedMerge: a merge names the partitions that hold its keys as constants, and no others.
func TestPrunedMerge(t *testing.T) {
	l := elt.Layout{PartitionBy: "at", Granularity: elt.ByDay}
	b := benchOf(t, Options{}, &l)
	b.stageDay(t, clicks(t, firstNight, elt.Full, "2026-01-05 01:00:00", "2026-01-06 01:00:00", "2026-01-08 01:00:00", "2026-01-11 01:00:00"))
	b.publishDay(t, firstNight, 1, "")
	b.stageDay(t, clicks(t, secondNight, elt.Incremental, "2026-01-09 01:00:00", "2026-01-06 01:00:00", "2026-01-08 01:00:00"))
	n := len(b.server.Requests())
	b.publishDay(t, secondNight, 2, elt.Merge)
	const want = "(p.`at` >= TIMESTAMP '2026-01-05 00:00:00.000000+00' AND p.`at` < TIMESTAMP '2026-01-07 00:00:00.000000+00'" +
		" OR p.`at` >= TIMESTAMP '2026-01-08 00:00:00.000000+00' AND p.`at` < TIMESTAMP '2026-01-09 00:00:00.000000+00')"
	merged := slices.DeleteFunc(b.queries(n), func(q string) bool { return !strings.Contains(q, "MERGE INTO") })
	if len(merged) != 1 || !strings.Contains(merged[0], "ON "+want+" AND ") {
		t.Errorf("merged by %s\nwithout %s", merged, want)
	}
	if got := b.server.Rows(t, "SELECT id, CAST(\"at\" AS DATE) FROM "+b.Published("shop.users")+" ORDER BY id"); !slices.Equal(got, []string{"0|2026-01-09", "1|2026-01-06", "2|2026-01-08", "3|2026-01-11"}) {
		t.Errorf("published rows %v", got)
	}
}

// TestMergeOfAnotherTable: what was published between measuring and merging could lie in other partitions: the merge is
// not done.
func TestMergeOfAnotherTable(t *testing.T) {
	l := elt.Layout{PartitionBy: "at", Granularity: elt.ByDay}
	b := benchOf(t, Options{}, &l)
	b.stageDay(t, clicks(t, firstNight, elt.Full, "2026-01-05 01:00:00"))
	b.publishDay(t, firstNight, 1, "")
	b.stageDay(t, clicks(t, secondNight, elt.Incremental, "2026-01-05 02:00:00"))
	item := publication(secondNight, 2, elt.Merge)
	_, plans, err := b.plan(t.Context(), item)
	if err != nil {
		t.Fatal(err)
	}
	script, err := b.script(t.Context(), item, plans)
	if err != nil {
		t.Fatal(err)
	}
	between := elt.RunID("nightly-2026-01-07")
	b.stageDay(t, clicks(t, between, elt.Incremental, "2026-01-09 02:00:00"))
	b.publishDay(t, between, 2, elt.Merge)
	_, _, err = b.execute(t.Context(), statement{what: "merge", step: "publish", sql: script})
	if err == nil || !strings.Contains(err.Error(), recordedMark) {
		t.Errorf("the merge ended with %v, want %s", err, recordedMark)
	}
}

// TestPartitionCopied: a night that is one whole partition is copied over it, which is free; any other is not.
func TestPartitionCopied(t *testing.T) {
	for name, c := range map[string]struct {
		together bool
		widen    bool
		copied   bool
	}{
		"one day":                 {false, false, true},
		"one day, together":       {true, false, false},
		"more than one partition": {false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := elt.Layout{PartitionBy: "at", Granularity: elt.ByDay, ReplacePartitions: true}
			b := benchOf(t, Options{Together: c.together}, &l)
			b.stageDay(t, clicks(t, firstNight, elt.Full, "2026-01-05 01:00:00", "2026-01-05 02:00:00", "2026-01-06 01:00:00"))
			b.publishDay(t, firstNight, 1, "")
			d := clicks(t, secondNight, elt.Incremental, "2026-01-05 03:00:00")
			if c.widen {
				d.Range.From -= 1
			}
			b.stageDay(t, d)
			item := publication(secondNight, 2, elt.Replace)
			item.Items[0].Cursor, item.Items[0].Range = d.Cursor, d.Range
			n := len(b.server.Requests())
			if _, err := b.Publish(t.Context(), item); err != nil {
				t.Fatal(err)
			}
			copied := slices.ContainsFunc(b.jobs(n), func(c *bq.JobConfiguration) bool {
				return c.Copy != nil && c.Copy.DestinationTable.TableId == "users$20260105" && strings.HasSuffix(c.Copy.SourceTables[0].TableId, "$20260105")
			})
			if copied != c.copied {
				t.Errorf("copied by decorator: %v, want %v", copied, c.copied)
			}
			if got := b.server.Rows(t, "SELECT id, CAST(\"at\" AS VARCHAR) FROM "+b.Published("shop.users")+" ORDER BY 2"); !slices.Equal(got, []string{"0|2026-01-05 03:00:00+00", "2|2026-01-06 01:00:00+00"}) {
				t.Errorf("published rows %v", got)
			}
		})
	}
}

// TestRebuildCrash: a table that is made anew because its layout changed survives a process that dies at each step, and
// has every row once.
func TestRebuildCrash(t *testing.T) {
	for _, strategy := range []elt.Strategy{elt.Merge, elt.Append} {
		for step, died := range map[string][]bigquerytest.Fault{
			"making it":  {{Method: insert, Job: "daybreak_publish", Status: 400, Reason: "invalid"}},
			"dropping":   {{Method: "bigquery.tables.delete", Status: 400, Reason: "invalid"}},
			"the copy":   {{Method: insert, Job: puts}, {Method: insert, Job: puts, Status: 400, Reason: "invalid"}},
			"the record": {{Method: insert, Job: puts, Times: 2}, {Method: insert, Job: puts, Status: 400, Reason: "invalid"}},
			"its answer": {{Method: insert, Job: puts, Times: 2}, {Method: insert, Job: puts, Lost: true}},
			"nothing":    nil,
		} {
			t.Run(fmt.Sprintf("%s/%s", strategy, step), func(t *testing.T) {
				var l elt.Layout
				b := benchOf(t, Options{}, &l)
				b.stageDay(t, clicks(t, firstNight, elt.Full, "2026-01-05 01:00:00", "2026-01-06 01:00:00"))
				b.publishDay(t, firstNight, 1, "")
				l = elt.Layout{PartitionBy: "at", Granularity: elt.ByDay}
				b.stageDay(t, clicks(t, secondNight, elt.Incremental, "2026-01-05 02:00:00"))
				p := publication(secondNight, 2, strategy)
				b.server.Inject(died...)
				_, err := b.Publish(t.Context(), p)
				if fails := died != nil && step != "its answer"; fails != (err != nil) {
					t.Fatalf("error %v", err)
				}
				if b.server.Pending() != 0 {
					t.Fatal("a fault was not met")
				}
				p.Fence = 3
				if _, err := b.Publish(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				want := []string{"0|2026-01-05 02:00:00+00", "1|2026-01-06 01:00:00+00"}
				if strategy == elt.Append {
					want = append([]string{"0|2026-01-05 01:00:00+00"}, want...)
				}
				if got := b.server.Rows(t, "SELECT id, CAST(\"at\" AS VARCHAR) FROM "+b.Published("shop.users")+" ORDER BY id, 2"); !slices.Equal(got, want) {
					t.Errorf("published rows %v, want %v", got, want)
				}
				md, err := b.published("shop.users").Metadata(t.Context())
				if err != nil || layoutOf(md).PartitionBy != "at" {
					t.Errorf("the table is %s, %v", layoutOf(md), err)
				}
			})
		}
	}
}

// TestPublishedGone: rows cannot be merged into a table that somebody dropped, and the error says how to bring it back.
func TestPublishedGone(t *testing.T) {
	b := newBench(t, Options{})
	b.stageDay(t, day(t, secondNight, elt.Incremental, 2, "new"))
	b.server.Exec(t, "DROP TABLE "+b.Published("shop.users"))
	_, err := b.Publish(t.Context(), publication(secondNight, 2, elt.Merge))
	if f := elt.NewFailure(err); f == nil || f.Code != "published_gone" || f.Do == "" {
		t.Errorf("error %+v, want published_gone", f)
	}
}

func TestLayoutRefused(t *testing.T) {
	l := elt.Layout{PartitionBy: "id", Granularity: elt.ByDay}
	b := benchOf(t, Options{}, &l)
	d := clicks(t, firstNight, elt.Full, "2026-01-05 01:00:00")
	_, err := b.Stage(t.Context(), d.Run, d.Manifest, "shop.users", d.Files, func(int64) {})
	if f := elt.NewFailure(err); f == nil || f.Code != "layout_invalid" || !strings.Contains(f.Message, "id") {
		t.Errorf("error %+v, want layout_invalid", f)
	}
}
