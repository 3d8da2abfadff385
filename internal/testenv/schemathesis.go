package testenv

import (
	"path/filepath"
	"sync"
	"testing"
)

var schemathesisDir = sync.OnceValues(func() (string, error) { return install("schemathesis") })

// Schemathesis returns the path of schemathesis, which makes requests from an OpenAPI document and holds a served API
// against it.
func Schemathesis(t testing.TB) string {
	t.Helper()
	dir, err := schemathesisDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "venv", "bin", "schemathesis")
}
