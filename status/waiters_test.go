package status

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// Who waits is listed under their name while they wait and a moment longer, once however many of them ask, and not any
// more when what they wait for is there.
func TestWaitersAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := statustest.Busy()
		began := time.Now()
		w.Tick(func() time.Duration { return time.Since(began) })
		s := serve(t, w, func(o *Options) { o.Now = w.Now; o.StaleAfter = time.Hour })
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- s.Run(ctx) }()
		list := func(dataset string) (names []string) {
			var body api.Waiters
			getJSON(t, s, "/v1/datasets/"+dataset+"/waiters", &body)
			for _, w := range body.Waiters {
				names = append(names, w.Name)
			}
			return names
		}
		path := "/v1/wait?need=shop.campaigns@2026-11-21&timeout=40s&as="
		first := ask(t, s, path+"finance-reports")
		time.Sleep(time.Second)
		second, third := ask(t, s, path+"board"), ask(t, s, path+"board")
		synctest.Wait()
		if got := strings.Join(list("shop.campaigns"), " "); got != "finance-reports board" {
			t.Errorf("waiting: %q", got)
		}
		if _, body := get(t, s, "/datasets/shop.campaigns"); !strings.Contains(body, "Who waits now") || !strings.Contains(body, "finance-reports") {
			t.Error("the page does not say who waits")
		}
		if got := list("shop.users"); len(got) != 0 {
			t.Errorf("waiting for another dataset: %v", got)
		}
		for _, done := range []<-chan *httptest.ResponseRecorder{first, second, third} {
			if g := gateOf(t, <-done); !g.TimedOut {
				t.Errorf("waited: %+v", g)
			}
		}
		if got := list("shop.campaigns"); len(got) != 2 {
			t.Errorf("a moment after: %v", got)
		}
		time.Sleep(waiterGrace + time.Second)
		if got := list("shop.campaigns"); len(got) != 0 {
			t.Errorf("long after: %v", got)
		}
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestWaitersAreNamedWell(t *testing.T) {
	s := serve(t, statustest.Busy())
	for _, as := range []string{strings.Repeat("x", 81), "a%0Ab", "a%00"} {
		if answer, _ := get(t, s, "/v1/wait?need=shop.users@2026-11-20&as="+as); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("as=%q: %d", as, answer.StatusCode)
		}
	}
	w := newWaiters(time.Now)
	for i := range mostWaiters + 10 {
		w.join(strings.Repeat("x", i%50)+string(rune('a'+i%26))+time.Duration(i).String(), []need{{dataset: "shop.users"}})
	}
	if len(w.all) > mostWaiters {
		t.Errorf("%d are kept", len(w.all))
	}
}
