package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// workspace holds the files of the demo as they are written, but for the zone.
//
//go:embed all:workspace
var workspace embed.FS

// writeFiles writes the configuration, schedule and SQL, and the key that masks personal columns.
func writeFiles(ctx context.Context, dir string, about Workspace) error {
	err := fs.WalkDir(workspace, "workspace", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := workspace.ReadFile(name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(name, "workspace/")))
		return writeFile(path, bytes.ReplaceAll(data, []byte("@ZONE@"), []byte(about.Zone)), 0o644)
	})
	if err != nil {
		return fmt.Errorf("write the demo's workspace: %w", err)
	}
	return writeMaskKey(filepath.Join(dir, "state", "mask.key"))
}

// writeMaskKey makes the key once. It is random, so that nobody can undo the demo's masks who has read its source.
func writeMaskKey(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return writeFile(path, []byte(rand.Text()+rand.Text()+"\n"), 0o600)
}

func writeMarker(dir string, about Workspace) error {
	b, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		return fmt.Errorf("write the demo's marker: %w", err)
	}
	return writeFile(filepath.Join(dir, marker), append(b, '\n'), 0o644)
}

// writeFile makes a file appear with all of its content.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	unfinished := path + ".unfinished"
	if err := os.WriteFile(unfinished, data, mode); err != nil {
		return err
	}
	return settleFile(unfinished, path)
}

// settleFile makes a written file durable and gives it its name.
func settleFile(unfinished, path string) error {
	f, err := os.OpenFile(unfinished, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
