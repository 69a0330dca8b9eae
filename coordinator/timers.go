package coordinator

import (
	"container/heap"
	"time"
)

// Timers is a machine's set of deadlines. Moving a timer later costs nothing until its old deadline comes, which is what makes
// thousands of heartbeats a second cheap. It belongs to one goroutine.
type Timers struct{ h timerHeap }

// Timer is one deadline. Its zero value with Fire set is a stopped timer.
type Timer struct {
	// Fire runs when the time has come; the timer is stopped then and may be set again.
	Fire func(now time.Time)

	want time.Time // when to fire
	key  time.Time // where it lies in the heap, at most want
	slot int       // index in the heap plus one; 0 is stopped
}

// Active tells whether the timer is set.
func (t *Timer) Active() bool { return t.slot != 0 }

// At is when the timer fires. It means nothing if the timer is stopped.
func (t *Timer) At() time.Time { return t.want }

// Set makes t fire at the time at, whether or not it was set before.
func (ts *Timers) Set(t *Timer, at time.Time) {
	t.want = at
	switch {
	case t.slot == 0:
		t.key = at
		heap.Push(&ts.h, t)
	case at.Before(t.key):
		t.key = at
		heap.Fix(&ts.h, t.slot-1)
	}
}

// Stop stops t.
func (ts *Timers) Stop(t *Timer) {
	if t.slot != 0 {
		heap.Remove(&ts.h, t.slot-1)
	}
}

// Len is the number of timers set.
func (ts *Timers) Len() int { return len(ts.h) }

// Next is a time before which no timer fires, or zero if none is set.
func (ts *Timers) Next() time.Time {
	if len(ts.h) == 0 {
		return time.Time{}
	}
	return ts.h[0].key
}

// Run fires every timer whose time has come, those that firing ones set included.
func (ts *Timers) Run(now time.Time) {
	for len(ts.h) > 0 {
		t := ts.h[0]
		if t.key.After(now) {
			return
		}
		if t.want.After(now) {
			t.key = t.want
			heap.Fix(&ts.h, 0)
			continue
		}
		heap.Pop(&ts.h)
		t.Fire(now)
	}
}

type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].key.Before(h[j].key) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	*h = append(*h, t)
	t.slot = len(*h)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.slot = 0
	return t
}
