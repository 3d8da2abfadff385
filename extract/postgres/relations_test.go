package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract/extracttest"
)

func TestRowsOfAnyNumber(t *testing.T) {
	for _, n := range []int{0, 1, 122_880, 122_881} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			url, _ := database(t, fmt.Sprintf(`CREATE TABLE a AS SELECT i::bigint AS id, 'x' || i AS name FROM generate_series(1, %d) i`, n))
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), extracttest.Job(extracttest.Table("public.a"), 1))
			if err != nil {
				t.Fatal(err)
			}
			if got := lake.Rows(t, m); len(got) != n || len(m.Parts) != 1 {
				t.Errorf("%d rows came in %d parts", len(got), len(m.Parts))
			}
			want := fmt.Sprint(int64(n) * int64(n+1) / 2)
			if n == 0 {
				want = ""
			}
			if got := m.Stats.Columns[0].Sum; got != want {
				t.Errorf("the sum is %s, expected %s", got, want)
			}
		})
	}
}

func TestWide(t *testing.T) {
	var columns, values []string
	for i := range 1600 {
		columns = append(columns, fmt.Sprintf("c%d int2", i))
		values = append(values, fmt.Sprintf("%d::int2", i))
	}
	url, conn := database(t, `CREATE TABLE wide (`+strings.Join(columns, ", ")+`)`)
	exec(t, conn, `INSERT INTO wide SELECT `+strings.Join(values, ", ")+` FROM generate_series(1, 30)`)
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), extracttest.Job(extracttest.Table("public.wide"), 1))
	if err != nil {
		t.Fatal(err)
	}
	rows := lake.Rows(t, m)
	if len(rows) != 30 || len(rows[29]) != 1600 || rows[29][1599] != "1599" {
		t.Errorf("%d rows came", len(rows))
	}
}

// TestLargeValue carries one text that is larger than a batch.
func TestLargeValue(t *testing.T) {
	const size = 40 << 20
	url, _ := database(t, fmt.Sprintf(`CREATE TABLE big AS SELECT i AS id, CASE WHEN i = 2 THEN repeat('é', %d) ELSE 'small' END AS v FROM generate_series(1, 3) i`, size/2))
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{Discard: true}), extracttest.Job(extracttest.Table("public.big"), 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(size + 10); m.Stats.Columns[1].Length != want || m.Rows() != 3 {
		t.Errorf("%d octets came, expected %d", m.Stats.Columns[1].Length, want)
	}
}

func TestKindsOfRelation(t *testing.T) {
	url, conn := database(t, `CREATE TABLE p (id int, v text) PARTITION BY RANGE (id)`,
		`CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)`, `CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)`,
		`INSERT INTO p SELECT i, 'v' || i FROM generate_series(0, 19) i`,
		`CREATE VIEW w AS SELECT id AS "Id", v FROM p WHERE id < 2`, `CREATE TABLE g (a int, b int GENERATED ALWAYS AS (a * 2) STORED)`,
		`INSERT INTO g VALUES (21)`, `CREATE SCHEMA "we.ird"`, `CREATE TABLE "we.ird"."Tä""ble" (id int)`, `INSERT INTO "we.ird"."Tä""ble" VALUES (7)`,
		`CREATE TABLE dropped (a int, b int, c int)`, `ALTER TABLE dropped DROP COLUMN b`, `INSERT INTO dropped VALUES (1, 3)`,
		`CREATE TABLE parent (a int)`, `CREATE TABLE child () INHERITS (parent)`, `INSERT INTO child VALUES (5)`, `ANALYZE`)
	for name, want := range map[string][][]string{
		"public.w": {{"0", "v0"}, {"1", "v1"}}, "g": {{"21", "42"}}, `"we.ird"."Tä""ble"`: {{"7"}}, "dropped": {{"1", "3"}}, "public.parent": {{"5"}},
	} {
		e := extracttest.Table(name)
		e.Dataset = "shop.t"
		lake := &extracttest.Lake{}
		m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), extracttest.Job(e, 1))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, lake.Rows(t, m)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), extracttest.Job(extracttest.Table("public.p"), 1))
	if err != nil || m.Rows() != 20 {
		t.Errorf("the partitioned table: %v, %v", m, err)
	}
	infos, err := newSource(t, url).Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]int64)
	for _, i := range infos {
		rows[i.Name] = i.Rows
	}
	want := map[string]int64{"public.p": 20, "public.w": -1, "public.g": 1, `"we.ird"."Tä""ble"`: 1, "public.dropped": 1, "public.parent": 0, "public.child": 1}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("the tables (-want +got)\n%s", diff)
	}
	exec(t, conn, `CREATE TABLE none ()`)
	_, err = extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), extracttest.Job(extracttest.Table("public.none"), 1))
	extracttest.Fails(t, err, "no_columns", "public.none")
}
