package replication

import (
	"sync"
	"sync/atomic"
	"time"
)

// fetchWaiter is a fetch that waits for bytes. It is pooled: once its watches are unlinked nothing refers to it.
type fetchWaiter struct {
	left     atomic.Int64 // bytes still missing
	wake     chan struct{}
	timer    *time.Timer
	deadline time.Time
	hasNews  atomic.Bool // the timer was shortened to tell a follower the high watermark
	watches  []fetchWatch
}

// fetchWatch links a fetchWaiter to one partition. All but w and p is guarded by the partition's waitList.mu while linked.
type fetchWatch struct {
	w          *fetchWaiter
	p          *Partition
	prev, next *fetchWatch
	linked     bool
	isLEO      bool  // in waitList.leo, else in waitList.hw
	stable     bool  // waits for the last stable offset
	seen       int64 // end of what could be read when the fetch looked
	counted    int64 // of waitList.bytes
}

const pooledWatches = 4096 // waiters with more are left to the garbage collector

var fetchWaiters = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &fetchWaiter{wake: make(chan struct{}, 1), timer: t}
}}

func newFetchWaiter(n int, wait time.Duration) *fetchWaiter {
	w := fetchWaiters.Get().(*fetchWaiter)
	if cap(w.watches) < n {
		w.watches = make([]fetchWatch, n)
	}
	w.watches = w.watches[:n]
	w.deadline = time.Now().Add(wait)
	w.timer.Reset(wait)
	return w
}

// release gives the waiter back. Its watches are unlinked.
func (w *fetchWaiter) release() {
	w.timer.Stop()
	clear(w.watches)
	if cap(w.watches) > pooledWatches {
		return
	}
	w.drain()
	w.hasNews.Store(false)
	fetchWaiters.Put(w)
}

func (w *fetchWaiter) drain() {
	select {
	case <-w.wake:
	default:
	}
}

func (w *fetchWaiter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// force has the fetch look again.
func (w *fetchWaiter) force() { w.signal() }

// news ends a follower's wait soon, once: the high watermark moved.
func (w *fetchWaiter) news(delay time.Duration) {
	if w.hasNews.Load() || !w.hasNews.CompareAndSwap(false, true) {
		return
	}
	if rest := time.Until(w.deadline); rest > delay {
		w.timer.Reset(delay)
	}
}

// account takes the bytes since the last time off what is missing. Needs the partition's waitList.mu.
func (e *fetchWatch) account(total int64) {
	delta := total - e.counted
	if delta <= 0 {
		return
	}
	e.counted = total
	if e.w.left.Add(-delta) <= 0 {
		e.w.signal()
	}
}

// watchAll links the waiter to every partition that was read, and then looks whether more can be read by now or the role is another one.
func (w *fetchWaiter) watchAll(res []FetchResult, bound readBound) {
	for i := range res {
		if r := &res[i]; r.at != nil {
			w.watch(&w.watches[i], r, bound)
		}
	}
}

func (w *fetchWaiter) watch(e *fetchWatch, r *FetchResult, bound readBound) {
	p := r.at
	*e = fetchWatch{w: w, p: p, isLEO: bound == toLogEnd, stable: bound == toLastStable, seen: r.end}
	ws := &p.waits
	ws.fetches.Add(1)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if e.isLEO {
		e.counted = r.counted
		ws.leo.insert(e)
		e.account(ws.bytes.Load())
	} else {
		e.counted = min(ws.visible, r.counted)
		ws.hw.insert(e)
		if bound.end(p.Log()) > e.seen {
			e.account(max(ws.bytes.Load(), e.counted+1))
		}
	}
	if now := p.role.Load(); now != r.role && (now.leaderEpoch != r.role.leaderEpoch || now.leader != r.role.leader || now.offline != r.role.offline) {
		w.force()
	}
}

// unwatch unlinks all watches. No event reaches the waiter afterwards.
func (w *fetchWaiter) unwatch() {
	for i := range w.watches {
		e := &w.watches[i]
		if e.p == nil {
			continue
		}
		ws := &e.p.waits
		ws.mu.Lock()
		if e.linked {
			if e.isLEO {
				ws.leo.remove(e)
			} else {
				ws.hw.remove(e)
			}
			ws.fetches.Add(-1)
		}
		ws.mu.Unlock()
		e.p = nil
	}
	w.drain()
}
