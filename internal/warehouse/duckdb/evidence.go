package duckdb

import (
	"context"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Versions returns every version that the read copy knows to be published, oldest first.
func (r *Reader) Versions(ctx context.Context) ([]elt.Version, error) {
	versions, err := versionsWhere(ctx, r.db, "true")
	return versions, r.w.fail(ctx, "read the published versions", err)
}
