package oidc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"sync"
	"time"
)

// ticketLife is how long somebody may take to sign in.
const ticketLife = 10 * time.Minute

// claim is what a browser carries from the beginning of a sign-in to its end, sealed.
type claim struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Next     string    `json:"p"`
	Until    time.Time `json:"u"`
}

// tickets seals claims under a key that follows from the client's secret, so that any process of the service can redeem
// what another has sealed. Each is redeemed once in a process; the provider's code serves once in all.
type tickets struct {
	aead cipher.AEAD
	now  func() time.Time
	used *used
}

type used struct {
	mu     sync.Mutex
	states map[string]time.Time // until when they would have served
}

func newTickets(secret string, now func() time.Time) tickets {
	key := sha256.Sum256([]byte("daybreak sign-in ticket\n" + secret))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has blocks of 16 bytes
	}
	return tickets{aead, now, &used{states: make(map[string]time.Time)}}
}

func (t tickets) seal(c claim) (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, t.aead.NonceSize())
	rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(t.aead.Seal(nonce, nonce, text, nil)), nil
}

// redeem opens a ticket that belongs to the state, once.
func (t tickets) redeem(ticket, state string) (claim, error) {
	again := "begin again at /login"
	b, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil || len(ticket) > 4096 || len(b) < t.aead.NonceSize() {
		return claim{}, refused("this browser has not begun a sign-in here", again)
	}
	text, err := t.aead.Open(nil, b[:t.aead.NonceSize()], b[t.aead.NonceSize():], nil)
	var c claim
	if err != nil || json.Unmarshal(text, &c) != nil {
		return claim{}, refused("this browser has not begun a sign-in here", again)
	}
	now := t.now()
	switch {
	case now.After(c.Until):
		return claim{}, refused("the sign-in took too long", again)
	case subtle.ConstantTimeCompare([]byte(c.State), []byte(state)) != 1:
		return claim{}, refused("the answer belongs to another sign-in", again)
	}
	t.used.mu.Lock()
	defer t.used.mu.Unlock()
	for s, until := range t.used.states {
		if now.After(until) {
			delete(t.used.states, s)
		}
	}
	if _, before := t.used.states[c.State]; before {
		return claim{}, refused("this sign-in has been used already", again)
	}
	t.used.states[c.State] = c.Until
	return c, nil
}
