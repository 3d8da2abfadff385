package extract_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// catalog is a source that has a catalog and, for each table, a fixed number of rows of its first column.
type catalog struct {
	tables map[string]extract.TableInfo
	opened int
	closed int
	covers [][]string
	// fail, when set, is asked before a table is read in the snapshot of that number.
	fail func(table string, snapshot int) error
	lie  int64 // added to the number of rows that are reported
	// otherRows is added to the number of rows in the source's own digest.
	otherRows int64
}

func (c *catalog) Open(_ context.Context, tables []elt.Extraction) (extract.Snapshot, error) {
	c.opened++
	c.covers = append(c.covers, nil)
	for _, e := range tables {
		c.covers[c.opened-1] = append(c.covers[c.opened-1], e.Table)
	}
	return &view{c, c.opened}, nil
}

func (c *catalog) Describe(_ context.Context, table string) (extract.TableInfo, error) {
	info, ok := c.tables[table]
	if !ok {
		return info, &elt.Error{Code: "table_missing", Class: elt.Config, What: "no table " + table, Do: "correct it"}
	}
	return info, nil
}

func (c *catalog) Tables(context.Context) ([]extract.TableInfo, error) { return nil, nil }
func (c *catalog) Close() error                                        { return nil }

type view struct {
	of     *catalog
	number int
}

func (v *view) Position() elt.SourcePosition {
	return elt.SourcePosition{Server: "catalog", Snapshot: fmt.Sprint(v.number), TakenAt: time.Date(2026, 1, 6, 1, 0, 0, 0, time.UTC)}
}

func (v *view) Describe(ctx context.Context, table string) (extract.TableInfo, error) {
	return v.of.Describe(ctx, table)
}

func (v *view) Read(_ context.Context, r extract.Request, to *parquet.Writer) (int64, error) {
	if v.of.fail != nil {
		if err := v.of.fail(r.Extraction.Table, v.number); err != nil {
			return 0, err
		}
	}
	b := to.Batch()
	for range 3 {
		for _, c := range b.Columns {
			c.AppendNull()
		}
		b.EndRow(8)
	}
	if r.Facts.Digest {
		d := parquet.NewSourceDigest(r.Columns, r.Facts.Unlike)
		d.Add(b)
		sum := d.Sum()
		sum.Rows += v.of.otherRows
		r.Facts.Rows(sum)
	}
	return 3 + v.of.lie, nil
}

func (v *view) Close() error { v.of.closed++; return nil }

func column(name string, kind elt.Kind) elt.Column {
	return elt.Column{Name: name, Type: elt.Type{Kind: kind}, SourceType: string(kind)}
}

func newCatalog(names ...string) *catalog {
	c := &catalog{tables: make(map[string]extract.TableInfo)}
	for _, n := range names {
		c.tables[n] = extract.TableInfo{Name: n, Rows: 3, Columns: elt.Schema{column("id", elt.Int64)}, Key: []string{"id"}}
	}
	return c
}

func nothing(elt.Progress) {}

