package bigquery

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// TestLimited: a request of which the client never tires ends, as an error that passes by itself; the caller's own end
// stays the caller's.
func TestLimited(t *testing.T) {
	w := &Warehouse{Options: Options{Log: slog.New(slog.DiscardHandler)}}
	forever := func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("retry failed with context deadline exceeded; last error: 503")
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := w.fail(t.Context(), "make a table", limited(t.Context(), forever))
		if f := elt.NewFailure(err); f == nil || f.Code != codeUnreachable || f.Class != elt.Transient {
			t.Errorf("error %+v, want %s", f, codeUnreachable)
		}
		if took := time.Since(began); took != requestTime {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if f := elt.NewFailure(w.fail(ctx, "make a table", limited(ctx, forever))); f == nil || f.Code != elt.Interrupted {
			t.Errorf("error %+v of a caller who has gone, want %s", f, elt.Interrupted)
		}
		if err := limited(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
