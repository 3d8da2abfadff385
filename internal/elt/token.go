package elt

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Role is what a token may do. Each includes the ones before it.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // reads: pages, API, gates
	Operator Role = "operator" // acts on days, runs, schedules, backfills and incidents, and sees samples of rows
	Admin    Role = "admin"    // withdraws days, goes back to earlier versions, makes and revokes tokens
)

// Roles are all of them, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

// Includes reports whether a holder of r may do what asks for other. A role that is none includes nothing, and nothing
// includes it.
func (r Role) Includes(other Role) bool {
	mine, asked := slices.Index(Roles(), r), slices.Index(Roles(), other)
	return asked >= 0 && mine >= asked
}

// TokenID is the public part of a token, by which it is looked up and revoked.
type TokenID string

// Token is what the ledger knows of a token: who has it and what it may do, never its text.
type Token struct {
	ID        TokenID   `json:"id"`
	Name      string    `json:"name"` // whose it is: a team, a program
	Role      Role      `json:"role"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
}

// ValidAt reports whether the token lets anybody in at that time.
func (t Token) ValidAt(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// Digest is the SHA-256 of a secret: what is kept of it.
type Digest [sha256.Size]byte

// Equal compares in a time that tells nothing of where two digests differ.
func (d Digest) Equal(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// DigestOf returns what is kept of a secret.
func DigestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

const (
	tokenPrefix = "daybreak_" // so that scanners for leaked secrets, and people, know one
	tokenIDLen  = 8
)

var (
	tokenText   = regexp.MustCompile(`^daybreak_([a-z2-7]{8})_([a-z2-7]{52})$`)
	tokenLetter = base32.StdEncoding.WithPadding(base32.NoPadding)
)

// NewSecret returns 256 random bits as text of 52 letters and digits.
func NewSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: the documentation of crypto/rand
	return strings.ToLower(tokenLetter.EncodeToString(b))
}

// NewTokenText returns the text of a new token, which is shown once, with the ID in it.
func NewTokenText() (text string, id TokenID) {
	id = TokenID(NewSecret()[:tokenIDLen])
	return tokenPrefix + string(id) + "_" + NewSecret(), id
}

// ParseToken returns the ID that a token's text names, and the digest of the whole text; ok is false for what cannot
// be a token of the ledger's.
func ParseToken(text string) (id TokenID, digest Digest, ok bool) {
	m := tokenText.FindStringSubmatch(text)
	if m == nil {
		return "", Digest{}, false
	}
	return TokenID(m[1]), DigestOf(text), true
}

// Session is a browser in which somebody has signed in.
type Session struct {
	Token     TokenID // whose rights it has; empty when the login was elsewhere
	Name      string
	Role      Role
	ExpiresAt time.Time
}
