package statustest

import (
	"context"
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Acts carries out acts on a world in memory, and keeps what was asked.
type Acts struct {
	*Keys
	steered    map[elt.BackfillID]elt.BackfillState
	seen       elt.VersionID
	RolledBack int      // how many of two versions are not read any more
	Asked      []string // "cancel 20261121t0500-nightly by on-call: wrong date"
	remarks    []elt.Remark
	requests   map[string]kept
}

type kept struct {
	digest elt.Digest
	status int
	answer string
}

// NewActs returns acts by the holders of tokens.
func NewActs(k *Keys) *Acts { return &Acts{Keys: k, requests: make(map[string]kept)} }

func (a *Acts) asked(format string, args ...any) {
	a.Asked = append(a.Asked, fmt.Sprintf(format, args...))
}

// RetryRun is part of status.ActLedger.
func (a *Acts) RetryRun(ctx context.Context, id elt.RunID, actor string) (int, error) {
	run, err := a.Run(ctx, id)
	if err != nil {
		return 0, err
	}
	if !run.State.Terminal() {
		return 0, &elt.Error{Code: "run_running", Class: elt.Conflict, What: "it is still running", Do: "wait"}
	}
	a.asked("retry %s by %s", id, actor)
	return 3, nil
}

// CancelRun is part of status.ActLedger.
func (a *Acts) CancelRun(ctx context.Context, id elt.RunID, actor, reason string) error {
	if _, err := a.Run(ctx, id); err != nil {
		return err
	}
	a.asked("cancel %s by %s: %s", id, actor, reason)
	return nil
}

// AcknowledgeIncident is part of status.ActLedger.
func (a *Acts) AcknowledgeIncident(_ context.Context, id elt.IncidentID, actor string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.incidents, func(in elt.Incident) bool { return in.ID == id })
	if i < 0 {
		return false, &elt.Error{Code: "incident_unknown", Class: elt.Data, What: "no such incident", Do: "look"}
	}
	changed := a.incidents[i].AcknowledgedBy != actor
	a.incidents[i].AcknowledgedBy, a.incidents[i].AcknowledgedAt = actor, a.clock()
	a.asked("acknowledge %s by %s", id, actor)
	return changed, nil
}

// Remark is part of status.ActLedger.
func (a *Acts) Remark(_ context.Context, r elt.Remark) (elt.Remark, error) {
	r.ID, r.At = elt.RemarkID(fmt.Sprintf("remark-%d", len(a.remarks)+1)), a.clock()
	a.remarks = append(a.remarks, r)
	return r, nil
}

// RemoveRemark is part of status.ActLedger.
func (a *Acts) RemoveRemark(_ context.Context, id elt.RemarkID, actor string) error {
	before := len(a.remarks)
	a.remarks = slices.DeleteFunc(a.remarks, func(r elt.Remark) bool { return r.ID == id })
	if len(a.remarks) == before {
		return &elt.Error{Code: "remark_unknown", Class: elt.Data, What: "no such remark", Do: "look"}
	}
	a.asked("remove %s by %s", id, actor)
	return nil
}

