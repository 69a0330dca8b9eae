package controller

import (
	"cmp"
	"maps"
	"slices"

	"ottla/zkmeta"
)

// noLeader is written as leader of a partition that nobody can lead at the moment.
const noLeader int32 = -1

// leaderDuringDelete in UpdateMetadata tells brokers that the topic is being deleted
// (LeaderAndIsr.LeaderDuringDelete in Kafka).
const leaderDuringDelete int32 = -2

// Leader epochs in StopReplica that switch the receiver's epoch check off
// (LeaderAndIsr.EpochDuringDelete and NoEpoch in Kafka).
const (
	epochDuringDelete int32 = -2
	noEpoch           int32 = -1
)

// A term is everything the controller knows between winning an election and losing it. The machine
// drops it as a whole when it resigns, so nothing decided in one term can leak into the next.
type term struct {
	// epoch is the controller epoch; epochVersion is the version of the znode that holds it,
	// which guards every write of the term.
	epoch        int32
	epochVersion int32

	// brokers are the registered ones, by id, whether or not they are shutting down.
	brokers map[int32]*broker
	topics  map[string]*topic
	byID    map[[16]byte]*topic
	// names are the keys of topics in order: what is sent and written does not depend on map order.
	names []string

	// unreadable are topics whose znode could not be understood; they are left alone until it changes.
	unreadable map[string]struct{}
	// deleting are the topics being deleted.
	deleting map[string]*topic
	// deletingNames are its keys, for readers outside the machine.
	deletingNames *map[string]struct{}
	// reassignmentZNode tells whether /admin/reassign_partitions was there when last read.
	reassignmentZNode bool
	// reassigning are the partitions with a reassignment in progress.
	reassigning map[*partition]struct{}
}

func newTerm(epoch, epochVersion int32) *term {
	return &term{
		epoch:        epoch,
		epochVersion: epochVersion,
		brokers:      map[int32]*broker{},
		topics:       map[string]*topic{},
		byID:         map[[16]byte]*topic{},
		unreadable:   map[string]struct{}{},
		deleting:     map[string]*topic{},
		reassigning:  map[*partition]struct{}{},
	}
}

// A broker is one registration.
type broker struct {
	info zkmeta.BrokerInfo
	// epoch is the czxid of the registration.
	epoch        int64
	shuttingDown bool
	// offline are the replicas that the broker reported to be in a failed log directory.
	offline map[*partition]struct{}
}

type topic struct {
	name  string
	id    [16]byte
	hasID bool
	// version is that of the topic's znode.
	version int32
	// parts are in order of their number, which normally is their index.
	parts []*partition
	// deletion is nil unless the topic has a marker in /admin/delete_topics.
	deletion *deletion
}

// A partitionState is the content of a partition's state znode.
type partitionState struct {
	leader      int32
	leaderEpoch int32
	isr         []int32
	// recovering is set after an unclean election until the new leader has said otherwise.
	recovering bool
	// controllerEpoch is that of the controller that wrote the state.
	controllerEpoch int32
}

type partition struct {
	topic *topic
	id    int32

	// replicas are all of them, the preferred leader first. During a reassignment they are the target
	// replicas, then those to remove.
	replicas, adding, removing []int32

	// completing is set while a reassignment is complete but for the removed replicas' answers.
	completing *completing

	// written tells whether the state znode exists; state and version are meaningless without it.
	// unreadable is set if it exists but could not be understood.
	written, unreadable bool
	state               partitionState
	// version of the state znode: the partition epoch.
	version int32
}

// completing is the end of a reassignment: the partition has its new assignment, the topic znode still the
// old one, so that a successor stops the removed replicas if this controller does not live to see them gone.
type completing struct {
	replicas, adding, removing []int32 // as in the topic znode
	waiting                    map[int32]struct{}
}

func (p *partition) compare(o *partition) int {
	if c := cmp.Compare(p.topic.name, o.topic.name); c != 0 {
		return c
	}
	return cmp.Compare(p.id, o.id)
}

// target are the replicas that a reassignment leads to; without one, the replicas.
func (p *partition) target() []int32 { return without(p.replicas, p.removing) }

// origin are the replicas from before a reassignment.
func (p *partition) origin() []int32 { return without(p.replicas, p.adding) }

func (p *partition) beingReassigned() bool { return len(p.adding) > 0 || len(p.removing) > 0 }

