package status

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	sessionCookie = "daybreak_session"
	sessionLength = 12 * time.Hour
)

// auth decides who may read. Without a token nobody may, unless the service is public.
type auth struct {
	public bool
	digest [sha256.Size]byte // of the token: comparing digests takes the same time whatever is sent
	key    []byte            // signs sessions; follows from the token, so a new token ends every session
	now    func() time.Time
}

func newAuth(public bool, token Secret, now func() time.Time) *auth {
	key := hmac.New(sha256.New, []byte(token))
	key.Write([]byte("daybreak session key"))
	return &auth{public: public, digest: sha256.Sum256([]byte(token)), key: key.Sum(nil), now: now}
}

// allowed reports whether the request may read.
func (a *auth) allowed(r *http.Request) bool {
	if a.public {
		return true
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return a.isToken(token)
	}
	cookie, err := r.Cookie(sessionCookie)
	return err == nil && a.isSession(cookie.Value)
}

func (a *auth) isToken(token string) bool {
	digest := sha256.Sum256([]byte(token))
	return token != "" && subtle.ConstantTimeCompare(digest[:], a.digest[:]) == 1
}

// session returns a cookie that lets a browser read until it expires. It does not hold the token.
func (a *auth) session(secure bool) *http.Cookie {
	until := strconv.FormatInt(a.now().Add(sessionLength).Unix(), 10)
	return &http.Cookie{
		Name: sessionCookie, Value: until + "." + a.sign(until), Path: "/", MaxAge: int(sessionLength.Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
}

func (a *auth) isSession(value string) bool {
	until, signature, ok := strings.Cut(value, ".")
	if !ok || subtle.ConstantTimeCompare([]byte(signature), []byte(a.sign(until))) != 1 {
		return false
	}
	seconds, err := strconv.ParseInt(until, 10, 64)
	return err == nil && a.now().Unix() < seconds
}

func (a *auth) sign(until string) string {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(until))
	return hex.EncodeToString(mac.Sum(nil))
}

// localPath returns next if it is a path of this service, else "/": a login must not lead elsewhere.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}
