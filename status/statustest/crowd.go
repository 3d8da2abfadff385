package statustest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// LongName is as long as a dataset's name reasonably gets, and then some.
const LongName elt.DatasetName = "warehouse_replica_eu_west.conversation_participant_assignment_history_snapshots"

// Crowd is a large company's morning: the busy one with as many more datasets, every one with ninety days
// behind it, one with a very long name, one with six owners, and a night that failed with a very long error.
func Crowd(more int) *World {
	w := Busy()
	w.crowd(more, func(i int) bool { return i == 0 })
	return w
}

// Outage is the busy world with so many more datasets, of which none came: their source is away. So many models more wait
// for one that is held up.
func Outage(tables, models int) *World {
	w := Busy()
	w.crowd(tables, func(int) bool { return true })
	for i := range models {
		d := elt.Dataset{
			Name: elt.DatasetName(fmt.Sprintf("mart_of_the_board_%03d", i)), Kind: elt.ModelDataset, Schedule: "finance", Materialized: "table", Inputs: []elt.DatasetName{"board_report"},
			Description: "What one member of the board asked for once", Owners: []string{"analytics@example.com"},
		}
		w.AddDatasets(d)
		w.SetDay(elt.Day{Dataset: d.Name, Date: w.Night, Run: RunOf("finance", w.Night), Deadline: w.Night.AddDays(1).At(7, 0, w.Zone)})
	}
	return w
}

// crowd adds datasets with ninety days behind them, or a week for those beyond what a page shows, and on the latest night
// each with its own end.
func (w *World) crowd(more int, fails func(i int) bool) {
	run := w.crowdNight(elt.RunPartial)
	digits := max(2, len(strconv.Itoa(more-1)))
	for i := range more {
		d := elt.Dataset{
			Name: elt.DatasetName(fmt.Sprintf("ops.region_%0*d_metrics", digits, i)), Kind: elt.TableDataset, Schedule: "regions", Materialized: "incremental",
			Description: "What happens in the region, hour by hour, with a description that goes on for longer than any table has room for", Owners: []string{"operations@example.com", "data-platform@example.com"},
		}
		switch i {
		case 0:
			d.Name = LongName
		case 1:
			d.Owners = []string{"operations@example.com", "growth@example.com", "billing@example.com", "messaging@example.com", "analytics@example.com", "data-platform@example.com"}
		case 2:
			d.Description, d.Owners = "", nil
		}
		d.Relation = string(d.Name)
		w.AddDatasets(d)
		days := 90
		if i > 400 {
			days = 7
		}
		for back := range days {
			w.crowdDay(d.Name, run, back, i, fails(i))
		}
	}
}

func (w *World) crowdNight(state elt.RunState) elt.RunID {
	run := RunOf("regions", w.Night)
	began := w.Fire("early", w.Night)
	w.SetRun(elt.Run{ID: run, Schedule: "regions", Date: w.Night, Kind: elt.ScheduledRun, State: state, CreatedAt: began, FinishedAt: began.Add(50 * time.Minute)})
	return run
}

func (w *World) crowdDay(name elt.DatasetName, run elt.RunID, back, i int, fails bool) {
	date := w.Night.AddDays(-back)
	of := RunOf("regions", date)
	w.SetDay(elt.Day{Dataset: name, Date: date, Run: of, Deadline: date.AddDays(1).At(7, 0, w.Zone)})
	began := w.Fire("early", date).Add(time.Duration(i%60) * time.Minute / 2)
	if back == 0 {
		st := elt.Step{
			ID: elt.NewStepID(run, elt.ExtractStep, name), Run: run, Kind: elt.ExtractStep, Dataset: name, Date: date, State: elt.StepSucceeded, Attempt: 1, StartedAt: began, FinishedAt: began.Add(9 * time.Minute),
			Progress: elt.Progress{Rows: 88_000, RowsExpected: 88_000, Bytes: 4_000_000}, Result: elt.Result{Rows: 88_000, Bytes: 4_000_000},
		}
		if fails {
			st.State, st.Result = elt.StepFailed, elt.Result{}
			st.Error = &elt.Failure{
				Code: "source_query_failed", Class: elt.Transient,
				Message: "table " + string(name) + " cannot be read: ERROR: canceling statement due to conflict with recovery (SQLSTATE 40001): User query might have needed to see row versions that must be removed, " + strings.Repeat("and the replica replayed them while part after part was being written, ", 6) + "after 41,204,118 rows",
				Do:      "raise max_standby_streaming_delay on the replica or read from the primary, then: daybreak run --date " + date.String(),
			}
		}
		w.SetStep(st)
		if fails {
			return
		}
	}
	w.Publish(elt.Version{ID: elt.NewVersionID(name, of), Dataset: name, Date: date, Run: of, Fence: 1, PublishedAt: began.Add(12 * time.Minute), Rows: 88_000 + int64(dice(string(name), date)), Checks: elt.ChecksPassed})
}
