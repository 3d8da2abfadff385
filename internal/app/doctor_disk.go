package app

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Below these a disk is full for a night, or may be soon.
const (
	roomLeast   = 200 << 20
	roomDoubted = 5 << 30
)

// places are the files and folders that a night writes, on this machine.
func (ws *workspace) places() map[string]string {
	cfg := ws.config
	out := make(map[string]string)
	if file, ok := strings.CutPrefix(cfg.Ledger.Reveal(), "sqlite:"); ok {
		out["ledger"] = file
	}
	if cfg.Lake.S3 == nil {
		out["lake"] = cfg.Lake.Folder
	}
	if cfg.Warehouse.BigQuery == nil {
		out["warehouse"], out["read copy"] = cfg.Warehouse.DuckDB, cfg.Warehouse.ReadCopy
	}
	return out
}

// examineDisks looks at the room on each disk that a night writes to. The read copy is made beside the old one, so that
// its disk must hold the warehouse once more.
func (ws *workspace) examineDisks() (found []finding) {
	places := ws.places()
	for _, name := range []string{"ledger", "lake", "warehouse", "read copy"} {
		path, has := places[name]
		if !has {
			continue
		}
		check := "disk of the " + name
		free, total, err := room(existing(path))
		if err != nil {
			found = append(found, doubt(check, "disk_unknown", fmt.Sprintf("its room cannot be told: %v", err), "check that the folder is there"))
			continue
		}
		need := min(int64(roomDoubted), total/10)
		if name == "read copy" {
			if info, err := os.Stat(ws.config.Warehouse.DuckDB); err == nil {
				need += info.Size()
			}
		}
		says := fmt.Sprintf("%s of %s are free", size(free), size(total))
		switch {
		case free < roomLeast:
			found = append(found, finding{check, broken, says, "free some space, or move it to a larger disk", "disk_low"})
		case free < need:
			found = append(found, doubt(check, "disk_low", says, "free some space before it is full: what is published stays readable, and no night passes"))
		default:
			found = append(found, good(check, "%s", says))
		}
	}
	return found
}

// existing returns the folder that the path lies in, or would.
func existing(path string) string {
	path, err := filepath.Abs(path)
	for err == nil && path != filepath.Dir(path) {
		if _, missing := os.Stat(path); missing == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return cmp.Or(path, ".")
}

// examineModes looks at who else may read what holds secrets or everybody's data, and whether this user may write.
func (ws *workspace) examineModes() (found []finding) {
	const check = "file permissions"
	places := ws.places()
	secret := []string{filepath.Join(ws.dir, "state", "mask.key")}
	for _, name := range []string{"ledger", "warehouse"} {
		if path := places[name]; path != "" {
			secret = append(secret, path)
		}
	}
	var open []string
	for _, path := range secret {
		if readableByAll(path) {
			open = append(open, path)
		}
	}
	if len(open) > 0 {
		found = append(found, doubt(check, "file_readable", "every user of this machine may read "+strings.Join(open, ", "), "chmod o-rwx "+strings.Join(open, " ")))
	}
	var folders []string
	for _, path := range places {
		if folder := existing(filepath.Dir(path)); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	slices.Sort(folders)
	for _, folder := range folders {
		f, err := os.CreateTemp(folder, ".doctor-*")
		if err != nil {
			found = append(found, finding{check, broken, fmt.Sprintf("this user may not write in %s: %v", folder, err), "give the folder to the user that runs Daybreak", "folder_unwritable"})
			continue
		}
		if err := cmp.Or(f.Close(), os.Remove(f.Name())); err != nil {
			found = append(found, doubt(check, "folder_unwritable", fmt.Sprintf("a file cannot be removed from %s: %v", folder, err), "give the folder to the user that runs Daybreak"))
		}
	}
	if len(found) == 0 {
		return []finding{good(check, "this user may write where a night does, and no stranger may read what is secret")}
	}
	return found
}

// readableByAll reports whether strangers can get at a file: by its own mode, and by that of every folder above it.
func readableByAll(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return false
	}
	path, err = filepath.Abs(path)
	for err == nil && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		var above fs.FileInfo
		if above, err = os.Stat(path); err == nil && above.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return err == nil
}
