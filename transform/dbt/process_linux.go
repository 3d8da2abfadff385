package dbt

import "syscall"

// apart gives dbt a process group of its own, so that all of it can be stopped, and has the kernel end it when the
// thread that started it is gone.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