func TestNightSharesOneSnapshot(t *testing.T) {
	c := newCatalog("a", "b", "c")
	a, b, d := extracttest.Table("a"), extracttest.Table("b"), extracttest.Table("c")
	lost := &elt.Error{Code: extract.CodeConnectionLost, Class: elt.Transient, What: "cut", Do: "nothing"}
	conflict := &elt.Error{Code: "source_replica_conflict", Class: elt.Transient, What: "cancelled", Do: "nothing"}
	bad := &elt.Error{Code: "value_not_representable", Class: elt.Data, What: "NaN", Do: "correct it"}
	for name, test := range map[string]struct {
		remaining  []elt.Extraction
		fail       func(string, int) error
		order      []elt.Extraction
		snapshots  string // of the tables that were read, in order; "-" for one that failed
		consistent string
	}{
		"undisturbed": {[]elt.Extraction{a, b, d}, nil, []elt.Extraction{a, b, d}, "111", "yyy"},
		"taken up":    {[]elt.Extraction{b, d}, nil, []elt.Extraction{b, d}, "11", "nn"},
		"lost": {[]elt.Extraction{a, b, d}, func(table string, n int) error {
			if table == "b" && n == 1 {
				return lost
			}
			return nil
		}, []elt.Extraction{a, b, d}, "122", "ynn"},
		"lost for good": {[]elt.Extraction{a, b, d}, func(table string, n int) error {
			if table == "b" && n < 4 {
				return lost
			}
			return nil
		}, []elt.Extraction{a, b, b, d}, "1-44", "y-nn"},
		"in the way of a replica": {[]elt.Extraction{a, b, d}, func(table string, n int) error {
			if table == "b" && n < 3 {
				return conflict
			}
			return nil
		}, []elt.Extraction{a, b, d}, "133", "ynn"},
		"one table only": {[]elt.Extraction{a, b, d}, func(table string, n int) error {
			if table == "a" && n == 1 {
				return bad
			}
			return nil
		}, []elt.Extraction{a, b, a, d}, "-122", "-ynn"},
		"interrupted": {[]elt.Extraction{a, b, d}, func() func(string, int) error {
			interrupted := false
			return func(string, int) error {
				if interrupted {
					return nil
				}
				interrupted = true
				return context.Canceled
			}
		}(), []elt.Extraction{a, a, b, d}, "-111", "-yyy"},
		"a table that nobody announced": {[]elt.Extraction{a, b}, nil, []elt.Extraction{a, d, b}, "122", "nnn"},
	} {
		t.Run(name, func(t *testing.T) {
			*c = *newCatalog("a", "b", "c")
			c.fail = test.fail
			night := extracttest.New(t, c, &extracttest.Lake{}).Begin("r1", []elt.Extraction{a, b, d}, test.remaining)
			if c.opened != 0 {
				t.Error("the source was opened before anything was read")
			}
			snapshots, consistent := "", ""
			for i, e := range test.order {
				m, err := night.Extract(t.Context(), extracttest.Job(e, i), nothing)
				if err != nil {
					snapshots, consistent = snapshots+"-", consistent+"-"
					continue
				}
				snapshots += m.Source.Snapshot
				consistent += map[bool]string{true: "y", false: "n"}[m.Source.CrossTableConsistent]
			}
			if snapshots != test.snapshots || consistent != test.consistent {
				t.Errorf("tables were read in the snapshots %s, expected %s, consistent %s, expected %s", snapshots, test.snapshots, consistent, test.consistent)
			}
			if c.closed != c.opened {
				t.Errorf("%d of %d snapshots were let go after the last table", c.closed, c.opened)
			}
			if err := night.Close(); err != nil || c.closed != c.opened {
				t.Errorf("closing the night: %v, %d of %d let go", err, c.closed, c.opened)
			}
			_, err := night.Extract(t.Context(), extracttest.Job(a, 9), nothing)
			extracttest.Fails(t, err, extract.CodeConnectionLost, "shop.a")
		})
	}
}

// TestStoppedForACause: whoever has lost its lease, or yields, stops reading for that cause, which is not the snapshot's. When it
// reads the table again, it does so in the snapshot of the others.
func TestStoppedForACause(t *testing.T) {
	c := newCatalog("a", "b")
	both := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
	night := extracttest.New(t, c, &extracttest.Lake{}).Begin("r1", both, both)
	defer night.Close()
	lease := errors.New("the lease was lost")
	for _, cause := range []error{lease, &elt.Error{Code: extract.CodeConnectionLost, Class: elt.Transient, What: "cut", Do: "nothing", Err: lease}} {
		ctx, stop := context.WithCancelCause(t.Context())
		c.fail = func(string, int) error {
			stop(cause)
			return cause
		}
		if _, err := night.Extract(ctx, extracttest.Job(both[0], 1), nothing); !errors.Is(err, lease) {
			t.Errorf("the error is %v", err)
		}
	}
	c.fail = nil
	for i, e := range both {
		m, err := night.Extract(t.Context(), extracttest.Job(e, i+3), nothing)
		if err != nil {
			t.Fatal(err)
		}
		if m.Source.Epoch != 1 || !m.Source.CrossTableConsistent {
			t.Errorf("%s was read in %+v", e.Dataset, m.Source)
		}
	}
}

func TestRowsThatAreMissingAreSeen(t *testing.T) {
	c := newCatalog("a")
	c.lie = 1
	lake := &extracttest.Lake{}
	_, err := extracttest.Extract(t, extracttest.New(t, c, lake), extracttest.Job(extracttest.Table("a"), 1))
	extracttest.Fails(t, err, "rows_lost", "4 rows", "3 rows")
	for _, key := range lake.Keys() {
		if key == elt.AttemptPrefix("shop.a", extracttest.Job(elt.Extraction{}, 1).Date, "r1", 1)+"manifest.json" {
			t.Error("a manifest was written for rows that are missing")
		}
	}
}

