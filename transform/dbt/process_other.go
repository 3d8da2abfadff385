//go:build !linux

package dbt

import "syscall"

// apart gives dbt a process group of its own, so that all of it can be stopped.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
