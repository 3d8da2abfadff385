package main

import (
	"bytes"
	"iter"
	"sync"
	"time"
)

// journal keeps what a process says, line by line, until somebody reads it. Who writes never waits for who reads: a process
// that is held up by its log would hold up the test that waits for it.
type journal struct {
	mu    sync.Mutex
	part  []byte   // of a line that goes on
	lines []string // whole, and read by nobody
	more  chan struct{}
	ended chan struct{} // closed when nothing comes any more
}

func newJournal() *journal {
	return &journal{more: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.part = append(j.part, p...)
	for {
		line, rest, whole := bytes.Cut(j.part, []byte("\n"))
		if !whole {
			break
		}
		j.lines, j.part = append(j.lines, string(line)), rest
	}
	select {
	case j.more <- struct{}{}:
	default: // who reads has been told, and will find this too
	}
	return len(p), nil
}

// end says that nothing comes any more.
func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.part) > 0 {
		j.lines, j.part = append(j.lines, string(j.part)), nil
	}
	close(j.ended)
}

// next returns the first line that nobody has read, and waits for it; there is none when nothing comes any more, or not before
// it is over.
func (j *journal) next(over <-chan time.Time) (line string, some bool) {
	for ended := false; ; {
		if line, some = j.take(); some || ended {
			return line, some
		}
		select {
		case <-j.more:
		case <-j.ended:
			ended = true
		case <-over:
			return "", false
		}
	}
}

func (j *journal) take() (line string, some bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) == 0 {
		return "", false
	}
	line, j.lines = j.lines[0], j.lines[1:]
	return line, true
}

// rest is what nobody has read, up to the end of the process.
func (j *journal) rest() iter.Seq[string] {
	return func(yield func(string) bool) {
		for line, some := j.next(nil); some && yield(line); {
			line, some = j.next(nil)
		}
	}
}
