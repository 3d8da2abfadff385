package testenv

import (
	"sync"
	"testing"
)

var openLineage = sync.OnceValues(func() (string, error) { return pythonProgram("openlineage", "python") })

// OpenLineage returns the path of a Python that has OpenLineage's own client.
func OpenLineage(t testing.TB) string {
	t.Helper()
	path, err := openLineage()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
