package bigquery

import (
	"fmt"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// TestDigestOfManyDoubles: a query of BigQuery has at most 1 MB.
func TestDigestOfManyDoubles(t *testing.T) {
	schema := make(elt.Schema, 100)
	for i := range schema {
		schema[i] = elt.Column{Name: fmt.Sprintf("measurement_%d", i), Type: elt.Type{Kind: elt.Float64}}
	}
	if n := len(rowText(schema)); n > 900_000 {
		t.Errorf("the digest of %d doubles is a query of %d bytes", len(schema), n)
	}
}
