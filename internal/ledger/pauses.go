package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const pauseColumns = `schedule, paused_by, paused_at, until, reason`

func scanPause(row scanner) (p elt.Pause, err error) {
	err = row.Scan(&p.Schedule, &p.By, intoInstant{&p.At}, intoInstant{&p.Until}, &p.Reason)
	return p, err
}

// PauseSchedule tells a schedule to rest: until a time, or until somebody resumes it. Pausing it again replaces time and
// reason. At is the ledger's.
func (l *Ledger) PauseSchedule(ctx context.Context, p elt.Pause) (elt.Pause, error) {
	err := l.change(ctx, "pause schedule "+string(p.Schedule), func(ctx context.Context, c *change) error {
		if p.Reason == "" || !p.Until.IsZero() && !p.Until.After(c.now) {
			return &elt.Error{Code: "bad_pause", Class: elt.Config, What: "a pause needs a reason, and an end that is ahead if it has one", Do: "say why, and until when: 2026-12-01 06:00, or 12h"}
		}
		p.At = c.now
		if err := c.keepPause(ctx, `schedule = $1`, string(p.Schedule)); err != nil {
			return err
		}
		const text = `INSERT INTO pauses (` + pauseColumns + `) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (schedule) DO UPDATE SET paused_by = excluded.paused_by, paused_at = excluded.paused_at, until = excluded.until, reason = excluded.reason`
		if _, err := c.exec(ctx, text, string(p.Schedule), p.By, instant(p.At), instant(p.Until), p.Reason); err != nil {
			return err
		}
		if _, err := c.record(elt.Event{Kind: "schedule.paused"}, map[string]string{"schedule": string(p.Schedule), "actor": p.By, "reason": p.Reason}); err != nil {
			return err
		}
		until := "until it is resumed"
		if !p.Until.IsZero() {
			until = "until " + p.Until.UTC().Format(time.RFC3339)
		}
		return c.audit(ctx, elt.AuditEntry{Actor: p.By, Action: "schedule.pause", Target: fmt.Sprintf("%s %s", p.Schedule, until), Reason: p.Reason})
	})
	return p, err
}

// ResumeSchedule ends a pause. changed is false when the schedule does not rest.
func (l *Ledger) ResumeSchedule(ctx context.Context, s elt.ScheduleName, actor, reason string) (changed bool, err error) {
	err = l.change(ctx, "resume schedule "+string(s), func(ctx context.Context, c *change) error {
		const resting = `schedule = $1 AND (until IS NULL OR until > $2)`
		if err := c.keepPause(ctx, resting, string(s), instant(c.now)); err != nil {
			return err
		}
		n, err := c.exec(ctx, `DELETE FROM pauses WHERE `+resting, string(s), instant(c.now))
		if err != nil || n == 0 {
			return err
		}
		changed = true
		if _, err := c.record(elt.Event{Kind: "schedule.resumed"}, map[string]string{"schedule": string(s), "actor": actor}); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "schedule.resume", Target: string(s), Reason: reason})
	})
	return changed && err == nil, err
}

// keepPause keeps what a pause says, right before it is replaced or ended.
func (c *change) keepPause(ctx context.Context, condition string, args ...any) error {
	text := `INSERT INTO past_pauses (` + pauseColumns + `, over_at) SELECT ` + pauseColumns + `, '` + instant(c.now).(string) + `' FROM pauses WHERE ` + condition
	_, err := c.ExecContext(ctx, text, args...)
	return err
}

// Pauses returns the schedules that rest now, or that rested at the ledger's moment.
func (l *Ledger) Pauses(ctx context.Context) (pauses []elt.Pause, err error) {
	err = l.read(ctx, "list the schedules that rest", func(ctx context.Context, q queryer) error {
		now, err := l.clock(ctx, q)
		if err != nil {
			return err
		}
		rested := `pauses`
		if !l.moment.IsZero() {
			at := l.until("paused_at")
			rested = `(SELECT ` + pauseColumns + ` FROM pauses WHERE ` + at + ` UNION ALL SELECT ` + pauseColumns + ` FROM past_pauses WHERE ` + at + ` AND NOT ` + l.until("over_at") + `) AS pauses`
		}
		pauses, err = collect(ctx, q, scanPause, `SELECT `+pauseColumns+` FROM `+rested+` WHERE until IS NULL OR until > $1 ORDER BY schedule`, instant(now))
		return err
	})
	return pauses, err
}
