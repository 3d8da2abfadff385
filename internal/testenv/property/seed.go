//go:build !long

package property

import "pgregory.net/rapid"

const seed = "20261122"

// tried says of a value whether it is one of the few.
var tried = rapid.SampledFrom([]bool{true, false, false})
