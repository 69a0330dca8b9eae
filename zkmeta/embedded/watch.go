package embedded

import "ottla/zkmeta"

// watchTable holds the watches that are set, by path. Like ZooKeeper's it has two sides: data watches (set
// by Get and Exists) and child watches.
type watchTable struct {
	data  map[string][]watchRef
	child map[string][]watchRef
}

type watchRef struct {
	session *session
	watch   *zkmeta.Watch
}

// firing is a watch on its way to its session.
type firing struct {
	watchRef
	event zkmeta.Event
}

func newWatchTable() watchTable {
	return watchTable{make(map[string][]watchRef), make(map[string][]watchRef)}
}

// add sets w, at most once per path; cancelled watches make room.
func (t *watchTable) add(m map[string][]watchRef, path string, c *session, w *zkmeta.Watch) {
	list := m[path]
	kept := list[:0]
	for _, r := range list {
		if r.watch == w {
			return
		}
		if !r.watch.Done() {
			kept = append(kept, r)
		}
	}
	clear(list[len(kept):])
	m[path] = append(kept, watchRef{c, w})
}

// trigger takes out the watches that events fire, in ZooKeeper's order (DataTree, WatchManager).
func (t *watchTable) trigger(out []firing, events []zkmeta.Event) []firing {
	take := func(m map[string][]watchRef, ev zkmeta.Event) {
		list, ok := m[ev.Path]
		if !ok {
			return
		}
		delete(m, ev.Path)
		for _, r := range list {
			out = append(out, firing{r, ev})
		}
	}
	for _, ev := range events {
		switch ev.Type {
		case zkmeta.EventCreated, zkmeta.EventDataChanged:
			take(t.data, ev)
		case zkmeta.EventDeleted:
			take(t.data, ev)
			take(t.child, ev)
		case zkmeta.EventChildrenChanged:
			take(t.child, ev)
		}
	}
	return out
}

func (t *watchTable) dropSession(c *session) {
	for _, m := range []map[string][]watchRef{t.data, t.child} {
		for path, list := range m {
			kept := list[:0]
			for _, r := range list {
				if r.session != c {
					kept = append(kept, r)
				}
			}
			clear(list[len(kept):])
			if len(kept) == 0 {
				delete(m, path)
			} else {
				m[path] = kept
			}
		}
	}
}
