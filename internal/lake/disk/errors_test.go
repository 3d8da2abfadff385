package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
)

func TestFailure(t *testing.T) {
	s := &Store{dir: "/srv/lake"}
	for _, c := range []struct {
		operation string
		err       error
		code      elt.Code
		class     elt.Class
	}{
		{"write", syscall.ENOSPC, lake.CodeFull, elt.Quota},
		{"write", syscall.EDQUOT, lake.CodeFull, elt.Quota},
		{"write", syscall.EFBIG, lake.CodeFull, elt.Quota},
		{"write", syscall.EROFS, lake.CodeAccessDenied, elt.Config},
		{"read", syscall.EACCES, lake.CodeAccessDenied, elt.Config},
		{"write", syscall.ENOTDIR, lake.CodeMisconfigured, elt.Config},
		{"write", syscall.ENOTSUP, lake.CodeMisconfigured, elt.Config},
		{"read", syscall.ENOTDIR, lake.CodeMissing, elt.Data},
		{"read", fs.ErrNotExist, lake.CodeMissing, elt.Data},
		{"write", fs.ErrNotExist, lake.CodeUnavailable, elt.Transient},
		{"read", syscall.EIO, lake.CodeUnavailable, elt.Transient},
	} {
		var e *elt.Error
		err := s.failure(c.operation, "a/b", &fs.PathError{Op: "x", Path: "a/b", Err: c.err})
		if !errors.As(err, &e) || e.Code != c.code || e.Class != c.class || e.Do == "" {
			t.Errorf("%s: %v is %#v, want %s, %s", c.operation, c.err, err, c.code, c.class)
		}
	}
	err := s.failure("read", "a/b", fmt.Errorf("copy: %w", context.Canceled))
	if failure := elt.NewFailure(err); failure.Code != "interrupted" {
		t.Errorf("a cancelled read is %+v", failure)
	}
}
