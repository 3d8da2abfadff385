package bigquery

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// The client sends a request that the service cannot answer again until its context ends, which for a step may be
// never. These are its requests with an end, so that a service which stays away is an error that passes by itself.

// limited does a request within requestTime.
func limited(ctx context.Context, do func(context.Context) error) error {
	within, done := context.WithTimeout(ctx, requestTime)
	defer done()
	err := do(within)
	if err != nil && ctx.Err() == nil && errors.Is(within.Err(), context.DeadlineExceeded) {
		return errAway{fmt.Errorf("no answer within %s: %w", requestTime, err)}
	}
	return err
}

// errAway is the error of a service that did not answer in time, whatever it answered before.
type errAway struct{ error }

func metadata(ctx context.Context, t *bigquery.Table, o ...bigquery.TableMetadataOption) (md *bigquery.TableMetadata, err error) {
	err = limited(ctx, func(ctx context.Context) error {
		md, err = t.Metadata(ctx, o...)
		return err
	})
	return md, err
}

func create(ctx context.Context, t *bigquery.Table, md *bigquery.TableMetadata) error {
	failpoint.Here("bigquery.create")
	err := limited(ctx, func(ctx context.Context) error { return t.Create(ctx, md) })
	failpoint.Here("bigquery.created")
	return err
}

func update(ctx context.Context, t *bigquery.Table, change bigquery.TableMetadataToUpdate) (md *bigquery.TableMetadata, err error) {
	err = limited(ctx, func(ctx context.Context) error {
		failpoint.Here("bigquery.update")
		md, err = t.Update(ctx, change, "")
		failpoint.Here("bigquery.updated")
		return err
	})
	return md, err
}

func remove(ctx context.Context, t *bigquery.Table) error {
	failpoint.Here("bigquery.delete")
	err := limited(ctx, t.Delete)
	failpoint.Here("bigquery.deleted")
	return err
}
