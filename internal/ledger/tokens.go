package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// CreateToken keeps a token whose text has that digest. CreatedAt is the ledger's.
func (l *Ledger) CreateToken(ctx context.Context, t elt.Token, digest elt.Digest) (elt.Token, error) {
	err := l.change(ctx, "keep token "+string(t.ID), func(ctx context.Context, c *change) error {
		if !t.ExpiresAt.IsZero() && !c.now.Before(t.ExpiresAt) {
			return &elt.Error{
				Code: "token_expired", Class: elt.Config,
				What: fmt.Sprintf("a token that expires at %s would never be valid", t.ExpiresAt.UTC().Format(time.RFC3339)), Do: "choose a later time",
			}
		}
		t.CreatedAt = c.now
		const text = `INSERT INTO tokens (id, name, role, digest, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`
		if _, err := c.exec(ctx, text, string(t.ID), t.Name, string(t.Role), hex.EncodeToString(digest[:]), t.CreatedBy, instant(c.now), instant(t.ExpiresAt)); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: t.CreatedBy, Action: "token.create", Target: string(t.ID), Reason: t.Name + ", " + string(t.Role)})
	})
	return t, err
}

const tokenColumns = `id, name, role, created_by, created_at, expires_at, revoked_at, revoked_by`

func scanToken(row scanner, more ...any) (t elt.Token, err error) {
	err = row.Scan(append([]any{&t.ID, &t.Name, &t.Role, &t.CreatedBy, intoInstant{&t.CreatedAt}, intoInstant{&t.ExpiresAt}, intoInstant{&t.RevokedAt}, &t.RevokedBy}, more...)...)
	return t, err
}

// Tokens returns every token there ever was, the newest first.
func (l *Ledger) Tokens(ctx context.Context) (tokens []elt.Token, err error) {
	err = l.read(ctx, "list the tokens", func(ctx context.Context, q queryer) error {
		scan := func(row scanner) (elt.Token, error) { return scanToken(row) }
		tokens, err = collect(ctx, q, scan, `SELECT `+tokenColumns+` FROM tokens ORDER BY created_at DESC, id`)
		return err
	})
	return tokens, err
}

// RevokeToken ends a token and every session that it began, at once. To revoke it twice is harmless.
func (l *Ledger) RevokeToken(ctx context.Context, id elt.TokenID, actor string) (t elt.Token, err error) {
	err = l.change(ctx, "revoke token "+string(id), func(ctx context.Context, c *change) error {
		t, err = scanToken(c.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE id = $1`, string(id)))
		if errors.Is(err, sql.ErrNoRows) {
			return &elt.Error{Code: "token_unknown", Class: elt.Config, What: fmt.Sprintf("there is no token %q", id), Do: "see daybreak token list"}
		}
		if err != nil || !t.RevokedAt.IsZero() {
			return err
		}
		t.RevokedAt, t.RevokedBy = c.now, actor
		if _, err := c.exec(ctx, `UPDATE tokens SET revoked_at = $1, revoked_by = $2 WHERE id = $3`, instant(c.now), actor, string(id)); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `DELETE FROM sessions WHERE token = $1`, string(id)); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "token.revoke", Target: string(id), Reason: t.Name})
	})
	return t, err
}

// Authenticate returns the token whose text has that digest; ok is false for one that is unknown, revoked or expired by
// the ledger's clock.
func (l *Ledger) Authenticate(ctx context.Context, id elt.TokenID, digest elt.Digest) (t elt.Token, ok bool, err error) {
	err = l.read(ctx, "look up a token", func(ctx context.Context, q queryer) error {
		var kept string
		var now time.Time
		text := `SELECT ` + tokenColumns + `, digest, ` + l.engine.dialect().clock + ` FROM tokens WHERE id = $1`
		t, err = scanToken(q.QueryRowContext(ctx, text, string(id)), &kept, intoInstant{&now})
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		var want elt.Digest
		if n, bad := hex.Decode(want[:], []byte(kept)); err == nil && (bad != nil || n != len(want)) {
			return fmt.Errorf("the digest of token %s is damaged", id)
		}
		ok = want.Equal(digest) && t.ValidAt(now)
		return err
	})
	return t, ok && err == nil, err
}

// StartSession keeps a session whose cookie has that digest for that long, and forgets those that have ended.
func (l *Ledger) StartSession(ctx context.Context, s elt.Session, digest elt.Digest, length time.Duration) error {
	return l.change(ctx, "begin a session of "+s.Name, func(ctx context.Context, c *change) error {
		c.touched = true
		if _, err := c.exec(ctx, `DELETE FROM sessions WHERE expires_at <= $1`, instant(c.now)); err != nil {
			return err
		}
		token := any(string(s.Token))
		if s.Token == "" {
			token = nil
		}
		const text = `INSERT INTO sessions (digest, token, name, role, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`
		_, err := c.exec(ctx, text, hex.EncodeToString(digest[:]), token, s.Name, string(s.Role), instant(c.now), instant(c.now.Add(length)))
		return err
	})
}

// Session returns the session whose cookie has that digest; ok is false when it has ended, or its token.
func (l *Ledger) Session(ctx context.Context, digest elt.Digest) (s elt.Session, ok bool, err error) {
	err = l.read(ctx, "look up a session", func(ctx context.Context, q queryer) error {
		var token elt.Token
		var now time.Time
		text := `SELECT s.token, s.name, s.role, s.expires_at, t.expires_at, t.revoked_at, ` + l.engine.dialect().clock + `
			FROM sessions s LEFT JOIN tokens t ON t.id = s.token WHERE s.digest = $1`
		err := q.QueryRowContext(ctx, text, hex.EncodeToString(digest[:])).Scan(intoText[elt.TokenID]{&s.Token}, &s.Name, &s.Role,
			intoInstant{&s.ExpiresAt}, intoInstant{&token.ExpiresAt}, intoInstant{&token.RevokedAt}, intoInstant{&now})
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok = now.Before(s.ExpiresAt) && token.ValidAt(now)
		return err
	})
	return s, ok && err == nil, err
}

// EndSession signs a browser out.
func (l *Ledger) EndSession(ctx context.Context, digest elt.Digest) error {
	return l.change(ctx, "end a session", func(ctx context.Context, c *change) error {
		c.touched = true
		_, err := c.exec(ctx, `DELETE FROM sessions WHERE digest = $1`, hex.EncodeToString(digest[:]))
		return err
	})
}
