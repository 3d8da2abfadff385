package main

import (
	"context"
	"crypto/md5"
	"database/sql"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// generation is what the source holds on a data date: other rows, and more of them, each night.
type generation int

func (g generation) rows() int { return 4000 + 200*int(g) }

func (g generation) value(id int) string {
	sum := md5.Sum(fmt.Appendf(nil, "%d-%d", id, g))
	return strings.Repeat(hex.EncodeToString(sum[:]), 8)
}

// digests are those of what a night makes of it: the table, and the model over it.
func (g generation) digests() map[elt.DatasetName]string {
	var lines, values []string
	for id := 1; id <= g.rows(); id++ {
		values = append(values, g.value(id))
		lines = append(lines, fmt.Sprintf("%d:%s", id, values[id-1]))
	}
	sum := md5.Sum([]byte(strings.Join(lines, "\n")))
	return map[elt.DatasetName]string{
		"shop.items": hex.EncodeToString(sum[:]),
		"totals":     fmt.Sprintf("%d|%s|%s", g.rows(), slices.Min(values), slices.Max(values)),
	}
}

// digestsIn are the queries for the same of what is published.
var digestsIn = map[elt.DatasetName]string{
	"shop.items": `SELECT md5(string_agg(id || ':' || v, chr(10) ORDER BY id)) FROM %sshop.items`,
	"totals":     `SELECT counted, least, most FROM %sanalytics.totals`,
}

// frail is a workspace between which and its servers a network may fail.
type frail struct {
	*testing.T
	dir       string
	env       []string
	bring     func(g generation) // has the source hold it
	warehouse shelf
	cuts      []weakness
	dates     map[elt.Date]generation // that were begun
}

// weakness is a way in which the network fails before a night; the night fails with it.
type weakness struct {
	name  string
	proxy *testenv.Proxy
	most  int64 // bytes that go through a connection
	to    testenv.Direction
}

// files of a frail workspace, but for daybreak.yaml.
func (f *frail) files(config string) {
	write(f.T, f.dir, map[string]string{
		"daybreak.yaml":          config + "status: {public: true}\n",
		"schedules/nightly.yaml": "at: \"02:00\"\ntimezone: UTC\ncatch_up: all\nretries: {attempts: 1}\nowners: [data@example.com, finance@example.com]\ntables:\n  shop.items: {mode: full, key: [id]}\n",
		"sql/models/totals.sql":  "{{ config(materialized='table') }}\nselect count(*) as counted, min(v) as least, max(v) as most from {{ source('shop', 'items') }}\n",
	})
}

// fill has a database of SQL hold a generation.
func fill(t *testing.T, db *sql.DB, create string) func(generation) {
	return func(g generation) {
		t.Helper()
		for _, s := range []string{"DROP TABLE IF EXISTS items", create} {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		for first := 1; first <= g.rows(); first += 500 {
			var values []string
			for id := first; id < min(first+500, g.rows()+1); id++ {
				values = append(values, fmt.Sprintf("(%d, '%s')", id, g.value(id)))
			}
			if _, err := db.ExecContext(t.Context(), "INSERT INTO items VALUES "+strings.Join(values, ", ")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// shelf is a warehouse as it is for somebody who asks without Daybreak.
type shelf struct {
	ask    func(query string) ([]string, error) // each row's cells as text, with | in between
	prefix string                               // of the names of schemas
}

// duckRows asks a file of DuckDB.
func duckRows(file, query string) (all []string, err error) {
	db, err := sql.Open("duckdb", file)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Query("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (" + query + ")")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	cells, into := make([]string, len(columns)), make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, strings.Join(cells, "|"))
	}
	return all, rows.Err()
}

// judge holds what was claimed against the warehouse.
func (w shelf) judge(s *sampler) ([]string, error) {
	rows, err := w.ask(`SELECT dataset, data_date, version_id, "rows", epoch_us(published_at), relation,
			published_at = max(published_at) OVER (PARTITION BY dataset) FROM ` + w.prefix + `_daybreak.versions`)
	if err != nil {
		return nil, err
	}
	published, last := make(map[claim]time.Time), make(map[claim]string)
	for _, row := range rows {
		cells := strings.Split(row, "|")
		date, err := elt.ParseDate(cells[1])
		if err != nil {
			return nil, err
		}
		count, err := strconv.ParseInt(cells[3], 10, 64)
		if err != nil {
			return nil, err
		}
		at, err := strconv.ParseInt(cells[4], 10, 64)
		if err != nil {
			return nil, err
		}
		c := claim{elt.DatasetName(cells[0]), date, elt.VersionID(cells[2]), count}
		published[c] = time.UnixMicro(at)
		if cells[6] == "true" {
			last[c] = cells[5]
		}
	}
	return s.contradicted(published, last, func(relation string) (int64, error) {
		counted, err := w.ask("SELECT count(*) FROM " + w.prefix + relation)
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(counted[0], 10, 64)
	})
}

func onDuckDB(dir string) shelf {
	return shelf{ask: func(query string) ([]string, error) {
		return duckRows(filepath.Join(dir, "state", "warehouse.duckdb"), query)
	}}
}

// frails are the workspaces, each with other servers.
func frails() map[string]func(f *frail) {
	return map[string]func(f *frail){
		"PostgreSQL": func(f *frail) {
			at := testenv.Postgres(f).Database(f)
			source := testenv.Toxiproxy(f).Before(f, at)
			f.bring = fill(f.T, open(f.T, "pgx", at), "CREATE TABLE items (id INT PRIMARY KEY, v TEXT NOT NULL)")
			f.warehouse = onDuckDB(f.dir)
			f.files("sources:\n  shop: {postgres: \"" + source.URL + "\"}\n")
			f.cuts = []weakness{{"the source's answers", source, 300_000, testenv.Answers}}
		},
		"MariaDB and a lake on S3": func(f *frail) {
			server, s3 := testenv.MariaDB(f), testenv.S3(f)
			source, lake := testenv.Toxiproxy(f).Before(f, server.URL), testenv.Toxiproxy(f).Before(f, s3.Endpoint)
			f.bring = fill(f.T, open(f.T, "mysql", "root@tcp("+server.Addr+")/"+server.Database), "CREATE TABLE items (id INT PRIMARY KEY, v TEXT NOT NULL)")
			f.warehouse = onDuckDB(f.dir)
			f.files(fmt.Sprintf("sources:\n  shop: {mysql: %q}\nlake: {s3: {bucket: %s, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}\n",
				source.URL, s3.NewBucket(f), lake.URL, s3.AccessKey, s3.SecretKey))
			f.cuts = []weakness{{"the source's answers", source, 300_000, testenv.Answers}, {"what is put into the lake", lake, 20_000, testenv.Requests}}
		},
		"BigQuery": func(f *frail) {
			double := bigquerytest.New(f)
			proxy := testenv.Toxiproxy(f).Before(f, double.URL)
			f.bring = fill(f.T, open(f.T, "sqlite", "file:"+filepath.Join(f.dir, "shop.db")), "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT NOT NULL)")
			f.warehouse = shelf{prefix: "test_", ask: func(query string) ([]string, error) { return double.Rows(lasting{f}, query), nil }}
			f.files(fmt.Sprintf("warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q}}\nsources: {shop: {sqlite: shop.db}}\n", proxy.URL))
			f.cuts = []weakness{{"what is put into the warehouse", proxy, 20_000, testenv.Requests}}
		},
	}
}

// lasting is a test whose clean-up may still ask servers.
type lasting struct{ testing.TB }

func (l lasting) Context() context.Context { return context.WithoutCancel(l.TB.Context()) }

func newFrail(t *testing.T, build func(*frail)) *frail {
	f := &frail{T: t, dir: t.TempDir(), dates: make(map[elt.Date]generation)}
	build(f)
	return f
}

// ready returns the latest date of each dataset that the status calls ready now.
func (f *frail) ready() map[elt.DatasetName]elt.Date {
	f.Helper()
	s := &sampler{claims: make(map[claim]time.Time)}
	ctx, stop := context.WithCancel(f.Context())
	stop() // one look
	if err := s.sample(ctx, "sqlite:"+ledgerIn(f.dir)); err != nil {
		f.Fatal(err)
	}
	latest := make(map[elt.DatasetName]elt.Date)
	for c := range s.claims {
		if latest[c.dataset].Before(c.date) {
			latest[c.dataset] = c.date
		}
	}
	return latest
}

// agrees holds the contents of what is published against what the source held on the dates that the status calls ready:
// not a row of another night, not one less, not another value.
func (f *frail) agrees(when string) {
	f.Helper()
	for dataset, date := range f.ready() {
		got, err := f.warehouse.ask(fmt.Sprintf(digestsIn[dataset], f.warehouse.prefix))
		if err != nil {
			f.Fatal(err)
		}
		if want := f.dates[date].digests()[dataset]; len(got) != 1 || got[0] != want {
			f.Errorf("%s: %s is called ready for %s, whose digest is %s, and holds %v", when, dataset, date, want, got)
		}
	}
}

// begin has the source hold what is the date's.
func (f *frail) begin(date elt.Date) {
	f.dates[date] = generation(len(f.dates) + 1)
	f.bring(f.dates[date])
}

func (f *frail) night(date elt.Date) answer {
	return do(f.T, f.dir, f.env, "run", "--yes", "--date", date.String())
}

// whole brings a date with nothing in its way.
func (f *frail) whole(date elt.Date) {
	f.Helper()
	if a := f.night(date); a.code != 0 {
		f.Fatalf("with the network whole, %s ends with %d\n%s%s", date, a.code, a.out, a.errors)
	}
	f.agrees("after " + date.String())
	for dataset := range digestsIn {
		if at := f.ready()[dataset]; at != date {
			f.Errorf("%s was brought, and %s is ready for %s", date, dataset, at)
		}
	}
}

// A connection that ends in the middle of a night, to the source, the lake or the warehouse, makes no day ready that is
// not there whole, whoever polls all the while: what is published stays, to the last value, what the status says that it is.
func TestNoFalseGreenWhenCut(t *testing.T) {
	t.Parallel()
	for name, build := range frails() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFrail(t, build)
			date := lastDate(t).AddDays(-len(f.cuts))
			f.begin(date)
			sampling(t, "sqlite:"+ledgerIn(f.dir), f.warehouse.judge)
			f.whole(date)
			for _, c := range f.cuts {
				before := date
				date = date.AddDays(1)
				f.begin(date)
				remove := c.proxy.Add(t, testenv.LimitData(c.most), c.to)
				if a := f.night(date); a.code == 0 {
					t.Errorf("a night came although %s were cut after %d bytes\n%s", c.name, c.most, a.out)
				}
				remove()
				f.agrees("after " + c.name + " were cut")
				for dataset, at := range f.ready() {
					if at != before {
						t.Errorf("%s is ready for %s after the night of %s failed", dataset, at, date)
					}
				}
				f.whole(date)
			}
		})
	}
}
