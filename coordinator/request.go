package coordinator

import (
	"context"
	"sync"
)

// Traits say how an event may be treated.
type Traits uint8

const (
	// Batching events do not rest on each other's records: several are decided before one append.
	Batching Traits = 1 << iota
	// AwaitsLoad events wait in the queue while the shard loads, instead of failing.
	AwaitsLoad
)

// Event is something for a machine to decide about. A type embeds Request for all but Traits and Fail.
type Event interface {
	Traits() Traits
	// Begin is called before the event is handled and tells whether it still should be; End after.
	Begin() bool
	End()
	// Fail answers the event without the machine: not the coordinator, loading, closing. err carries a *kerr.Error.
	Fail(err error)
}

// Request is the part of an event that its poster waits on. Make one with NewRequest.
type Request struct {
	mu        sync.Mutex
	abandoned bool // guarded by mu
	finished  bool // owned by whoever answers: the shard's goroutine, or Fail's caller
	done      chan struct{}
}

// NewRequest returns the Request to embed.
func NewRequest() Request { return Request{done: make(chan struct{})} }

// Begin implements Event.
func (r *Request) Begin() bool {
	r.mu.Lock()
	if r.abandoned {
		r.mu.Unlock()
		return false
	}
	return true
}

// End implements Event.
func (r *Request) End() { r.mu.Unlock() }

// Finish lets Wait return. Only the first call counts.
func (r *Request) Finish() {
	if !r.finished {
		r.finished = true
		close(r.done)
	}
}

// Wait returns nil when the event was answered. If ctx ends first it returns ctx's error; the event is then either dropped unhandled
// or was handled already, and in both cases nothing reads the request from then on.
func (r *Request) Wait(ctx context.Context) error {
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.abandoned = true
	r.mu.Unlock()
	select {
	case <-r.done:
		return nil
	default:
		return ctx.Err()
	}
}
