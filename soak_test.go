//go:build long

package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// soakEnv says how long the soak lasts; a minute without it.
const soakEnv = "DAYBREAK_SOAK"

// vitals are what the service says of its own process at a moment.
type vitals struct {
	at         time.Duration
	heap       float64 // bytes that were alive after the last garbage collection
	goroutines float64
}

var metric = regexp.MustCompile(`(?m)^(go_memstats_next_gc_bytes|go_goroutines) (\S+)$`)

func vitalsOf(t *testing.T, s *server, began time.Time) (v vitals) {
	t.Helper()
	v.at = time.Since(began)
	for _, m := range metric.FindAllStringSubmatch(s.text(t, "/metrics"), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if m[1] == "go_goroutines" {
			v.goroutines = n
		} else {
			v.heap = n / 2 // the next collection is due when there is twice as much
		}
	}
	if v.heap == 0 || v.goroutines == 0 {
		t.Fatal("the service does not say how much memory and how many goroutines it has")
	}
	return v
}

// growth returns the mean of a value over the second half of the soak, and by how much its regression line rises there.
func growth(all []vitals, of func(vitals) float64) (mean, rise float64) {
	half := all[len(all)/2:]
	var sumX, sumY, sumXX, sumXY float64
	for _, v := range half {
		x, y := v.at.Seconds(), of(v)
		sumX, sumY, sumXX, sumXY = sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	n := float64(len(half))
	slope := (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
	return sumY / n, slope * (half[len(half)-1].at - half[0].at).Seconds()
}

// trigger asks the service for a night, as a person would.
func (s *server) trigger(t *testing.T, token, date string) error {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"date": %q, "reason": "the soak"}`, date))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/schedules/nightly/trigger", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if said, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s (%w)", answer.Status, said, err)
	}
	return nil
}

// A service that brings a night every few seconds, under a fault a minute (more in a short soak), keeps its memory and its
// goroutines, loses nothing and doubles nothing.
func TestASoak(t *testing.T) {
	lasts, err := time.ParseDuration(cmp.Or(os.Getenv(soakEnv), "1m"))
	if err != nil {
		t.Fatal(err)
	}
	every := min(time.Minute, lasts/6) // how often there is a fault
	seed := seedOf(t, rand.Uint64N(1_000_000))
	first := lastDate(t).AddDays(-1 - 350) // enough for a night every four seconds
	w := newWorld(t, seed, 12)
	w.attempts = 50
	for i := range w.models {
		w.models[i].fails = false
	}
	here := w.direct(t)
	noisy, net := behind(t, here)
	dir := w.workspace(t, noisy, testenv.S3(t).NewBucket(t))
	s, stop := serve(t, dir, nil)
	go func() {
		for line := range s.says.rest() { // the log of a long soak is nobody's to read
			if strings.Contains(line, "panicked") {
				t.Error(line)
			}
		}
	}()
	token := strings.TrimSpace(must(t, dir, nil, "token", "create", "soak", "--role", "operator").out)
	book := open(t, "pgx", here.ledger)
	sampling(t, here.ledger, func(s *sampler) ([]string, error) { return s.judge(filepath.Join(dir, "state", "warehouse.duckdb")) }, first)

	began := time.Now()
	ctx, over := context.WithTimeout(t.Context(), lasts)
	defer over()
	suffered := make(chan int)
	go func() {
		n := 0
		for next := time.NewTicker(every); ; n++ {
			select {
			case <-next.C:
				net.suffer(t, plan(seed+uint64(n), 1, 0, 1)[0])
			case <-ctx.Done():
				next.Stop()
				suffered <- n
				return
			}
		}
	}()
	date, asked := first, 0
	var all []vitals
	look, refused := time.NewTicker(time.Second), 0
	defer look.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-look.C:
		case <-ctx.Done():
			continue
		}
		all = append(all, vitalsOf(t, s, began))
		if n%4 > 0 || len(lines(t, book, "SELECT id FROM runs WHERE state = 'running'")) > 2 {
			continue
		}
		if err := s.trigger(t, token, date.String()); err != nil {
			refused++ // the ledger is away at this very moment: asked again in a while
			continue
		}
		date, asked = date.AddDays(1), asked+1
	}
	faults := <-suffered
	until(t, "every night has ended", func() bool { return len(lines(t, book, "SELECT id FROM runs WHERE state = 'running'")) == 0 })
	stop()

	heap, heapRise := growth(all, func(v vitals) float64 { return v.heap })
	routines, routinesRise := growth(all, func(v vitals) float64 { return v.goroutines })
	t.Logf("%s: %d nights of 12 datasets, %d faults, %d refusals while the ledger was away; over the second half %.1f MiB alive (rising by %.2f), %.0f goroutines (rising by %.1f)",
		lasts, asked, faults, refused, heap/(1<<20), heapRise/(1<<20), routines, routinesRise)
	if heapRise > 0.2*heap+(4<<20) {
		t.Errorf("the memory that is alive rises by %.1f MiB", heapRise/(1<<20))
	}
	if routinesRise > 0.1*routines+5 {
		t.Errorf("the goroutines rise by %.1f", routinesRise)
	}
	wantNights(t, book, dir, first, asked)
}

// wantNights checks that each of so many dates has one run, which succeeded, and one version of each dataset, in ledger and
// warehouse alike.
func wantNights(t *testing.T, book *sql.DB, dir string, first elt.Date, n int) {
	t.Helper()
	if runs := lines(t, book, "SELECT count(*), count(DISTINCT date), count(*) FILTER (WHERE state = 'succeeded'), min(date) FROM runs")[0]; !slices.Equal(runs, []string{fmt.Sprint(n), fmt.Sprint(n), fmt.Sprint(n), first.String()}) {
		t.Errorf("runs, dates, successes and the first date are %v, of %d nights from %s", runs, n, first)
	}
	if odd := lines(t, book, "SELECT date, count(*) FROM versions GROUP BY 1 HAVING count(*) <> 12"); len(odd) > 0 {
		t.Errorf("of these dates not every dataset has one version: %v", odd)
	}
	if row := lines(t, book, "SELECT count(*), max(seq) FROM events")[0]; row[0] != row[1] {
		t.Errorf("the events have a gap: %s events up to %s", row[0], row[1])
	}
	wantOneBook(t, dir, book)
}
