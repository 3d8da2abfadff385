package notify

import (
	"context"
	"net/http"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Reach connects to the destination as a message would, and asks for nothing but a head: any answer will do.
func (d Destination) Reach(ctx context.Context, allowPrivate bool, timeout time.Duration) error {
	client := newClient(d, allowPrivate, timeout)
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, d.url, nil)
	if err == nil {
		var answer *http.Response
		if answer, err = client.Do(r); err == nil {
			return answer.Body.Close()
		}
	}
	f := d.unanswered(err).Error
	return &elt.Error{Code: f.Code, Class: f.Class, What: f.Message, Do: f.Do}
}
