package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Events returns the events after that seq in their order, at most limit of them. Once an event has been
// returned, no event with a lower seq can appear any more.
//
// The kinds are dataset.added, .changed, .retired; day.expected, .not_expected; run.created, .retried and
// .<state>; step.<state>, .released and .billed; manifest.saved; schema.changed;
// version.published, and .ranked of a date for which another one counts since; ledger.forgot; tick.run, .skipped;
// incident.opened, .updated, .resolved; day.withdrawn, .reinstated, .allowed, .let_pass.
func (l *Ledger) Events(ctx context.Context, after int64, limit int) (events []elt.Event, err error) {
	text := fmt.Sprintf(`SELECT seq, at, kind, dataset, date, run, step, detail FROM events WHERE seq > $1 AND %s ORDER BY seq LIMIT %d`, l.until("at"), limited(limit))
	scan := func(row scanner) (e elt.Event, err error) {
		err = row.Scan(&e.Seq, intoInstant{&e.At}, &e.Kind, &e.Dataset, intoDate{&e.Date}, &e.Run, &e.Step, intoText[json.RawMessage]{&e.Detail})
		return e, err
	}
	err = l.read(ctx, "read events", func(ctx context.Context, q queryer) error {
		events, err = collect(ctx, q, scan, text, after)
		return err
	})
	return events, err
}
