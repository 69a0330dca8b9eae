package replication

import (
	"sync"
	"sync/atomic"
	"time"
)

// waitList is a partition's part of the purgatory: what waits for its log end offset, high watermark, log start offset or role.
//
// Who waits registers first and looks at the offset afterwards; who moves an offset publishes it first and looks for waiters
// afterwards. One of the two sees the other, so no wake-up is lost, and the mutex is taken only if somebody waits. What is completed or gives
// up unlinks itself, so the lists hold only what still waits. mu is a leaf: nothing is called and no other lock taken with it held.
type waitList struct {
	produces atomic.Int32 // lengths, to be read without mu
	fetches  atomic.Int32
	bytes    atomic.Int64 // ever appended

	mu      sync.Mutex
	visible int64     // of bytes, those known to be below the high watermark: a lower bound
	mark    byteMark  // what visible becomes next
	waiting waitHead  // acks=all produces, by rising offset
	syncing waitHead  // acks=1 produces that wait for the disk, by rising offset
	leo     fetchHead // followers' fetches
	hw      fetchHead // consumers' fetches
	deletes []*deleteWait
}

// byteMark remembers how many bytes had been appended when the log ended at offset.
type byteMark struct{ offset, bytes int64 }

// waitHead is a list of produce entries in the order of their offsets.
type waitHead struct{ first, last *produceEntry }

func (h *waitHead) insert(e *produceEntry) {
	at := h.last
	for at != nil && at.offset > e.offset {
		at = at.prev
	}
	e.prev = at
	if at == nil {
		e.next, h.first = h.first, e
	} else {
		e.next, at.next = at.next, e
	}
	if e.next == nil {
		h.last = e
	} else {
		e.next.prev = e
	}
	e.linked = true
}

func (h *waitHead) remove(e *produceEntry) {
	if e.prev == nil {
		h.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		h.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next, e.linked = nil, nil, false
}

type fetchHead struct{ first *fetchWatch }

func (h *fetchHead) insert(e *fetchWatch) {
	e.prev, e.next = nil, h.first
	if h.first != nil {
		h.first.prev = e
	}
	h.first, e.linked = e, true
}

func (h *fetchHead) remove(e *fetchWatch) {
	if e.prev == nil {
		h.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.prev, e.next, e.linked = nil, nil, false
}

// appended tells followers' fetches about new bytes at the log's end.
func (w *waitList) appended(bytes int64) {
	total := w.bytes.Add(bytes)
	if w.fetches.Load() == 0 {
		return
	}
	w.mu.Lock()
	for e := w.leo.first; e != nil; e = e.next {
		e.account(total)
	}
	w.mu.Unlock()
}

// committed completes the produces up to ev.hw and tells fetches about it. end is the log end offset.
func (w *waitList) committed(ev hwEvent, newsDelay time.Duration) {
	if w.produces.Load() == 0 && w.fetches.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for e := w.waiting.first; e != nil && e.offset <= ev.hw; {
		next := e.next
		if e.tenure == ev.tenure {
			w.completeLocked(e, ev.code)
		}
		e = next
	}
	if w.fetches.Load() == 0 {
		return
	}
	total := w.bytes.Load()
	if ev.hw >= w.mark.offset {
		w.visible = w.mark.bytes
		w.mark = byteMark{offset: ev.log.EndOffset(), bytes: total}
	}
	for e := w.hw.first; e != nil; e = e.next {
		if e.stable && ev.log.LastStableOffset() == e.seen {
			continue
		}
		e.account(max(total, e.counted+1))
	}
	for e := w.leo.first; e != nil; e = e.next {
		e.w.news(newsDelay)
	}
}

// synced completes the acks=1 produces up to the offset.
func (w *waitList) synced(durable, tenure int64) {
	if w.produces.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for e := w.syncing.first; e != nil && e.offset <= durable; {
		next := e.next
		if e.tenure == tenure {
			w.completeLocked(e, 0)
		}
		e = next
	}
}

// fail completes every produce and deletion with code.
func (w *waitList) fail(code int16) {
	w.mu.Lock()
	for _, h := range []*waitHead{&w.waiting, &w.syncing} {
		for h.first != nil {
			w.completeLocked(h.first, code)
		}
	}
	for _, d := range w.deletes {
		d.code = code
		close(d.done)
	}
	w.deletes = nil
	w.mu.Unlock()
}

// wakeFetches has every waiting fetch look again, after a change of role.
func (w *waitList) wakeFetches() {
	if w.fetches.Load() == 0 {
		return
	}
	w.mu.Lock()
	for _, h := range []*fetchHead{&w.leo, &w.hw} {
		for e := h.first; e != nil; e = e.next {
			e.w.force()
		}
	}
	w.mu.Unlock()
}

func (w *waitList) listOf(e *produceEntry) *waitHead {
	if e.disk {
		return &w.syncing
	}
	return &w.waiting
}

// completeLocked writes the entry's result and unlinks it. Needs mu.
func (w *waitList) completeLocked(e *produceEntry, code int16) {
	w.listOf(e).remove(e)
	w.produces.Add(-1)
	e.wait.codes[e.index] = code
	if e.wait.left.Add(-1) == 0 {
		close(e.wait.done)
	}
}
