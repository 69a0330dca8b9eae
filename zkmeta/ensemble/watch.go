package ensemble

import (
	"slices"
	"sync"

	"ottla/zkmeta"
)

// watchTable has one entry per path and side that is being watched. An event takes the entry out of the
// table, so an entry that is still in it has seen none.
type watchTable struct {
	mu sync.Mutex
	m  map[watchKey]*watchEntry
}

// watchKey: ZooKeeper keeps data watches (of Get and Exists) and child watches apart.
type watchKey struct {
	path  string
	child bool
}

type watchEntry struct {
	watches []*zkmeta.Watch
	armed   bool // a watch is set on the server and has not fired
}

// watchRead is a read that is to set a watch.
type watchRead struct {
	key   watchKey
	entry *watchEntry
	watch *zkmeta.Watch
	armed bool // the path was watched at the start: a plain read is enough
}

// begin adds w before the read is sent, so that no event after the read can miss it.
func (t *watchTable) begin(key watchKey, w *zkmeta.Watch) *watchRead {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[watchKey]*watchEntry)
	}
	e := t.m[key]
	if e == nil {
		e = &watchEntry{}
		t.m[key] = e
	}
	e.watches = slices.DeleteFunc(e.watches, func(o *zkmeta.Watch) bool { return o == w || o.Done() })
	e.watches = append(e.watches, w)
	return &watchRead{key, e, w, e.armed}
}

// arm notes that the read has set a watch on the server. If an event came since begin nobody knows whether
// that watch is the one that fired; then it does not count, and the next read sets one again.
func (t *watchTable) arm(r *watchRead) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[r.key] == r.entry {
		r.entry.armed = true
	}
}

// drop takes the watch of a read back that failed, or whose caller has gone.
func (t *watchTable) drop(r *watchRead) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := r.entry
	e.watches = slices.DeleteFunc(e.watches, func(o *zkmeta.Watch) bool { return o == r.watch })
	if len(e.watches) == 0 && !e.armed && t.m[r.key] == e {
		delete(t.m, r.key)
	}
}

// event returns the watches that ev fires.
func (t *watchTable) event(ev zkmeta.Event) []*zkmeta.Watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*zkmeta.Watch
	take := func(key watchKey) {
		if e := t.m[key]; e != nil {
			out = append(out, e.watches...)
			delete(t.m, key)
		}
	}
	switch ev.Type {
	case zkmeta.EventCreated, zkmeta.EventDataChanged:
		take(watchKey{ev.Path, false})
	case zkmeta.EventChildrenChanged:
		take(watchKey{ev.Path, true})
	case zkmeta.EventDeleted:
		take(watchKey{ev.Path, false})
		take(watchKey{ev.Path, true})
	}
	return out
}
