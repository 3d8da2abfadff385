//go:build long

package property

import "pgregory.net/rapid"

const seed = "0" // another one each time

// tried says of a value whether it is one of the few.
var tried = rapid.Just(true)
