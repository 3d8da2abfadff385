//go:build unix

package app

import "syscall"

// room returns how many bytes this user may still write on the disk of a folder, and how many it has.
func room(folder string) (free, total int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0, 0, err
	}
	size := int64(s.Bsize) //nolint:unconvert // it is an int32 or an uint32 elsewhere
	return int64(s.Bavail) * size, int64(s.Blocks) * size, nil
}
