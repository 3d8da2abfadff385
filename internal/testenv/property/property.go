// Package property checks properties with the same random values in every run of make test, so that it is red for a
// change and not by chance. make test-long draws others each time, and so does whoever asks: go test -rapid.seed 0, or
// any other.
//
// Only tests import this package.
package property

import (
	"flag"
	"sync"

	"pgregory.net/rapid"
)

// Check is rapid.Check.
func Check(t rapid.TB, property func(*rapid.T)) {
	t.Helper()
	if err := seeded(); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, property)
}

// seeded sets the seed, once for each process, unless the command line has.
var seeded = sync.OnceValue(func() error {
	const name = "rapid.seed"
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == name })
	if asked {
		return nil
	}
	return flag.Set(name, seed)
})
