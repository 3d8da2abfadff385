//go:build !linux

package duckdb

import "testing"

// smallDisk cannot mount a small file system here; the child limits the size of its files instead.
func smallDisk(*testing.T, string) bool { return false }
