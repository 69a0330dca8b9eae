package storage

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// remover does things later: unlinking what was marked deleted, after file.delete.delay.ms.
type remover struct {
	mu    sync.Mutex // leaf
	queue removals
	wake  chan struct{} // capacity 1
}

type removal struct {
	due time.Time
	do  func() error
	dir *logDir
}

type removals []removal

func (q removals) Len() int           { return len(q) }
func (q removals) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q removals) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *removals) Push(x any)        { *q = append(*q, x.(removal)) }
func (q *removals) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = removal{}
	*q = old[:len(old)-1]
	return x
}

func newRemover() *remover { return &remover{wake: make(chan struct{}, 1)} }

// after runs do once a delay has passed; an error takes the log directory offline.
func (r *remover) after(delay time.Duration, do func() error, d *logDir) {
	r.mu.Lock()
	heap.Push(&r.queue, removal{time.Now().Add(max(delay, 0)), do, d})
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// due takes the next removal if its time has come, and says how long to wait otherwise; wait is negative if there is none.
func (r *remover) due(now time.Time) (x removal, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return x, -1
	}
	if wait = r.queue[0].due.Sub(now); wait > 0 {
		return x, wait
	}
	return heap.Pop(&r.queue).(removal), 0
}

func (r *remover) run(ctx context.Context) {
	for ctx.Err() == nil {
		x, wait := r.due(time.Now())
		if wait == 0 {
			if err := x.do(); err != nil {
				x.dir.fail(&storageError{"remove deleted files", err})
			}
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-timer:
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}
