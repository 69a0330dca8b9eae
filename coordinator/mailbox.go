package coordinator

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// maxQueuedEvents bounds a shard's queue. A client connection has one request in flight, so only more connections than this
// can fill it.
const maxQueuedEvents = 1 << 17

// mailbox is a shard's queue of events.
type mailbox struct {
	mu     sync.Mutex
	events []Event
	closed error // why nothing is accepted any more
	wake   chan struct{}
}

// put appends ev; it returns the error to fail it with otherwise.
func (m *mailbox) put(ev Event) error {
	m.mu.Lock()
	switch {
	case m.closed != nil:
		m.mu.Unlock()
		return m.closed
	case len(m.events) >= maxQueuedEvents:
		m.mu.Unlock()
		return kerr.CoordinatorNotAvailable
	}
	m.events = append(m.events, ev)
	m.mu.Unlock()
	m.signal()
	return nil
}

// take swaps the queue for an empty one that uses spare.
func (m *mailbox) take(spare []Event) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	evs := m.events
	m.events = spare[:0]
	return evs
}

// close refuses further events with err and returns those that were waiting.
func (m *mailbox) close(err error) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed == nil {
		m.closed = err
	}
	evs := m.events
	m.events = nil
	return evs
}

func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
