package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/status"
	"github.com/daybreak-data/daybreak/status/api"
)

// claim is a day that the API called ready.
type claim struct {
	dataset elt.DatasetName
	date    elt.Date
	version elt.VersionID
	rows    int64
}

// sampler asks the API of a status service of its own, over a workspace's ledger, which days are ready, over and over.
type sampler struct {
	looks   int
	samples int                 // of ready days
	claims  map[claim]time.Time // when each was made first
	since   string              // a query for days that lie further back than the API looks by itself
}

// neverFalselyGreen samples what the status says of a workspace from now until the test ends, through whatever is done to
// it, and then asks the warehouse: a day that was ever called ready must have been published by then, under that version,
// with as many rows, and what was published last must be there. Whatever works on the workspace has to have ended.
func neverFalselyGreen(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, configured(dir, `duckdb: (\S+)`, "state/warehouse.duckdb"))
	sampling(t, "sqlite:"+filepath.Join(dir, configured(dir, `ledger: sqlite:(\S+)`, "state/ledger.db")), func(s *sampler) ([]string, error) { return s.judge(file) })
}

// sampling does so for a ledger on any engine, and asks judge which claims the warehouse contradicts.
func sampling(t *testing.T, dsn string, judge func(*sampler) ([]string, error), since ...elt.Date) {
	t.Helper()
	s := &sampler{claims: make(map[claim]time.Time)}
	for _, date := range since {
		s.since = "?from=" + date.String()
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- s.sample(ctx, dsn)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the status could not be sampled: %v", err)
			return
		}
		untrue, err := judge(s)
		if err != nil {
			t.Errorf("the warehouse cannot be asked: %v", err)
		}
		for _, claim := range untrue {
			t.Errorf("false green: %s", claim)
		}
		t.Logf("false greens: %d in %d samples of ready days, of %d versions, in %d looks", len(untrue), s.samples, len(s.claims), s.looks)
	})
}

// configured returns what the workspace's file says, or what holds when it says nothing.
func configured(dir, pattern, otherwise string) string {
	text, err := os.ReadFile(filepath.Join(dir, "daybreak.yaml"))
	if m := regexp.MustCompile(pattern).FindSubmatch(text); err == nil && m != nil {
		return string(m[1])
	}
	return otherwise
}

// sample looks ten times a second until ctx ends, and once more.
func (s *sampler) sample(ctx context.Context, dsn string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	file, embedded := strings.CutPrefix(dsn, "sqlite:")
	var book *ledger.Ledger
	for book == nil {
		if _, err := os.Stat(file); err == nil || !embedded {
			if book, err = ledger.Open(context.WithoutCancel(ctx), dsn, slog.New(slog.DiscardHandler)); err != nil {
				book = nil // it is being made
			} else if _, err := book.Revision(context.WithoutCancel(ctx)); err != nil {
				if err := book.Close(); err != nil {
					return err
				}
				book = nil // a ledger that was older when it was opened stays so
			}
		}
		if book != nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil // there never was one, so nothing was said
		}
	}
	defer book.Close()
	service, err := status.New(status.Options{Ledger: book, Public: true})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		s.look(ctx, service)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	s.look(context.WithoutCancel(ctx), service)
	return nil
}

// look notes what is ready now. A ledger that cannot be read says nothing.
func (s *sampler) look(ctx context.Context, service *status.Service) {
	if service.Refresh(ctx) != nil {
		return
	}
	ask := func(path string, into any) bool {
		rec := httptest.NewRecorder()
		service.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		return rec.Code == http.StatusOK && json.Unmarshal(rec.Body.Bytes(), into) == nil
	}
	var all api.Datasets
	if !ask("/v1/datasets?limit=1000", &all) {
		return
	}
	s.looks++
	for _, d := range all.Datasets {
		var days api.Days
		if !ask("/v1/datasets/"+string(d.Name)+"/days"+s.since, &days) {
			continue
		}
		for _, day := range days.Days {
			if !day.Good() {
				continue
			}
			s.samples++
			c := claim{day.Dataset, day.Date, day.Version, day.Rows}
			if _, made := s.claims[c]; !made {
				s.claims[c] = time.Now()
			}
		}
	}
}

