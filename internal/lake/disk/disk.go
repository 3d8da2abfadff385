package disk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/lake"
)

const (
	// unfinished is the folder of the objects that are being written. No key begins with a dot.
	unfinished = ".unfinished"
	// abandoned is how long nobody has written to an unfinished object whose writer crashed.
	abandoned = 24 * time.Hour

	folderMode = 0o750
	objectMode = 0o440 // objects never change

	// races is how often Put makes its folder again because a Delete removes it, empty as it is.
	races = 100
)

// Store is a lake in a folder. It is safe for concurrent use, also by several processes.
type Store struct {
	dir  string
	root *os.Root
}

// Open returns the lake in the folder, which it makes if it isn't there, and clears away what writers
// left unfinished when they crashed.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open lake %s: %w", dir, err)
	}
	s := &Store{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, unfinished), folderMode); err != nil {
		return nil, s.failure("open", "", err)
	}
	if s.root, err = os.OpenRoot(dir); err != nil {
		return nil, s.failure("open", "", err)
	}
	if err := s.sweep(time.Now().Add(-abandoned)); err != nil {
		return nil, errors.Join(s.failure("open", "", err), s.root.Close())
	}
	return s, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// String names the store in messages.
func (s *Store) String() string { return "lake " + s.dir }

// Local returns the path of the object's file, so that it can be read in place.
func (s *Store) Local(key string) (string, bool) {
	if lake.CheckKey(key) != nil {
		return "", false
	}
	info, err := s.root.Lstat(key)
	if err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	return filepath.Join(s.dir, filepath.FromSlash(key)), true
}

// Put stores a new object. See lake.Store.
func (s *Store) Put(ctx context.Context, key string, body io.Reader) (elt.Object, error) {
	if err := lake.CheckKey(key); err != nil {
		return elt.Object{}, err
	}
	name := path.Join(unfinished, rand.Text())
	failpoint.Here("lake.disk.put")
	object, err := s.write(ctx, name, key, body)
	if err == nil {
		err = s.publish(name, key)
	}
	if removeErr := s.root.Remove(name); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, s.failure("write", key, removeErr))
	}
	if err != nil {
		return elt.Object{}, err
	}
	failpoint.Here("lake.disk.stored")
	return object, nil
}

// write brings the body to the disk under a temporary name.
func (s *Store) write(ctx context.Context, name, key string, body io.Reader) (object elt.Object, err error) {
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, objectMode)
	if err != nil {
		return object, s.failure("write", key, err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = s.failure("write", key, closeErr)
		}
	}()
	failpoint.Here("lake.disk.created")
	source := lake.NewBody(ctx, body)
	if _, err = io.Copy(f, source); source.Err() != nil {
		return object, fmt.Errorf("write %s to %s: %w", key, s, source.Err())
	}
	if err != nil {
		return object, s.failure("write", key, err)
	}
	if err := f.Sync(); err != nil {
		return object, s.failure("write", key, err)
	}
	failpoint.Here("lake.disk.written")
	info, err := f.Stat()
	if err != nil {
		return object, s.failure("write", key, err)
	}
	if info.Size() != source.Size() {
		return object, lake.Corrupt(s.String(), key, fmt.Sprintf("%d bytes of %d", info.Size(), source.Size()))
	}
	if err := context.Cause(ctx); err != nil {
		return object, fmt.Errorf("write %s to %s: %w", key, s, err)
	}
	return newObject(key, source, info), nil
}

// publish gives the finished object its key, and makes that survive a power cut.
func (s *Store) publish(name, key string) error {
	folder := path.Dir(key)
	if err := s.link(name, folder, key); err != nil {
		return err
	}
	failpoint.Here("lake.disk.linked")
	for ; ; folder = path.Dir(folder) {
		if err := s.sync(folder); err != nil {
			return s.failure("write", key, errors.Join(err, s.root.Remove(key)))
		}
		if folder == "." {
			return nil
		}
	}
}

// link retries while Delete removes the folder that MkdirAll has just made.
func (s *Store) link(name, folder, key string) (err error) {
	for range races {
		err = s.root.MkdirAll(folder, folderMode)
		if errors.Is(err, fs.ErrExist) {
			err = syscall.ENOTDIR // an element of the path is an object
		}
		if err == nil {
			if err = s.root.Link(name, key); errors.Is(err, fs.ErrExist) {
				return lake.Exists(s.String(), key)
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return s.failure("write", key, err)
	}
	return nil
}

func (s *Store) sync(folder string) (err error) {
	f, err := s.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Open returns the object's bytes. See lake.Store.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	f, _, err := s.open(ctx, key)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (s *Store) open(ctx context.Context, key string) (*os.File, fs.FileInfo, error) {
	if err := lake.CheckKey(key); err != nil {
		return nil, nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, nil, fmt.Errorf("read %s of %s: %w", key, s, err)
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, nil, s.failure("read", key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist // the folder of other objects
	}
	if err != nil {
		return nil, nil, errors.Join(s.failure("read", key, err), f.Close())
	}
	return f, info, nil
}

// Stat reads the object for its SHA-256. See lake.Store.
func (s *Store) Stat(ctx context.Context, key string) (object elt.Object, err error) {
	f, info, err := s.open(ctx, key)
	if err != nil {
		return elt.Object{}, err
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = s.failure("read", key, closeErr)
		}
	}()
	content := lake.NewBody(ctx, f)
	if _, err := io.Copy(io.Discard, content); err != nil {
		return elt.Object{}, s.failure("read", key, err)
	}
	return newObject(key, content, info), nil
}

func newObject(key string, content *lake.Body, info fs.FileInfo) elt.Object {
	return elt.Object{Key: key, Bytes: content.Size(), SHA256: hex.EncodeToString(content.SHA256()), ModifiedAt: info.ModTime()}
}

// Delete removes the object, and the folders that it leaves empty. See lake.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := lake.CheckKey(key); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("delete %s of %s: %w", key, s, err)
	}
	info, err := s.root.Lstat(key)
	if err == nil && info.Mode().IsRegular() {
		failpoint.Here("lake.disk.delete")
		err = s.root.Remove(key)
		failpoint.Here("lake.disk.deleted")
	}
	if errors.Is(err, fs.ErrNotExist) || isNotFolder(err) {
		return nil
	}
	if err != nil {
		return s.failure("delete", key, err)
	}
	for folder := path.Dir(key); folder != "." && s.root.Remove(folder) == nil; folder = path.Dir(folder) {
	}
	return nil
}

// sweep removes what was left unfinished before the time.
func (s *Store) sweep(before time.Time) error {
	entries, err := fs.ReadDir(s.root.FS(), unfinished)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.ModTime().Before(before) {
			err = s.root.Remove(path.Join(unfinished, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process may sweep, too
			return err
		}
	}
	return nil
}
