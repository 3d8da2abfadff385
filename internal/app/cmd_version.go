package app

import (
	"runtime"
	"runtime/debug"
)

// version is set by the linker for a release: -X …/internal/app.version=1.2.3.
var version = "0.1.0"

// Version prints what this binary is.
type Version struct{}

// Help is the long help of the command.
func (Version) Help() string {
	return `Prints the version, the commit that it was built from where that is known, and the Go release and platform. It reads no workspace, so it also tells whether the binary runs at all.`
}

// Run runs the command.
func (Version) Run(c *Console) error {
	commit := "unknown commit"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = "commit " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	c.printf("daybreak %s, %s, %s %s/%s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