// judge holds every claim against the warehouse and returns those that it contradicts.
func (s *sampler) judge(file string) (contradicted []string, err error) {
	db, err := sql.Open("duckdb", file)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	published, last, err := publishedIn(db)
	if err != nil {
		return nil, err
	}
	return s.contradicted(published, last, func(relation string) (n int64, err error) {
		err = db.QueryRow("SELECT count(*) FROM " + relation).Scan(&n)
		return n, err
	})
}

// contradicted holds every claim against what was published, and the rows that are there.
func (s *sampler) contradicted(published map[claim]time.Time, last map[claim]string, count func(relation string) (int64, error)) (contradicted []string, err error) {
	for c, said := range s.claims {
		at, there := published[c]
		switch {
		case !there:
			contradicted = append(contradicted, fmt.Sprintf("%s of %s was called ready with %d rows as %s, which the warehouse does not know", c.dataset, c.date, c.rows, c.version))
		case said.Before(at):
			contradicted = append(contradicted, fmt.Sprintf("%s of %s was called ready at %s, and was published at %s", c.dataset, c.date, said, at))
		}
		if relation, newest := last[c]; newest {
			n, err := count(relation)
			if err != nil {
				return contradicted, err
			}
			if n < c.rows {
				contradicted = append(contradicted, fmt.Sprintf("%s of %s is ready with %d rows, and %s shows %d", c.dataset, c.date, c.rows, relation, n))
			}
		}
	}
	return contradicted, nil
}

// publishedIn returns when each version was published, and the relation of each dataset's last one.
func publishedIn(db *sql.DB) (published map[claim]time.Time, last map[claim]string, err error) {
	rows, err := db.Query(`SELECT dataset, data_date::VARCHAR, version_id, "rows", published_at, relation,
			published_at = max(published_at) OVER (PARTITION BY dataset) FROM _daybreak.versions`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	published, last = make(map[claim]time.Time), make(map[claim]string)
	for rows.Next() {
		var c claim
		var date, relation string
		var at time.Time
		var newest bool
		if err := rows.Scan(&c.dataset, &date, &c.version, &c.rows, &at, &relation, &newest); err != nil {
			return nil, nil, err
		}
		if c.date, err = elt.ParseDate(date); err != nil {
			return nil, nil, err
		}
		published[c] = at
		if newest {
			last[c] = relation
		}
	}
	return published, last, rows.Err()
}

// What the sampler is for, it sees: a version that only the ledger knows, one with another count, rows that are gone.
func TestAFalseGreenIsSeen(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"a version that was never published": func(t *testing.T, dir string) {
			change(t, ledgerIn(dir), "UPDATE versions SET id = id || '-2' WHERE dataset = 'app.companies'")
		},
		"another number of rows": func(t *testing.T, dir string) {
			change(t, ledgerIn(dir), "UPDATE versions SET rows = rows + 1 WHERE dataset = 'app.companies'")
		},
		"rows that are gone": func(t *testing.T, dir string) {
			db := duck(t, filepath.Join(dir, "state", "warehouse.duckdb"))
			defer db.Close()
			physical := texts(t, db, "SELECT physical FROM _daybreak.published WHERE dataset = 'app.companies'")[0]
			if _, err := db.ExecContext(t.Context(), "DELETE FROM "+physical); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := brought(t)
			spoil(t, dir)
			s := &sampler{claims: make(map[claim]time.Time)}
			ctx, stop := context.WithCancel(t.Context())
			stop() // one look
			if err := s.sample(ctx, "sqlite:"+ledgerIn(dir)); err != nil {
				t.Fatal(err)
			}
			contradicted, err := s.judge(filepath.Join(dir, "state", "warehouse.duckdb"))
			if err != nil || !slices.ContainsFunc(contradicted, func(c string) bool { return strings.HasPrefix(c, "app.companies ") }) {
				t.Errorf("of %d samples it contradicts %v (%v)", s.samples, contradicted, err)
			}
		})
	}
}
