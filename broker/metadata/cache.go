// Package metadata holds what a broker knows about the cluster: live brokers, topics, leaders and in-sync replicas, as the
// controller's UpdateMetadata requests tell it. It is the only source of Metadata answers (kafka.server.metadata.ZkMetadataCache).
//
// Readers load an immutable Snapshot without a lock. Update builds the next one; updates come one at a time, from the handler of
// UpdateMetadata, and wake whoever waits for a change. Nothing here survives a restart: the controller sends everything again.
package metadata

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Leaders that are no broker ids.
const (
	// NoLeader says that no replica can lead now.
	NoLeader int32 = -1
	// LeaderDuringDelete says that the topic is being deleted (LeaderAndIsr.LEADER_DURING_DELETE).
	LeaderDuringDelete int32 = -2
)

// Endpoint is where a broker is reached on one of its listeners.
type Endpoint struct {
	Host string
	Port int32
	// SecurityProtocol is Kafka's id: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
	SecurityProtocol int16
}

// Broker is a live broker.
type Broker struct {
	ID        int32
	Endpoints map[string]Endpoint // by listener name
	Rack      *string
}

// Partition is the state of one partition. LeaderEpoch rises with each leader.
type Partition struct {
	Leader      int32
	LeaderEpoch int32
	ISR         []int32
	Replicas    []int32
	Offline     []int32
}

// Topic is a topic with its partitions by number; a hole has no Replicas.
type Topic struct {
	Name       string
	ID         [16]byte // zero if the controller knows none
	Partitions []Partition
}

// Snapshot is the state of the cluster at one moment. Neither it nor what it holds is changed after it is published.
type Snapshot struct {
	Brokers    map[int32]*Broker
	Topics     map[string]*Topic
	IDs        map[[16]byte]*Topic
	Controller int32 // broker id of the active controller, -1 if none is known
	// Version grows by one with each snapshot.
	Version uint64
}

// Partition returns a partition's state; ok is false if the topic or the partition is not known.
func (s *Snapshot) Partition(topic string, partition int32) (p Partition, ok bool) {
	t := s.Topics[topic]
	if t == nil || partition < 0 || int(partition) >= len(t.Partitions) || t.Partitions[partition].Replicas == nil {
		return Partition{}, false
	}
	return t.Partitions[partition], true
}

// Endpoint returns where the broker is reached on a listener.
func (s *Snapshot) Endpoint(broker int32, listener string) (Endpoint, bool) {
	b := s.Brokers[broker]
	if b == nil {
		return Endpoint{}, false
	}
	e, ok := b.Endpoints[listener]
	return e, ok
}

// Cache publishes snapshots.
type Cache struct {
	mu      sync.Mutex // one update at a time
	current atomic.Pointer[Snapshot]
	changed atomic.Pointer[chan struct{}]
}

// New returns a cache that knows nothing.
func New() *Cache {
	c := &Cache{}
	c.current.Store(&Snapshot{Controller: -1})
	ch := make(chan struct{})
	c.changed.Store(&ch)
	return c
}

// Load returns the newest snapshot.
func (c *Cache) Load() *Snapshot { return c.current.Load() }

