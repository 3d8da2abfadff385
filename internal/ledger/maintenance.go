package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const maintenanceColumns = `id, from_at, to_at, zone, everything, datasets, sources, reason, created_by, created_at, ended_at, ended_by`

func scanMaintenance(row scanner) (m elt.Maintenance, err error) {
	err = row.Scan(&m.ID, intoInstant{&m.From}, intoInstant{&m.To}, &m.Zone, &m.Everything, intoDocument{&m.Datasets}, intoDocument{&m.Sources},
		&m.Reason, &m.By, intoInstant{&m.CreatedAt}, intoInstant{&m.EndedAt}, &m.EndedBy)
	return m, err
}

// AddMaintenance keeps a window that a person asks for. Its ID and CreatedAt are the ledger's.
func (l *Ledger) AddMaintenance(ctx context.Context, m elt.Maintenance) (elt.Maintenance, error) {
	if err := m.Check(); err != nil {
		return m, err
	}
	err := l.change(ctx, "keep a maintenance window", func(ctx context.Context, c *change) error {
		if !m.To.After(c.now) {
			return &elt.Error{Code: "bad_maintenance", Class: elt.Config, What: fmt.Sprintf("the window is over: it ended at %s", m.To.Format(time.RFC3339)), Do: "give a later end: what has happened is not taken back"}
		}
		if err := c.addMaintenance(ctx, &m); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: m.By, Action: "maintenance.add", Target: maintenanceTarget(m), Reason: m.Reason})
	})
	return m, err
}

func maintenanceTarget(m elt.Maintenance) string {
	return fmt.Sprintf("%s: %s, %s to %s", m.ID, m.Covers(), m.From.UTC().Format(time.RFC3339), m.To.UTC().Format(time.RFC3339))
}

func (c *change) addMaintenance(ctx context.Context, m *elt.Maintenance) error {
	seq, err := c.record(elt.Event{Kind: "maintenance.added"}, map[string]string{"from": m.From.UTC().Format(time.RFC3339), "to": m.To.UTC().Format(time.RFC3339), "covers": m.Covers(), "reason": m.Reason})
	if err != nil {
		return err
	}
	if m.ID == "" {
		m.ID = elt.MaintenanceID(fmt.Sprintf("maintenance-%d", seq))
	}
	m.CreatedAt, m.EndedAt, m.EndedBy = c.now, time.Time{}, ""
	datasets, err := document{m.Datasets}.text()
	if err != nil {
		return err
	}
	sources, err := document{m.Sources}.text()
	if err != nil {
		return err
	}
	row := []any{string(m.ID), seq, instant(m.From), instant(m.To), m.Zone, number(m.Everything), datasets, sources, m.Reason, m.By, instant(c.now)}
	return c.insert(ctx, "maintenance (id, seq, from_at, to_at, zone, everything, datasets, sources, reason, created_by, created_at)", [][]any{row})
}

// EndMaintenance ends a window now, or calls one off that has not begun. changed is false for one that is over; the
// code is maintenance_unknown for one that never was.
func (l *Ledger) EndMaintenance(ctx context.Context, id elt.MaintenanceID, actor, reason string) (m elt.Maintenance, changed bool, err error) {
	err = l.change(ctx, fmt.Sprintf("end %s", id), func(ctx context.Context, c *change) error {
		m, err = scanMaintenance(c.QueryRowContext(ctx, `SELECT `+maintenanceColumns+` FROM maintenance WHERE id = $1`, string(id)))
		if errors.Is(err, sql.ErrNoRows) {
			return unknown("maintenance", id)
		}
		if err != nil || !m.Until().After(c.now) {
			return err
		}
		changed = true
		m.EndedAt, m.EndedBy = c.now, actor
		if err := c.endMaintenance(ctx, m); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "maintenance.end", Target: string(id), Reason: reason})
	})
	return m, changed && err == nil, err
}

func (c *change) endMaintenance(ctx context.Context, m elt.Maintenance) error {
	if _, err := c.exec(ctx, `UPDATE maintenance SET ended_at = $2, ended_by = $3 WHERE id = $1`, string(m.ID), instant(m.EndedAt), m.EndedBy); err != nil {
		return err
	}
	_, err := c.record(elt.Event{Kind: "maintenance.ended"}, map[string]string{"id": string(m.ID)})
	return err
}

// fromFile is how the IDs of windows begin that the configuration names.
const fromFile = "file-"

// SyncMaintenance makes the windows of the configuration, whose IDs begin with file-, the given ones: new ones are
// kept, and those that left the file end. What is over is history, and stays.
func (l *Ledger) SyncMaintenance(ctx context.Context, windows []elt.Maintenance) error {
	return l.change(ctx, "write the maintenance windows of the configuration", func(ctx context.Context, c *change) error {
		known, err := readMaintenance(ctx, c, time.Time{})
		if err != nil {
			return err
		}
		before := make(map[elt.MaintenanceID]elt.Maintenance)
		for _, m := range known {
			before[m.ID] = m
		}
		for _, m := range windows {
			old, exists := before[m.ID]
			delete(before, m.ID)
			switch {
			case !exists && m.To.After(c.now):
				if err := c.addMaintenance(ctx, &m); err != nil {
					return err
				}
			case exists && old.EndedBy == m.By && old.To.After(c.now): // it has come back into the file
				old.EndedAt, old.EndedBy = time.Time{}, ""
				if err := c.endMaintenance(ctx, old); err != nil {
					return err
				}
			}
		}
		for _, m := range before {
			if !strings.HasPrefix(string(m.ID), fromFile) || !m.Until().After(c.now) {
				continue
			}
			m.EndedAt, m.EndedBy = c.now, m.By
			if err := c.endMaintenance(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// maintenanceOf returns the windows that can matter to the days, as they were known at the ledger's moment.
func (l *Ledger) maintenanceOf(ctx context.Context, q queryer, days []elt.Day) ([]elt.Maintenance, error) {
	if len(days) == 0 {
		return nil, nil
	}
	first := days[0].Date
	for _, d := range days {
		if d.Date.Before(first) {
			first = d.Date
		}
	}
	windows, err := readMaintenance(ctx, q, first.Start(time.UTC))
	return l.announced(windows), err
}

// announced are those of the windows that had been, as they were known, at the ledger's moment.
func (l *Ledger) announced(windows []elt.Maintenance) []elt.Maintenance {
	if l.moment.IsZero() {
		return windows
	}
	known := windows[:0]
	for _, m := range windows {
		if m.CreatedAt.After(l.moment) {
			continue
		}
		if m.EndedAt.After(l.moment) { // nobody had ended it yet
			m.EndedAt, m.EndedBy = time.Time{}, ""
		}
		known = append(known, m)
	}
	return known
}

// Maintenance returns the windows that end after the given moment, in the order in which they begin.
func (l *Ledger) Maintenance(ctx context.Context, since time.Time) (windows []elt.Maintenance, err error) {
	err = l.read(ctx, "list the maintenance windows", func(ctx context.Context, q queryer) error {
		windows, err = readMaintenance(ctx, q, since)
		windows = l.announced(windows)
		return err
	})
	return windows, err
}

func readMaintenance(ctx context.Context, q queryer, since time.Time) ([]elt.Maintenance, error) {
	after := ""
	if !since.IsZero() {
		after = since.UTC().Format(instantLayout)
	}
	return collect(ctx, q, scanMaintenance, `SELECT `+maintenanceColumns+` FROM maintenance WHERE to_at > $1 ORDER BY from_at, seq`, after)
}
