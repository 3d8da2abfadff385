package testenv

import (
	"sync"
	"testing"
)

var schemathesis = sync.OnceValues(func() (string, error) { return pythonProgram("schemathesis", "schemathesis") })

// Schemathesis returns the path of schemathesis, which makes requests from an OpenAPI document and holds a served API
// against it.
func Schemathesis(t testing.TB) string {
	t.Helper()
	path, err := schemathesis()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
