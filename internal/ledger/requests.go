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

// requestsKept is for how long a repeated request is recognised.
const requestsKept = 24 * time.Hour

// abandoned is the age at which a request that was begun and never ended may be carried out again: its process is gone.
const abandoned = 2 * time.Minute

// BeginRequest takes the key for a request with that digest. status is 0 when the caller is to carry it out; otherwise
// it was carried out before, with this status and answer. Another request under the same key is refused, and so is
// one that is still being carried out.
func (l *Ledger) BeginRequest(ctx context.Context, actor, key string, digest elt.Digest) (status int, answer string, err error) {
	err = l.change(ctx, "begin request "+key, func(ctx context.Context, c *change) error {
		c.touched = true
		if _, err := c.exec(ctx, `DELETE FROM requests WHERE created_at < $1 OR (status = 0 AND created_at < $2)`, instant(c.now.Add(-requestsKept)), instant(c.now.Add(-abandoned))); err != nil {
			return err
		}
		var kept string
		err := c.QueryRowContext(ctx, `SELECT digest, status, answer FROM requests WHERE key = $1 AND actor = $2`, key, actor).Scan(&kept, &status, &answer)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = c.exec(ctx, `INSERT INTO requests (key, actor, digest, status, created_at) VALUES ($1, $2, $3, 0, $4)`, key, actor, hex.EncodeToString(digest[:]), instant(c.now))
			return err
		case err != nil:
			return err
		case kept != hex.EncodeToString(digest[:]):
			return &elt.Error{
				Code: "idempotency_key_reused", Class: elt.Conflict,
				What: fmt.Sprintf("Idempotency-Key %q was used for another request", key), Do: "use a new key for every new request, and the same one only to repeat it",
			}
		case status == 0:
			return &elt.Error{
				Code: "request_in_progress", Class: elt.Conflict,
				What: fmt.Sprintf("the request with Idempotency-Key %q is still being carried out", key), Do: "ask again in a few seconds",
			}
		}
		return nil
	})
	return status, answer, err
}

// EndRequest keeps the answer of a request that was carried out. A status of 0 gives the key back: nothing was changed.
func (l *Ledger) EndRequest(ctx context.Context, actor, key string, status int, answer string) error {
	return l.change(ctx, "end request "+key, func(ctx context.Context, c *change) error {
		c.touched = true
		if status == 0 {
			_, err := c.exec(ctx, `DELETE FROM requests WHERE key = $1 AND actor = $2 AND status = 0`, key, actor)
			return err
		}
		_, err := c.exec(ctx, `UPDATE requests SET status = $1, answer = $2 WHERE key = $3 AND actor = $4`, status, answer, key, actor)
		return err
	})
}
