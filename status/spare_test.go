package status

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// Whoever has what there is already is told so, if they may know: a token that ends, ends here too.
func TestSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := statustest.Busy()
		now := world.Now()
		clock := func() time.Time { return now }
		keys := statustest.NewKeys(world.Ledger, clock)
		s := serve(t, world, func(o *Options) { o.Public, o.Tokens, o.RequestsPerSecond, o.Now = false, keys, 5, clock })
		const path = "/v1/datasets/shop.users"
		text := keys.Add("reports", elt.Viewer, time.Time{})
		token := "Bearer " + text
		first, _ := get(t, s, path, "Authorization", token)
		tag := first.Header.Get("ETag")
		ask := func(want int, header ...string) {
			t.Helper()
			answer, body := get(t, s, path, append(header, "If-None-Match", tag)...)
			if answer.StatusCode != want || want == http.StatusNotModified && (body != "" || answer.Header.Get("ETag") != tag || answer.Header.Get("Vary") == "") {
				t.Errorf("%v is answered %d %v %q, want %d", header, answer.StatusCode, answer.Header, body, want)
			}
		}
		ask(http.StatusNotModified, "Authorization", token)
		ask(http.StatusUnauthorized)
		ask(http.StatusUnauthorized, "Authorization", token+"x")
		for range 9 { // with the one before them twice as many as in a second
			ask(http.StatusNotModified, "Authorization", token)
		}
		ask(http.StatusTooManyRequests, "Authorization", token)
		time.Sleep(2 * time.Second) // of the bubble: the limit's
		now = now.Add(2 * time.Second)
		keys.Revoke(text)
		ask(http.StatusUnauthorized, "Authorization", token)
	})
}
