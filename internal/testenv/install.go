package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// install runs internal/testenv/NAME/install.sh, which puts what tests need into a folder of the user's cache, and returns
// that folder. It is quick when everything is there.
func install(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for %s: %w", name, err)
	}
	root, err := moduleDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "daybreak", name)
	cmd := exec.Command(filepath.Join(root, "internal", "testenv", name, "install.sh"), dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("install %s; run once with a network: %w\n%s", name, err, &out)
	}
	return dir, nil
}
