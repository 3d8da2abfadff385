package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
	"github.com/daybreak-data/daybreak/internal/lake/laketest"
)

func open(t *testing.T, dir string) *disk.Store {
	t.Helper()
	s, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	laketest.Run(t, func(t *testing.T) lake.Store { return open(t, filepath.Join(t.TempDir(), "a", "lake")) })
}

// files returns every path below dir but the folder of unfinished objects itself.
func files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if path != dir && path != filepath.Join(dir, ".unfinished") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestAFailedPutLeavesNoFileAtAll(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	body := iotest.DataErrReader(iotest.TimeoutReader(bytes.NewReader(laketest.Bytes(1, 100_000))))
	if _, err := s.Put(t.Context(), "a/b", body); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error is %v", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestPutOfAKilledProcess is the process that TestAKilledPutLeavesNoObject kills; on its own it has nothing to do.
func TestPutOfAKilledProcess(t *testing.T) {
	dir := os.Getenv("DISK_TEST_BE_KILLED")
	if dir == "" {
		return
	}
	half := io.MultiReader(bytes.NewReader(laketest.Bytes(1, 1<<20)), announcing{})
	if _, err := open(t, dir).Put(t.Context(), "a/b", half); err != nil {
		t.Fatal(err)
	}
}

// announcing says that a body is half read, and never goes on.
type announcing struct{}

func (announcing) Read([]byte) (int, error) {
	fmt.Println("half")
	select {}
}

func TestAKilledPutLeavesNoObject(t *testing.T) {
	dir := t.TempDir()
	victim := exec.Command(os.Args[0], "-test.run=^TestPutOfAKilledProcess$")
	victim.Env = append(os.Environ(), "DISK_TEST_BE_KILLED="+dir)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var said string
	if _, err := fmt.Fscan(out, &said); err != nil || said != "half" {
		t.Fatalf("%q, %v", said, err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := victim.Wait(); err == nil {
		t.Fatal("the process was not killed")
	}
	if left := files(t, dir); len(left) != 1 || filepath.Dir(left[0]) != filepath.Join(dir, ".unfinished") {
		t.Errorf("left behind: %q", left)
	}
	s := open(t, dir)
	laketest.WantEmpty(t, s)
	if _, err := s.Put(t.Context(), "a/b", strings.NewReader("whole")); err != nil {
		t.Error(err)
	}
}

func TestDeleteLeavesNoEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Put(t.Context(), "a/b/c", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "a/b/c"); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Two writers come and go in one folder, which vanishes whenever it is empty.
func TestDeletesAndWritesDoNotDisturbEachOther(t *testing.T) {
	s := open(t, t.TempDir())
	var both errgroup.Group
	for i := range 2 {
		both.Go(func() error {
			key := fmt.Sprintf("shared/folder/%d", i)
			for range 50 {
				if _, err := s.Put(t.Context(), key, strings.NewReader("x")); err != nil {
					return err
				}
				if err := s.Delete(t.Context(), key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	laketest.WantEmpty(t, s)
}

func TestOpenSweepsWhatACrashLeftAndSparesWhatIsBeingWritten(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	old, fresh := filepath.Join(dir, ".unfinished", "old"), filepath.Join(dir, ".unfinished", "fresh")
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, []byte("half an obj"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	laketest.WantEmpty(t, open(t, dir))
	if left := files(t, dir); len(left) != 1 || left[0] != fresh {
		t.Errorf("left are %q, want %q", left, fresh)
	}
}

func TestLocal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Put(t.Context(), "a/b", strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	path, ok := s.Local("a/b")
	if b, err := os.ReadFile(path); !ok || err != nil || string(b) != "content" {
		t.Errorf("Local is %q, %v: %q, %v", path, ok, b, err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "none", "../" + filepath.Base(dir) + "/a/b", "link", ""} {
		if path, ok := s.Local(key); ok {
			t.Errorf("Local(%q) is %q", key, path)
		}
	}
}

func TestASymbolicLinkLeadsNowhereOutside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "out/object", strings.NewReader("x")); err == nil {
		t.Error("an object was written outside of the lake")
	}
}

func TestFailuresSayWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := disk.Open(filepath.Join(file, "lake"))
	laketest.Want(t, err, lake.CodeMisconfigured)

	s := open(t, t.TempDir())
	if _, err := s.Put(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(t.Context(), "a/b", strings.NewReader("x"))
	laketest.Want(t, err, lake.CodeMisconfigured)
}