// TestManifestIsLast fails each of the lake's writes in turn: without its manifest, nothing is there.
func TestManifestIsLast(t *testing.T) {
	for _, suffix := range []string{"part-00000.parquet", "manifest.json"} {
		broken := errors.New("no room for " + suffix)
		lake := &extracttest.Lake{Before: func(key string) error {
			if key[len(key)-len(suffix):] == suffix {
				return broken
			}
			return nil
		}}
		_, err := extracttest.Extract(t, extracttest.New(t, newCatalog("a"), lake), extracttest.Job(extracttest.Table("a"), 1))
		if !errors.Is(err, broken) {
			t.Errorf("%s: the error is %v", suffix, err)
		}
		if suffix == "part-00000.parquet" && len(lake.Keys()) != 0 {
			t.Errorf("the lake holds %v", lake.Keys())
		}
	}
	// An attempt's keys are its own: the same attempt cannot write twice.
	lake := &extracttest.Lake{}
	x := extracttest.New(t, newCatalog("a"), lake)
	if _, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table("a"), 1)); err != nil {
		t.Fatal(err)
	}
	_, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table("a"), 1))
	if f := elt.NewFailure(err); f == nil || f.Code != "object_exists" {
		t.Errorf("the second time: %v", err)
	}
}

func TestCheckNamesEverything(t *testing.T) {
	c := newCatalog()
	c.tables["a"] = extract.TableInfo{Name: "a", Key: []string{"id"}, Columns: elt.Schema{
		column("id", elt.Int64), column("at", elt.LocalTimestamp), column("n", elt.Int64), column("email", elt.String),
	}}
	odd := elt.Schema{column("id", elt.Int64)}
	for _, name := range []string{"ID", "e mail", "1st", "größe", "_TABLE_x", "_partitiontime", "_daybreak_x"} {
		odd = append(odd, column(name, elt.String))
	}
	c.tables["odd"] = extract.TableInfo{Name: "odd", Columns: odd}
	e := func(table string, change func(*elt.Extraction)) elt.Extraction {
		e := extracttest.Table(table)
		change(&e)
		return e
	}
	for name, test := range map[string]struct {
		e    elt.Extraction
		want []elt.Code
	}{
		"good":           {e("a", func(*elt.Extraction) {}), nil},
		"missing table":  {e("b", func(*elt.Extraction) {}), []elt.Code{"table_missing"}},
		"unknown source": {e("a", func(e *elt.Extraction) { e.Source = "office" }), []elt.Code{"source_unknown"}},
		"no key": {e("a", func(e *elt.Extraction) { e.Mode, e.Cursor, e.CursorZone = elt.Incremental, "at", time.UTC }),
			[]elt.Code{"key_missing"}},
		"wrong key":    {e("a", func(e *elt.Extraction) { e.Key = []string{"uid"} }), []elt.Code{"key_missing"}},
		"excluded key": {e("a", func(e *elt.Extraction) { e.Key, e.Exclude = []string{"id"}, []string{"id"} }), []elt.Code{"key_missing"}},
		"redacted key": {e("a", func(e *elt.Extraction) { e.Key, e.Redact = []string{"id"}, []string{"id"} }), []elt.Code{"key_missing"}},
		"hashed key":   {e("a", func(e *elt.Extraction) { e.Key, e.Hash = []string{"id"}, []string{"id"} }), nil},
		"no cursor":    {e("a", func(e *elt.Extraction) { e.Mode, e.Key = elt.Incremental, []string{"id"} }), []elt.Code{"cursor_missing"}},
		"wrong cursor": {e("a", func(e *elt.Extraction) { e.Mode, e.Key, e.Cursor = elt.Incremental, []string{"id"}, "when" }), []elt.Code{"cursor_missing"}},
		"cursor of no time": {e("a", func(e *elt.Extraction) { e.Mode, e.Key, e.Cursor = elt.Incremental, []string{"id"}, "n" }),
			[]elt.Code{"cursor_overlap"}},
		"cursor without zone": {e("a", func(e *elt.Extraction) { e.Mode, e.Key, e.Cursor = elt.Incremental, []string{"id"}, "at" }),
			[]elt.Code{"cursor_zone_missing"}},
		"unknown columns": {e("a", func(e *elt.Extraction) { e.Exclude, e.Hash, e.Redact = []string{"x"}, []string{"y"}, []string{"z"} }),
			[]elt.Code{"column_missing", "column_missing", "column_missing"}},
		"nothing left": {e("a", func(e *elt.Extraction) { e.Exclude = []string{"id", "at", "n", "email"} }), []elt.Code{"no_columns"}},
		"odd names": {e("odd", func(*elt.Extraction) {}), []elt.Code{"column_name", "column_name", "column_name",
			"column_name", "column_name", "column_name", "column_name"}},
		"odd names excluded": {e("odd", func(e *elt.Extraction) {
			e.Exclude = []string{"ID", "e mail", "1st", "größe", "_TABLE_x", "_partitiontime", "_daybreak_x"}
		}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []elt.Code
			for _, p := range extracttest.New(t, c, &extracttest.Lake{}).Check(t.Context(), []elt.Extraction{test.e}, nil) {
				got = append(got, p.Code)
				if p.What == "" || p.Do == "" {
					t.Errorf("%+v does not say what to do", p)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	x := extract.New(extract.Options{Sources: map[elt.SourceName]extract.Source{"shop": c}, Log: extracttest.Log(t), Now: time.Now})
	problems := x.Check(t.Context(), []elt.Extraction{e("a", func(e *elt.Extraction) { e.Hash = []string{"email"} })}, nil)
	if len(problems) != 1 || problems[0].Code != "mask_key_missing" {
		t.Errorf("without a mask key: %v", problems)
	}
}

func TestPlan(t *testing.T) {
	c := newCatalog("a", "b")
	x := extracttest.New(t, c, &extracttest.Lake{})
	got, err := x.Plan(t.Context(), []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]extract.Estimate{{Dataset: "shop.a", Rows: 3, Columns: 1}, {Dataset: "shop.b", Rows: 3, Columns: 1}}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = x.Plan(t.Context(), []elt.Extraction{extracttest.Table("gone")})
	extracttest.Fails(t, err, "table_missing", "gone")
}

func TestWindowThatHasNotEnded(t *testing.T) {
	c := newCatalog("a")
	c.tables["a"] = extract.TableInfo{Name: "a", Columns: elt.Schema{column("id", elt.Int64), column("at", elt.Timestamp)}}
	e := extracttest.Table("a")
	e.Mode, e.Key, e.Cursor = elt.Incremental, []string{"id"}, "at"
	job := extracttest.Job(e, 1)
	job.Window = &elt.Window{To: time.Date(2026, 1, 6, 1, 0, 0, 1, time.UTC)} // the snapshot is of one o'clock
	_, err := extracttest.Extract(t, extracttest.New(t, c, &extracttest.Lake{}), job)
	extracttest.Fails(t, err, extract.CodeWindowOpen, "2026-01-06T01:00:00Z")
	job.Window.To = job.Window.To.Add(-1)
	m, err := extracttest.Extract(t, extracttest.New(t, c, &extracttest.Lake{}), job)
	if err != nil || m.Mode != elt.Incremental {
		t.Errorf("a window that has just ended: %v", err)
	}
}

func TestPropose(t *testing.T) {
	for _, c := range []struct {
		key      []string
		columns  elt.Schema
		mode     elt.Mode
		cursor   string
		personal []string
	}{
		{[]string{"id"}, elt.Schema{column("created_at", elt.Timestamp), column("modified_at", elt.Timestamp), column("updatedAt", elt.Timestamp)}, elt.Incremental, "updatedAt", nil},
		{nil, elt.Schema{column("updated_at", elt.Timestamp)}, elt.Full, "updated_at", nil},
		{[]string{"id"}, elt.Schema{column("updated_at", elt.String), column("deleted_at", elt.Timestamp)}, elt.Full, "", nil},
		{[]string{"id"}, elt.Schema{column("Email", elt.String), column("emailed", elt.Bool), column("last_name", elt.String), column("lastName", elt.String),
			column("ip_address", elt.String), column("zip", elt.String), column("zipped", elt.Bool), column("shipping", elt.String)},
			elt.Full, "", []string{"Email", "last_name", "lastName", "ip_address", "zip"}},
	} {
		info := extract.TableInfo{Name: "t", Key: c.key, Columns: c.columns, Rows: -1}
		extract.Propose(&info)
		if info.Mode != c.mode || info.Cursor != c.cursor || !cmp.Equal(info.Personal, c.personal) {
			t.Errorf("%v: proposed are %s, %q, %v", c.columns.Names(), info.Mode, info.Cursor, info.Personal)
		}
	}
}
