package postgres

import (
	"os"
	"syscall"
)

// setLowWater tells the kernel how many octets must have come before it wakes a reader.
func setLowWater(fd uintptr, octets int) error {
	return os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, octets))
}
