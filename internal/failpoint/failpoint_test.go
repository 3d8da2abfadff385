package failpoint

import "testing"

// BenchmarkPassage is what a place costs that nobody armed: a fraction of a nanosecond.
func BenchmarkPassage(b *testing.B) {
	for b.Loop() {
		Here("nowhere")
	}
}

func TestHere(t *testing.T) {
	var passed []string
	Here("before")
	Arm(func(name string) { passed = append(passed, name) })
	defer Arm(nil)
	Here("one")
	Here("two")
	if len(passed) != 2 || passed[0] != "one" || passed[1] != "two" {
		t.Errorf("passed %v", passed)
	}
}