// partition returns nil if t has no such partition.
func (t *topic) partition(id int32) *partition {
	if id >= 0 && int(id) < len(t.parts) && t.parts[id].id == id {
		return t.parts[id]
	}
	i, ok := slices.BinarySearchFunc(t.parts, id, func(p *partition, id int32) int { return cmp.Compare(p.id, id) })
	if !ok {
		return nil
	}
	return t.parts[i]
}

func (t *topic) addPartition(p *partition) {
	i, _ := slices.BinarySearchFunc(t.parts, p.id, func(p *partition, id int32) int { return cmp.Compare(p.id, id) })
	t.parts = slices.Insert(t.parts, i, p)
}

func (t *topic) deleting() bool { return t.deletion != nil }

// partition returns nil if there is none.
func (c *term) partition(topic string, id int32) *partition {
	t := c.topics[topic]
	if t == nil {
		return nil
	}
	return t.partition(id)
}

func (c *term) addTopic(t *topic) {
	if _, ok := c.topics[t.name]; !ok {
		i, _ := slices.BinarySearch(c.names, t.name)
		c.names = slices.Insert(c.names, i, t.name)
	}
	c.topics[t.name] = t
	if t.hasID {
		c.byID[t.id] = t
	}
}

// addTopics is addTopic for many: it sorts once.
func (c *term) addTopics(ts []*topic) {
	for _, t := range ts {
		c.topics[t.name] = t
		if t.hasID {
			c.byID[t.id] = t
		}
	}
	c.names = slices.Sorted(maps.Keys(c.topics))
}

func (c *term) removeTopic(t *topic) {
	delete(c.topics, t.name)
	delete(c.deleting, t.name)
	c.noteDeleting()
	if c.byID[t.id] == t {
		delete(c.byID, t.id)
	}
	if i, ok := slices.BinarySearch(c.names, t.name); ok {
		c.names = slices.Delete(c.names, i, i+1)
	}
	for _, p := range t.parts {
		delete(c.reassigning, p)
		for _, b := range c.brokers {
			delete(b.offline, p)
		}
	}
}

// partitions returns those for which keep answers true, in order.
func (c *term) partitions(keep func(*partition) bool) []*partition {
	var ps []*partition
	for _, name := range c.names {
		for _, p := range c.topics[name].parts {
			if keep(p) {
				ps = append(ps, p)
			}
		}
	}
	return ps
}

// partitionsNotDeleting is partitions without those of topics that are being deleted.
func (c *term) partitionsNotDeleting(keep func(*partition) bool) []*partition {
	return c.partitions(func(p *partition) bool { return !p.topic.deleting() && keep(p) })
}

// registered tells whether the broker is in ZooKeeper, possibly shutting down.
func (c *term) registered(id int32) bool { return c.brokers[id] != nil }

// live tells whether the broker is registered and not shutting down.
func (c *term) live(id int32) bool {
	b := c.brokers[id]
	return b != nil && !b.shuttingDown
}

// online tells whether broker id can serve its replica of p.
func (c *term) online(p *partition, id int32) bool { return c.live(id) && !c.dirFailed(p, id) }

// reachable is online for brokers that are shutting down too.
func (c *term) reachable(p *partition, id int32) bool { return c.registered(id) && !c.dirFailed(p, id) }

func (c *term) dirFailed(p *partition, id int32) bool {
	b := c.brokers[id]
	if b == nil {
		return false
	}
	_, failed := b.offline[p]
	return failed
}

// brokerIDs are the registered ones, in order.
func (c *term) brokerIDs() []int32 { return slices.Sorted(maps.Keys(c.brokers)) }

// liveIDs are the registered ones that are not shutting down, in order.
func (c *term) liveIDs() []int32 {
	return slices.DeleteFunc(c.brokerIDs(), func(id int32) bool { return !c.live(id) })
}

// without returns the elements of a that are not in b, in a's order, in new memory.
func without(a, b []int32) []int32 {
	out := make([]int32, 0, len(a))
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// filter returns the elements of a for which keep answers true, in new memory.
func filter(a []int32, keep func(int32) bool) []int32 {
	out := make([]int32, 0, len(a))
	for _, x := range a {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

// sameSet tells whether a and b have the same elements, in whatever order.
func sameSet(a, b []int32) bool {
	return len(a) == len(b) && len(without(a, b)) == 0 && len(without(b, a)) == 0
}
