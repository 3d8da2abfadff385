package testenv

import (
	"bytes"
	"os/exec"
	"testing"
)

// Manifests reads Kubernetes manifests as strictly as an API server does, and returns their objects as a JSON list. It fails
// the test where one is of no known kind or has a key that its kind does not.
func Manifests(t testing.TB, files ...string) []byte {
	t.Helper()
	program, err := tool("github.com/daybreak-data/daybreak/internal/testenv/tools/manifests")
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, files...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	return out.Bytes()
}
