package load

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// fetchers is how many parts are read from the lake at a time.
const fetchers = 4

// spoolPrefix begins the name of each load's folder in the spool.
const spoolPrefix = "load-"

// source is where a part will be read by the warehouse.
type source struct {
	part    elt.Part
	file    string
	inPlace bool // the file is the lake's own
}

// fetch returns local files of the manifest's parts, in order, each of which has the checksum that the
// manifest gives it, and a function that lets go of them. A local lake's parts are read where they lie. read
// is told the bytes so far, one call at a time.
func (l *Loader) fetch(ctx context.Context, m *elt.Manifest, read func(bytes int64)) (files []string, release func(), err error) {
	sources, release, err := l.locate(m)
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	var total int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(fetchers)
	for _, s := range sources {
		files = append(files, s.file)
		group.Go(func() error {
			if err := l.fetchPart(groupCtx, m, s); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			total += s.part.Bytes
			read(total)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		release()
		return nil, nil, err
	}
	return files, release, nil
}

// locate says where each part will be read: in place, or in a fresh folder of the spool that release removes.
func (l *Loader) locate(m *elt.Manifest) (sources []source, release func(), err error) {
	local, _ := l.lake.(LocalLake)
	dir := ""
	for i, p := range m.Parts {
		if local != nil {
			if path, ok := local.Local(p.Key); ok {
				sources = append(sources, source{p, path, true})
				continue
			}
		}
		if dir == "" {
			if dir, err = l.spoolDir(); err != nil {
				return nil, nil, err
			}
		}
		sources = append(sources, source{p, filepath.Join(dir, fmt.Sprintf("part-%05d.parquet", i)), false})
	}
	return sources, func() { l.discard(dir) }, nil
}

// fetchPart reads a part from the lake, into the spool unless it is read in place, and compares its size and
// checksum with the manifest's.
func (l *Loader) fetchPart(ctx context.Context, m *elt.Manifest, s source) error {
	p := s.part
	r, err := l.openPart(ctx, m, p)
	if err != nil {
		return err
	}
	hash := sha256.New()
	var n int64
	if s.inPlace {
		n, err = io.Copy(hash, &cancellable{ctx, r})
	} else {
		n, err = spoolPart(s.file, io.TeeReader(&cancellable{ctx, r}, hash))
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read part %s: %w", p.Key, err)
	}
	return corrupt(m, p, n, hex.EncodeToString(hash.Sum(nil)))
}

// openPart opens a part of the lake.
func (l *Loader) openPart(ctx context.Context, m *elt.Manifest, p elt.Part) (io.ReadCloser, error) {
	r, err := l.lake.Open(ctx, p.Key)
	if isMissing(err) {
		return nil, &elt.Error{
			Code: codePartMissing, Class: elt.Data,
			What: fmt.Sprintf("the lake has lost part %s of %s %s", p.Key, m.Dataset, m.Date), Do: "extract the day again",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read part %s: %w", p.Key, err)
	}
	return r, nil
}

// corrupt is the error of a part of which other bytes were read than were written, nil when they are the same.
func corrupt(m *elt.Manifest, p elt.Part, n int64, sum string) error {
	if sum == p.SHA256 && n == p.Bytes {
		return nil
	}
	return &elt.Error{
		Code: codePartCorrupt, Class: elt.Data,
		What: fmt.Sprintf("part %s of %s %s is not what was written: %d bytes with checksum %.12s…, the manifest has %d with %.12s…",
			p.Key, m.Dataset, m.Date, n, sum, p.Bytes, p.SHA256),
		Do: "look after the lake's disk or bucket, then extract the day again",
	}
}

// cancellable ends a read when ctx is cancelled, also where the lake's reader does not.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

func spoolPart(path string, r io.Reader) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, spoolError(err)
	}
	n, err := io.Copy(spoolWriter{f}, r)
	if closed := f.Close(); closed != nil {
		err = errors.Join(err, spoolError(closed))
	}
	return n, err
}

// spoolWriter tells the spool's failures from the lake's.
type spoolWriter struct{ f *os.File }

func (w spoolWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil {
		err = spoolError(err)
	}
	return n, err
}

func (l *Loader) spoolDir() (string, error) {
	if err := os.MkdirAll(l.spool, 0o755); err != nil {
		return "", spoolError(err)
	}
	dir, err := os.MkdirTemp(l.spool, spoolPrefix)
	if err != nil {
		return "", spoolError(err)
	}
	return dir, nil
}

func spoolError(err error) error {
	const what = "cannot keep the lake's parts in the spool folder while they are loaded"
	if elt.NoRoom(err) {
		return &elt.Error{
			Code: codeSpoolFull, Class: elt.Quota, Err: err, What: what,
			Do: "free some space on the warehouse's disk, beside whose file the folder lies, or move that to a larger one",
		}
	}
	return &elt.Error{
		Code: codeSpoolFailed, Class: elt.Transient, Err: err, What: what,
		Do: "check the disk of the folder spool, beside the warehouse's file, and that this user may write there",
	}
}

// discard removes a spool folder, if there is one.
func (l *Loader) discard(dir string) {
	if dir == "" {
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		l.log.Warn("cannot remove the spool folder", "dir", dir, "error", err)
	}
}

// Sweep removes what a killed process left in the spool folder. No Load may be going on.
func (l *Loader) Sweep() error {
	entries, err := os.ReadDir(l.spool)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return spoolError(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), spoolPrefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(l.spool, e.Name())); err != nil {
			return spoolError(err)
		}
	}
	return nil
}
