package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// install runs internal/testenv/NAME/install.sh, which puts what tests need into a folder of the user's cache, and returns
// that folder. It is quick when everything is there.
func install(name string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for %s: %w", name, err)
	}
	dir := filepath.Join(cache, name)
	_, err = installed(name, name, dir)
	return dir, err
}

// pythonProgram returns the path of a program of the Python packages that internal/testenv/python/LIST.txt names, which
// are installed once for each user.
func pythonProgram(list, program string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for %s: %w", list, err)
	}
	dir, err := installed(list, "python", list, cache)
	return filepath.Join(dir, "bin", program), err
}

func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "daybreak"), err
}

// installed runs the install.sh of a folder beside this file and returns what it prints.
func installed(what, folder string, args ...string) (string, error) {
	root, err := moduleDir()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(root, "internal", "testenv", folder, "install.sh"), args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("install %s; run once with a network: %w\n%s%s", what, err, &out, &said)
	}
	return strings.TrimSpace(out.String()), nil
}
