package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
)

// failure returns what an operator can do about an error of the file system.
func (s *Store) failure(operation, key string, err error) error {
	what := fmt.Sprintf("cannot %s %s", operation, s)
	if key != "" {
		what = fmt.Sprintf("cannot %s %s of %s", operation, key, s)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	case operation == "read" && (errors.Is(err, fs.ErrNotExist) || isNotFolder(err)):
		return lake.Missing(s.String(), key)
	case elt.NoRoom(err):
		return &elt.Error{Code: lake.CodeFull, Class: elt.Quota, What: what, Err: err,
			Do: "free space on the disk of " + s.dir + "; what was published stays readable"}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &elt.Error{Code: lake.CodeAccessDenied, Class: elt.Config, What: what, Err: err,
			Do: "let the account that runs Daybreak read and write " + s.dir}
	case isNotFolder(err):
		return &elt.Error{Code: lake.CodeMisconfigured, Class: elt.Config, What: what, Err: err,
			Do: "a file stands where a folder is needed: move it away, or give the lake another folder"}
	case errors.Is(err, syscall.ENOTSUP):
		return &elt.Error{Code: lake.CodeMisconfigured, Class: elt.Config, What: what, Err: err,
			Do: "give the lake a folder on a file system with hard links"}
	}
	return &elt.Error{Code: lake.CodeUnavailable, Class: elt.Transient, What: what, Err: err,
		Do: "check the disk of " + s.dir}
}

// isNotFolder reports whether an element of a path is a file: no object can be below it.
func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
