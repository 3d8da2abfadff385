package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// A token that is made beside a running service lets in at once, and lets nobody in once it is revoked.
func TestTokensOfARunningService(t *testing.T) {
	t.Parallel()
	dir := demo(t)
	s, stop := serve(t, dir, nil)
	defer stop()
	ask := func(method, path, token string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	made := must(t, dir, nil, "token", "create", "reports", "--role", "viewer")
	token := strings.TrimSpace(made.out)
	if got := ask(http.MethodGet, "/v1/summary", token); got != http.StatusOK {
		t.Errorf("a new token: %d", got)
	}
	id := regexp.MustCompile(`daybreak token revoke (\w+)`).FindStringSubmatch(made.errors)
	list := must(t, dir, nil, "token", "list").out
	if id == nil || !strings.Contains(list, id[1]) || strings.Contains(list, token[len(token)-20:]) {
		t.Fatalf("made %q, listed:\n%s", made.errors, list)
	}
	must(t, dir, nil, "token", "revoke", id[1])
	until(t, "the token has ended", func() bool { return ask(http.MethodGet, "/v1/summary", token) == http.StatusUnauthorized })
	if list := must(t, dir, nil, "token", "list").out; !strings.Contains(list, "revoked on") {
		t.Errorf("listed:\n%s", list)
	}
	if a := do(t, dir, nil, "token", "revoke", "nobody"); a.code == 0 || !strings.Contains(a.errors, "there is no token") {
		t.Errorf("exit %d: %s", a.code, a.errors)
	}
}
