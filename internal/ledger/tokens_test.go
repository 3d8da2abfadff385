package ledger_test

import (
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

func TestTokens(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		text, id := elt.NewTokenText()
		parsed, digest, well := elt.ParseToken(text)
		if !well || parsed != id {
			t.Fatalf("%q is not read again", text)
		}
		made := must(l.CreateToken(ctx, elt.Token{ID: id, Name: "reports", Role: elt.Operator, CreatedBy: "anne"}, digest))(t)
		got, valid, err := l.Authenticate(ctx, id, digest)
		ok(t, err)
		if !valid || got.Name != "reports" || got.Role != elt.Operator || !got.CreatedAt.Equal(made.CreatedAt) {
			t.Errorf("authenticated as %+v, %v", got, valid)
		}
		for name, try := range map[string]struct {
			id     elt.TokenID
			digest elt.Digest
		}{"another secret": {id, elt.DigestOf(text + "x")}, "another id": {"aaaaaaaa", digest}} {
			if _, valid, err := l.Authenticate(ctx, try.id, try.digest); valid || err != nil {
				t.Errorf("%s: %v, %v", name, valid, err)
			}
		}
		cookie := elt.DigestOf("cookie")
		ok(t, l.StartSession(ctx, elt.Session{Token: id, Name: "reports", Role: elt.Operator}, cookie, time.Hour))
		if s, valid, err := l.Session(ctx, cookie); err != nil || !valid || s.Token != id || s.Role != elt.Operator {
			t.Errorf("session %+v, %v, %v", s, valid, err)
		}
		elsewhere := elt.DigestOf("elsewhere")
		ok(t, l.StartSession(ctx, elt.Session{Name: "anne@example.com", Role: elt.Viewer}, elsewhere, time.Hour))
		for range 2 { // twice is harmless
			if gone := must(l.RevokeToken(ctx, id, "ben"))(t); gone.RevokedBy != "ben" {
				t.Errorf("revoked by %q", gone.RevokedBy)
			}
		}
		if _, valid, err := l.Authenticate(ctx, id, digest); valid || err != nil {
			t.Errorf("a revoked token: %v, %v", valid, err)
		}
		if _, valid, err := l.Session(ctx, cookie); valid || err != nil {
			t.Errorf("a revoked token's session: %v, %v", valid, err)
		}
		if _, valid, err := l.Session(ctx, elsewhere); !valid || err != nil {
			t.Errorf("another's session: %v, %v", valid, err)
		}
		ok(t, l.EndSession(ctx, elsewhere))
		if _, valid, _ := l.Session(ctx, elsewhere); valid {
			t.Error("a session outlives its end")
		}
		_, err = l.RevokeToken(ctx, "aaaaaaaa", "ben")
		wantCode(t, err, "token_unknown")
		_, err = l.CreateToken(ctx, elt.Token{ID: "bbbbbbbb", Name: "x", Role: elt.Viewer, ExpiresAt: made.CreatedAt.Add(-time.Second)}, digest)
		wantCode(t, err, "token_expired")
		trail, _, err := l.AuditTrail(ctx, 0, 10)
		ok(t, err)
		if len(trail) != 2 || trail[0].Action != "token.revoke" || trail[1].Actor != "anne" {
			t.Errorf("the audit trail says %+v", trail)
		}
	})
}

// A session ends at its time, and a token at its own, by the ledger's clock alone.
func TestTokensExpire(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		text, id := elt.NewTokenText()
		now := must(l.Now(ctx))(t)
		must(l.CreateToken(ctx, elt.Token{ID: id, Name: "short", Role: elt.Viewer, ExpiresAt: now.Add(time.Hour)}, elt.DigestOf(text)))(t)
		ok(t, l.StartSession(ctx, elt.Session{Token: id, Name: "short", Role: elt.Viewer}, elt.DigestOf("kept"), time.Hour))
		ok(t, l.StartSession(ctx, elt.Session{Name: "ended", Role: elt.Viewer}, elt.DigestOf("ended"), -time.Second))
		if _, valid, err := l.Session(ctx, elt.DigestOf("ended")); valid || err != nil {
			t.Errorf("a session that has ended: %v, %v", valid, err)
		}
		must(l.Writer().ExecContext(ctx, `UPDATE tokens SET expires_at = created_at`))(t)
		if _, valid, _ := l.Authenticate(ctx, id, elt.DigestOf(text)); valid {
			t.Error("a token that has ended lets in")
		}
		if _, valid, _ := l.Session(ctx, elt.DigestOf("kept")); valid {
			t.Error("the session of a token that has ended lets in")
		}
	})
}

func TestRequestsAreCarriedOutOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		digest := elt.DigestOf("POST /v1/x {}")
		begin := func(actor, key string, d elt.Digest) (int, string, error) { return l.BeginRequest(ctx, actor, key, d) }
		status, _, err := begin("anne", "k1", digest)
		ok(t, err)
		if status != 0 {
			t.Fatalf("a new request was answered %d before", status)
		}
		_, _, err = begin("anne", "k1", digest)
		wantCode(t, err, "request_in_progress")
		ok(t, l.EndRequest(ctx, "anne", "k1", 200, `{"ok":true}`))
		status, answer, err := begin("anne", "k1", digest)
		ok(t, err)
		if status != 200 || answer != `{"ok":true}` {
			t.Errorf("repeated: %d %s", status, answer)
		}
		_, _, err = begin("anne", "k1", elt.DigestOf("another"))
		wantCode(t, err, "idempotency_key_reused")
		if status, _, err := begin("ben", "k1", elt.DigestOf("another")); status != 0 || err != nil {
			t.Errorf("another's key: %d, %v", status, err)
		}
		ok(t, l.EndRequest(ctx, "ben", "k1", 0, "")) // it failed before it changed anything
		if status, _, err := begin("ben", "k1", digest); status != 0 || err != nil {
			t.Errorf("a key given back: %d, %v", status, err)
		}
		// A process died in the middle of it.
		must(l.Writer().ExecContext(ctx, `UPDATE requests SET created_at = '2026-01-01T00:00:00.000000Z' WHERE actor = 'ben'`))(t)
		if status, _, err := begin("ben", "k1", digest); status != 0 || err != nil {
			t.Errorf("an abandoned request: %d, %v", status, err)
		}
	})
}
