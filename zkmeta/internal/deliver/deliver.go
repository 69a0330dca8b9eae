// Package deliver calls watches in order from one goroutine per session.
package deliver

import (
	"sync"

	"ottla/zkmeta"
)

// Queue holds watches that are to be called. It is not bounded: each watch that was set is in it at most
// once. Its mutex is a leaf.
type Queue struct {
	mu     sync.Mutex
	list   []item
	ended  bool
	notify chan struct{}
	end    chan struct{}
}

type item struct {
	watch *zkmeta.Watch
	event zkmeta.Event
}

// New returns an empty queue; Run must be started.
func New() *Queue {
	return &Queue{notify: make(chan struct{}, 1), end: make(chan struct{})}
}

// Post queues a call. It does not block, and does nothing after End.
func (q *Queue) Post(w *zkmeta.Watch, ev zkmeta.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return
	}
	q.list = append(q.list, item{w, ev})
	select {
	case q.notify <- struct{}{}:
	default:
	}
}

// Run calls the watches until End.
func (q *Queue) Run() {
	for {
		select {
		case <-q.notify:
		case <-q.end:
			return
		}
		for {
			q.mu.Lock()
			if len(q.list) == 0 {
				q.list = nil
				q.mu.Unlock()
				break
			}
			next := q.list[0]
			q.list[0] = item{}
			q.list = q.list[1:]
			q.mu.Unlock()
			next.watch.Fire(next.event)
		}
	}
}

// End drops what is queued and lets Run return. A call that runs already is not waited for.
func (q *Queue) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ended {
		q.ended, q.list = true, nil
		close(q.end)
	}
}
