//go:build long

package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// Forty nights over one workspace, killed at moments spread over their events, tried again, rolled back, withdrawn and
// reinstated, with tests that fail in between: whoever polls the status all along is never told that something is there
// which is not.
func TestNeverFalselyGreen(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	neverFalselyGreen(t, dir)
	date := lastDate(t).String()
	for n := range 40 {
		killWhen(t, dir, 1+3*n, "run", "--date", date, "--again")
		switch n % 4 {
		case 0:
			do(t, dir, nil, "rollback", "app.companies", "--reason", "wrong names", "--yes")
		case 1:
			do(t, dir, nil, "withdraw", "app.users", date, "--reason", "wrong names", "--yes")
			do(t, dir, nil, "withdraw", "--undo", "app.users", date, "--reason", "they were right", "--yes")
		case 2:
			write(t, dir, map[string]string{"sql/tests/nobody.sql": fmt.Sprintf("select * from {{ ref('stg_companies') }} limit %d\n", n%8/4)})
		}
		do(t, dir, nil, "run", "--date", date, "--again")
	}
}

// The same at moments spread over the events of nights: each is cut off from one of its servers until it has given up, and
// comes when it is asked for again.
func TestNoFalseGreenWhereverItIsCut(t *testing.T) {
	t.Parallel()
	const dates, before = 6, 4 // of each workspace, and how often each is cut before it may come
	for name, build := range frails() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFrail(t, build)
			date := lastDate(t).AddDays(-dates)
			f.begin(date)
			sampling(t, "sqlite:"+ledgerIn(f.dir), f.warehouse.judge)
			f.whole(date)
			failed := 0
			for n := range dates {
				date = date.AddDays(1)
				f.begin(date)
				for k := range before {
					proxy := f.cuts[k%len(f.cuts)].proxy
					if f.cutAfter(date, proxy, seen(f.dir)+1+(n+2*k)%6) {
						failed++
					}
					f.agrees(fmt.Sprintf("after cut %d of %s", k, date))
				}
				f.whole(date)
			}
			t.Logf("%d of %d nights failed for a cut", failed, dates*before) // the others were done with that server, or waited for it
		})
	}
}

// cutAfter runs a night anew between which and a server the network is gone from its nth event on until it has ended or
// for five seconds.
func (f *frail) cutAfter(date elt.Date, proxy *testenv.Proxy, events int) (failed bool) {
	f.Helper()
	night := program(f.Context(), f.T, f.dir, f.env, "run", "--yes", "--date", date.String(), "--again")
	var said bytes.Buffer
	night.Stdout, night.Stderr = &said, &said
	if err := night.Start(); err != nil {
		f.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- night.Wait() }()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case err := <-ended:
			return err != nil
		case <-poll.C:
			if seen(f.dir) < events {
				continue
			}
			proxy.Cut(f)
			select {
			case err := <-ended:
				proxy.Restore(f)
				return err != nil
			case <-time.After(5 * time.Second): // some servers are waited for
			}
			proxy.Restore(f)
			return <-ended != nil
		}
	}
}
