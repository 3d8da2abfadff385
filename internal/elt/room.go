package elt

import (
	"errors"
	"slices"
	"syscall"
)

// NoRoom reports whether err is an operating system's refusal to let a file grow: the disk is full, the user's quota of it
// is used up, or the file is as large as this process, or the file system, lets one become. Waiting helps none of them.
func NoRoom(err error) bool {
	return slices.ContainsFunc([]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, func(full error) bool { return errors.Is(err, full) })
}
