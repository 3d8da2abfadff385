package statustest

import (
	"context"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Keys keeps tokens and sessions in memory.
type Keys struct {
	*Ledger
	clock    func() time.Time
	tokens   map[elt.Digest]*elt.Token
	sessions map[elt.Digest]elt.Session
	Lookups  int // how often somebody was looked up
}

// NewKeys returns what vouches for nobody yet. It shares the ledger's failures.
func NewKeys(l *Ledger, clock func() time.Time) *Keys {
	return &Keys{Ledger: l, clock: clock, tokens: make(map[elt.Digest]*elt.Token), sessions: make(map[elt.Digest]elt.Session)}
}

// Add makes a token that ends at that time, zero for never, and returns its text.
func (k *Keys) Add(name string, role elt.Role, until time.Time) string {
	text, id := elt.NewTokenText()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[elt.DigestOf(text)] = &elt.Token{ID: id, Name: name, Role: role, ExpiresAt: until}
	return text
}

// Revoke ends a token.
func (k *Keys) Revoke(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[elt.DigestOf(text)].RevokedAt = k.clock()
}

// Authenticate is part of status.TokenLedger.
func (k *Keys) Authenticate(_ context.Context, id elt.TokenID, digest elt.Digest) (elt.Token, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Lookups++
	t := k.tokens[digest]
	if k.failure != nil || t == nil || t.ID != id {
		return elt.Token{}, false, k.failure
	}
	return *t, t.ValidAt(k.clock()), nil
}

// Session is part of status.TokenLedger.
func (k *Keys) Session(_ context.Context, digest elt.Digest) (elt.Session, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Lookups++
	s, ok := k.sessions[digest]
	if k.failure != nil || !ok {
		return elt.Session{}, false, k.failure
	}
	for _, t := range k.tokens {
		if t.ID == s.Token && !t.ValidAt(k.clock()) {
			return elt.Session{}, false, nil
		}
	}
	return s, k.clock().Before(s.ExpiresAt), nil
}

// StartSession is part of status.TokenLedger.
func (k *Keys) StartSession(_ context.Context, s elt.Session, digest elt.Digest, length time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.ExpiresAt = k.clock().Add(length)
	k.sessions[digest] = s
	return k.failure
}

// EndSession is part of status.TokenLedger.
func (k *Keys) EndSession(_ context.Context, digest elt.Digest) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sessions, digest)
	return k.failure
}
