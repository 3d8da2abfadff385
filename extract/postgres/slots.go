package postgres

import (
	"context"
	"slices"
	"sync"
)

// slots are how many sessions may read at once, which can change while they do.
type slots struct {
	mu    sync.Mutex
	limit int
	taken int
	queue []chan struct{} // tables that wait for their first session; closed when it is their turn
}

// take waits for a slot, after those who came before.
func (s *slots) take(ctx context.Context) error {
	s.mu.Lock()
	if s.taken < s.limit && len(s.queue) == 0 {
		s.taken++
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.queue = append(s.queue, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue, turn); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	} else { // it came at the same moment
		s.taken--
		s.serve()
	}
	return context.Cause(ctx)
}

// try takes a slot if one is free that nobody waits for.
func (s *slots) try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.limit || len(s.queue) > 0 {
		return false
	}
	s.taken++
	return true
}

// give gives a slot back.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.serve()
}

// serve lets those who wait have what is free.
func (s *slots) serve() {
	for s.taken < s.limit && len(s.queue) > 0 {
		s.taken++
		close(s.queue[0])
		s.queue = s.queue[1:]
	}
}

// wanted reports whether a session should stop at the next occasion, for another table or another worker.
func (s *slots) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) > 0 || s.taken > s.limit
}

// set changes how many there are. Those that are taken stay so until they are given back.
func (s *slots) set(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = max(limit, 0)
	s.serve()
}

// inUse returns how many are taken, and how many more there are.
func (s *slots) inUse() (taken, free int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken, max(s.limit-s.taken, 0)
}