// Wait returns the first snapshot for which cond holds, or ctx's error. cond is called at once and after each change.
func (c *Cache) Wait(ctx context.Context, cond func(*Snapshot) bool) (*Snapshot, error) {
	for {
		ch := *c.changed.Load() // before the snapshot, so that no change is missed
		if s := c.Load(); cond(s) {
			return s, nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *Cache) publish(s *Snapshot) {
	s.Version = c.Load().Version + 1
	c.current.Store(s)
	next := make(chan struct{})
	close(*c.changed.Swap(&next))
}

// Update merges an UpdateMetadata request of any version: the live brokers replace the known ones, the partitions are a delta.
// It returns the topics that the request removed, because they are being deleted, and whether a known broker is not alive any more.
// req is not kept, but its strings and slices are.
func (c *Cache) Update(req *kmsg.UpdateMetadataRequest) (deleted []string, brokerGone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.Load()
	next := &Snapshot{Controller: req.ControllerID, Brokers: brokersOf(req), Topics: old.Topics, IDs: old.IDs}
	states := topicStates(req)
	if len(states) > 0 {
		next.Topics = make(map[string]*Topic, len(old.Topics)+len(states))
		maps.Copy(next.Topics, old.Topics)
		next.IDs = make(map[[16]byte]*Topic, len(old.IDs)+len(states))
		maps.Copy(next.IDs, old.IDs)
	}
	for i := range states {
		if next.merge(&states[i]) {
			deleted = append(deleted, states[i].Topic)
		}
	}
	for id := range old.Brokers {
		brokerGone = brokerGone || next.Brokers[id] == nil
	}
	c.publish(next)
	return deleted, brokerGone
}

// merge applies one topic's partitions and says whether the topic is gone.
func (s *Snapshot) merge(state *kmsg.UpdateMetadataRequestTopicState) (gone bool) {
	t := &Topic{Name: state.Topic, ID: state.TopicID}
	if old := s.Topics[state.Topic]; old != nil {
		if t.ID == ([16]byte{}) {
			t.ID = old.ID
		}
		if t.ID == old.ID {
			t.Partitions = slices.Clone(old.Partitions)
		}
		delete(s.IDs, old.ID)
	}
	for i := range state.PartitionStates {
		p := &state.PartitionStates[i]
		if p.Partition < 0 || p.Partition > maxPartition {
			continue
		}
		if p.Leader == LeaderDuringDelete {
			if int(p.Partition) < len(t.Partitions) {
				t.Partitions[p.Partition] = Partition{}
			}
			continue
		}
		for int(p.Partition) >= len(t.Partitions) {
			t.Partitions = append(t.Partitions, Partition{})
		}
		t.Partitions[p.Partition] = Partition{
			Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, ISR: p.ISR, Replicas: p.Replicas, Offline: p.OfflineReplicas,
		}
	}
	for n := len(t.Partitions); n > 0 && t.Partitions[n-1].Replicas == nil; n-- {
		t.Partitions = t.Partitions[:n-1]
	}
	if len(t.Partitions) == 0 {
		_, known := s.Topics[t.Name]
		delete(s.Topics, t.Name)
		return known
	}
	s.Topics[t.Name] = t
	if t.ID != ([16]byte{}) {
		s.IDs[t.ID] = t
	}
	return false
}

// maxPartition bounds what a partition number from the network may make us allocate; Kafka's controllers stay far below it.
const maxPartition = 1 << 20

// topicStates brings the flat partitions of versions 0-4 into the form of later ones.
func topicStates(req *kmsg.UpdateMetadataRequest) []kmsg.UpdateMetadataRequestTopicState {
	if req.Version >= 5 {
		return req.TopicStates
	}
	var states []kmsg.UpdateMetadataRequestTopicState
	at := make(map[string]int)
	for _, p := range req.PartitionStates {
		i, ok := at[p.Topic]
		if !ok {
			i = len(states)
			at[p.Topic] = i
			states = append(states, kmsg.UpdateMetadataRequestTopicState{Topic: p.Topic})
		}
		states[i].PartitionStates = append(states[i].PartitionStates, p)
	}
	return states
}

func brokersOf(req *kmsg.UpdateMetadataRequest) map[int32]*Broker {
	brokers := make(map[int32]*Broker, len(req.LiveBrokers))
	for i := range req.LiveBrokers {
		b := &req.LiveBrokers[i]
		nb := &Broker{ID: b.ID, Rack: b.Rack, Endpoints: make(map[string]Endpoint, len(b.Endpoints))}
		if req.Version == 0 {
			nb.Endpoints["PLAINTEXT"] = Endpoint{Host: b.Host, Port: b.Port}
		}
		for _, e := range b.Endpoints {
			name := e.ListenerName
			if name == "" { // versions 1 and 2 name the protocol only
				name = protocolName(e.SecurityProtocol)
			}
			nb.Endpoints[name] = Endpoint{Host: e.Host, Port: e.Port, SecurityProtocol: e.SecurityProtocol}
		}
		brokers[b.ID] = nb
	}
	return brokers
}

func protocolName(id int16) string {
	switch id {
	case 1:
		return "SSL"
	case 2:
		return "SASL_PLAINTEXT"
	case 3:
		return "SASL_SSL"
	}
	return "PLAINTEXT"
}
