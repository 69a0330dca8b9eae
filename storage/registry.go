package storage

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// registry finds logs by topic and partition without a lock and without allocating. Topics are spread over shards, each an immutable map that a
// change replaces; a topic's partitions are a slice of atomic pointers that grows by doubling. Thousands of partitions are
// added in a burst at start and when topics are created, so neither may cost a copy of everything per addition.
type registry struct {
	seed   maphash.Seed
	shards [256]atomic.Pointer[map[string]*topicLogs]
	mu     sync.Mutex // changes
	count  atomic.Int64
}

type topicLogs struct {
	topic      string
	partitions atomic.Pointer[[]atomic.Pointer[Log]]
	logs       int // guarded by registry.mu
}

func newRegistry() *registry { return &registry{seed: maphash.MakeSeed()} }

func (r *registry) shard(topic string) *atomic.Pointer[map[string]*topicLogs] {
	return &r.shards[maphash.String(r.seed, topic)%uint64(len(r.shards))]
}

func (r *registry) topic(topic string) *topicLogs {
	if m := r.shard(topic).Load(); m != nil {
		return (*m)[topic]
	}
	return nil
}

func (r *registry) get(tp TopicPartition) *Log {
	t := r.topic(tp.Topic)
	if t == nil {
		return nil
	}
	if p := *t.partitions.Load(); tp.Partition >= 0 && int(tp.Partition) < len(p) {
		return p[tp.Partition].Load()
	}
	return nil
}

// put adds a log; the registry has none of that name.
func (r *registry) put(l *Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topic(l.tp.Topic)
	if t == nil {
		t = &topicLogs{topic: l.tp.Topic}
		t.partitions.Store(&[]atomic.Pointer[Log]{})
		r.replace(l.tp.Topic, t)
	}
	p := *t.partitions.Load()
	if int(l.tp.Partition) >= len(p) {
		grown := make([]atomic.Pointer[Log], max(int(l.tp.Partition)+1, 2*len(p)))
		for i := range p {
			grown[i].Store(p[i].Load())
		}
		p = grown
		t.partitions.Store(&p)
	}
	p[l.tp.Partition].Store(l)
	t.logs++
	r.count.Add(1)
}

// remove takes a log out; last says that its topic has no other.
func (r *registry) remove(l *Log) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topic(l.tp.Topic)
	if t == nil || r.get(l.tp) != l {
		return false
	}
	(*t.partitions.Load())[l.tp.Partition].Store(nil)
	t.logs--
	r.count.Add(-1)
	if t.logs == 0 {
		r.replace(l.tp.Topic, nil)
	}
	return t.logs == 0
}

// replace sets or, with nil, removes a topic. The caller holds mu.
func (r *registry) replace(topic string, t *topicLogs) {
	shard := r.shard(topic)
	m := make(map[string]*topicLogs)
	if old := shard.Load(); old != nil {
		m = maps.Clone(*old)
	}
	if t == nil {
		delete(m, topic)
	} else {
		m[topic] = t
	}
	shard.Store(&m)
}

// each calls f with every log, in no order.
func (r *registry) each(f func(*Log)) {
	for i := range r.shards {
		m := r.shards[i].Load()
		if m == nil {
			continue
		}
		for _, t := range *m {
			t.each(f)
		}
	}
}

func (t *topicLogs) each(f func(*Log)) {
	if t == nil {
		return
	}
	p := *t.partitions.Load()
	for i := range p {
		if l := p[i].Load(); l != nil {
			f(l)
		}
	}
}

// all lists the logs by name.
func (r *registry) all() []*Log {
	out := make([]*Log, 0, r.count.Load())
	r.each(func(l *Log) { out = append(out, l) })
	slices.SortFunc(out, func(a, b *Log) int {
		return cmp.Or(cmp.Compare(a.tp.Topic, b.tp.Topic), cmp.Compare(a.tp.Partition, b.tp.Partition))
	})
	return out
}
