package mysql

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// mostLag is how far a replica may be behind where no budget says it: nights read what was true then.
const mostLag = time.Minute

// Examine tells what may spoil a night: a replica that lags, or does not replicate. A user who may not know is told nothing.
func (s *Source) Examine(ctx context.Context) (found elt.Problems, err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.hangUp()
	lag, replica, err := conn.lag(ctx)
	if server, refused := serverError(err); refused && verdictOf(server.Number) == grant {
		return nil, nil
	}
	if err != nil {
		return nil, s.unreachable(ctx, err)
	}
	if replica && lag < 0 {
		found = append(found, elt.Problem{Code: "replica_lags", What: "this replica does not replicate: its data stands still", Do: "start its replication, and look at why it stopped", Warning: true})
	}
	if lag > cmp.Or(s.opts.Budget.ReplicaLag, mostLag) {
		found = append(found, elt.Problem{
			Code: "replica_lags", What: fmt.Sprintf("this replica is %s behind", brief(lag)),
			Do: "look at what holds its replay up; with budget.replica_lag nights wait for it", Warning: true,
		})
	}
	return found, nil
}
