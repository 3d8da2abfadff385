package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// A night in whose middle the ledger's clock is set forward or back, by more than a day, and right again when it is
// over: every date has one run, every table and model is as it should be, and nothing is called ready that is not.
func TestTheClockIsStepped(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{26 * time.Hour, -26 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			dir, env, closeGate := gated(t)
			url := testenv.Postgres(t).URL
			step := testenv.StepClock(t, url)
			write(t, dir, map[string]string{"daybreak.yaml": "ledger: ${env:LEDGER_URL}\nsources:\n  shop: {postgres: \"${env:SHOP_URL}\"}\nstatus: {public: true}\n"})
			env = append([]string{"LEDGER_URL=" + url}, env...)
			due := time.Now().In(dublin(t)).Add(-12 * time.Hour).Truncate(time.Hour) // half a day from the tick before and after
			write(t, dir, map[string]string{"schedules/nightly.yaml": strings.Replace(gatedSchedule, `"00:00"`, due.Format(`"15:04"`), 1)})
			date := elt.DateOf(due).AddDays(-1)
			before := date.AddDays(-1)
			must(t, dir, env, "run", "--yes", "--date", before.String())
			inLedger(t, env, fmt.Sprintf(`INSERT INTO ticks (schedule, date, due_at, run, skipped) VALUES ('nightly', '%s', '%s', '', 'by hand')`, before, due.UTC().Format("2006-01-02T15:04:05.000000Z")))
			sampling(t, url, func(s *sampler) ([]string, error) { return s.judge(filepath.Join(dir, "state", "warehouse.duckdb")) })

			open := closeGate()
			s, stop := serve(t, dir, env)
			s.extracting(t, date.String(), 1)
			step(by)
			s.leads(t, env)
			open()
			need := []string{"totals@" + date.String()}
			if by > 24*time.Hour { // another date is due by the clock, and its night is brought as well
				need = append(need, "totals@"+date.AddDays(1).String())
			}
			must(t, dir, env, append([]string{"wait", "--url", s.url, "--timeout", "10m"}, need...)...)
			untilWithin(t, processTime, "no run goes on", func() bool { return len(inLedger(t, env, "SELECT FROM runs WHERE state = 'running'")) == 0 })
			step(0)
			s.leads(t, env)
			must(t, dir, env, append([]string{"wait", "--url", s.url, "--timeout", "5m"}, need...)...)
			stop()

			var want [][]string
			for _, d := range append([]string{"totals@" + before.String()}, need...) {
				want = append(want, []string{strings.TrimPrefix(d, "totals@"), "succeeded"})
			}
			if diff := cmp.Diff(want, inLedger(t, env, "SELECT date, state FROM runs ORDER BY date")); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
			if twice := inLedger(t, env, "SELECT dataset, date, count(*) FROM versions GROUP BY 1, 2 HAVING count(*) > 1"); len(twice) > 0 {
				t.Errorf("published more than once: %v", twice)
			}
			if rows := must(t, dir, env, "query", "-f", "csv", "SELECT * FROM analytics.totals").out; !strings.HasSuffix(rows, "\n400000,800002000.00\n") {
				t.Errorf("totals: %s", rows)
			}
		})
	}
}

// leads waits until the process has said that it goes on leading, by the clock as it is now.
func (s *server) leads(t *testing.T, env []string) {
	t.Helper()
	const lead = "SELECT lease_until FROM leaders"
	last := inLedger(t, env, lead)[0][0]
	until(t, "the process goes on leading", func() bool { return inLedger(t, env, lead)[0][0] != last })
}
