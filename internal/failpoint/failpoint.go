// Package failpoint marks the places at which a crash would hurt: before and after each effect that outlives the
// process. Tests stop the program there, one place and one passage after the other, and see that nothing is lost. In the
// program that people run nothing ever arms it, and a passage is the comparison of a pointer with nil.
package failpoint

// armed is called at each passage; it is set before the program begins, and never again.
var armed func(name string)

// Here marks a place. Names are constants, "part.what has just happened or is about to": each is listed in
// docs/reliability.md.
func Here(name string) {
	if armed != nil {
		armed(name)
	}
}

// Arm has every passage call do, on the goroutine that passes. Only a test's own main may, before anything else runs.
func Arm(do func(name string)) { armed = do }