// Remarks is part of status.ActLedger.
func (a *Acts) Remarks(_ context.Context, incident elt.IncidentID, dataset elt.DatasetName, limit int) (out []elt.Remark, err error) {
	for _, r := range slices.Backward(a.remarks) {
		if (incident != "" && r.Incident == incident || dataset != "" && r.Dataset == dataset) && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

// Withdraw is part of status.ActLedger.
func (a *Acts) Withdraw(_ context.Context, d elt.DatasetName, date elt.Date, actor, reason string) (bool, error) {
	return a.judge(d, date, reason, fmt.Sprintf("withdraw %s %s by %s: %s", d, date, actor, reason))
}

// Reinstate is part of status.ActLedger.
func (a *Acts) Reinstate(_ context.Context, d elt.DatasetName, date elt.Date, actor, reason string) (bool, error) {
	return a.judge(d, date, "", fmt.Sprintf("reinstate %s %s by %s: %s", d, date, actor, reason))
}

func (a *Acts) judge(d elt.DatasetName, date elt.Date, says, asked string) (bool, error) {
	a.mu.Lock()
	day, ok := a.days[elt.DayKey{Dataset: d, Date: date}]
	a.mu.Unlock()
	if !ok {
		return false, &elt.Error{Code: "day_unknown", Class: elt.Config, What: "no such day", Do: "look"}
	}
	changed := day.Withdrawn != says
	day.Withdrawn = says
	a.SetDay(day)
	a.asked("%s", asked)
	return changed, nil
}

// PlanRollback is part of status.Rollbacks: there are two versions, of the last two nights.
func (a *Acts) PlanRollback(_ context.Context, d elt.DatasetName, to string) (elt.Rollback, error) {
	last := elt.DateOf(a.clock()).AddDays(-1)
	var versions []elt.Version
	for back := range 2 {
		date := last.AddDays(-back)
		versions = append(versions, elt.Version{ID: elt.NewVersionID(d, RunOf("nightly", date)), Dataset: d, Date: date, Rows: int64(100 - back), PublishedAt: a.clock().AddDate(0, 0, -back), Checks: elt.ChecksPassed})
	}
	versions = versions[a.RolledBack:]
	plan := elt.Rollback{Dataset: d, Current: versions[0], Lost: []elt.Date{last}, Feeds: []elt.DatasetName{}, Versions: versions}
	for _, v := range versions {
		if to == string(v.ID) || to == v.Date.String() || to == "" && v.ID != plan.Current.ID {
			plan.Target = v
			return plan, nil
		}
	}
	return plan, &elt.Error{Code: "version_unknown", Class: elt.Config, What: "no such version", Do: "look"}
}

// Rollback is part of status.Rollbacks.
func (a *Acts) Rollback(_ context.Context, plan elt.Rollback, actor, reason string) (elt.RunID, error) {
	a.RolledBack++
	a.asked("rollback %s to %s by %s: %s", plan.Dataset, plan.Target.ID, actor, reason)
	return "20261121t0600-rollback", nil
}

// CreateToken is part of status.ActLedger.
func (a *Acts) CreateToken(_ context.Context, t elt.Token, digest elt.Digest) (elt.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.CreatedAt = a.clock()
	a.tokens[digest] = &t
	return t, nil
}

// RevokeToken is part of status.ActLedger.
func (a *Acts) RevokeToken(_ context.Context, id elt.TokenID, actor string) (elt.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tokens {
		if t.ID == id {
			t.RevokedAt, t.RevokedBy = a.clock(), actor
			return *t, nil
		}
	}
	return elt.Token{}, &elt.Error{Code: "token_unknown", Class: elt.Config, What: "no such token", Do: "look"}
}

// Tokens is part of status.ActLedger.
func (a *Acts) Tokens(context.Context) (out []elt.Token, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tokens {
		out = append(out, *t)
	}
	return out, nil
}

// Messages is part of status.ActLedger: each incident was told to two destinations, one of which does not answer.
func (a *Acts) Messages(_ context.Context, incident elt.IncidentID, _ int) ([]elt.Message, error) {
	told := elt.Notice{Kind: elt.NoticeOpened, Incident: elt.Incident{ID: incident}}
	return []elt.Message{
		{ID: elt.MessageID(incident) + "/slack", Destination: "slack", Notice: told, State: elt.MessageDelivered, Attempt: 1, CreatedAt: a.clock(), EndedAt: a.clock()},
		{
			ID: elt.MessageID(incident) + "/pager", Destination: "pager", Notice: told, State: elt.MessagePending, Attempt: 3, CreatedAt: a.clock(),
			Error: &elt.Failure{Code: "destination_unreachable", Class: elt.Transient, Message: "it does not answer", Do: "look at it"},
		},
	}, nil
}

// LineageStates is part of status.ActLedger: one endpoint is away.
func (a *Acts) LineageStates(context.Context) ([]elt.LineageState, error) {
	return []elt.LineageState{{
		Destination: "openlineage", Seq: 120, Behind: 14, Delivered: 90, GivenUp: 1, DeliveredAt: a.clock(), Attempt: 3, NextAttemptAt: a.clock(),
		Error: &elt.Failure{Code: "destination_unreachable", Class: elt.Transient, Message: "it does not answer", Do: "look at it"},
	}}, nil
}

// BeginRequest is part of status.ActLedger.
func (a *Acts) BeginRequest(_ context.Context, actor, key string, digest elt.Digest) (int, string, error) {
	k, ok := a.requests[actor+" "+key]
	switch {
	case !ok:
		a.requests[actor+" "+key] = kept{digest: digest}
		return 0, "", nil
	case k.digest != digest:
		return 0, "", &elt.Error{Code: "idempotency_key_reused", Class: elt.Conflict, What: "used before", Do: "another"}
	}
	return k.status, k.answer, nil
}

// EndRequest is part of status.ActLedger.
func (a *Acts) EndRequest(_ context.Context, actor, key string, status int, answer string) error {
	k := a.requests[actor+" "+key]
	k.status, k.answer = status, answer
	a.requests[actor+" "+key] = k
	if status == 0 {
		delete(a.requests, actor+" "+key)
	}
	return nil
}

// AuditTrail is part of status.ActLedger.
func (a *Acts) AuditTrail(_ context.Context, before int64, limit int) (out []elt.AuditEntry, next int64, err error) {
	for i, text := range slices.Backward(a.Asked) {
		if n := int64(i + 1); (before == 0 || n < before) && len(out) < limit {
			out = append(out, elt.AuditEntry{At: a.clock(), Actor: "on-call", Action: "act", Target: text})
			next = n
		}
	}
	if next == 1 {
		next = 0
	}
	return out, next, nil
}
