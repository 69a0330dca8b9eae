package consumer

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/group/assignor"
)

// ProtocolType is the protocol type of classic consumers.
const ProtocolType = "consumer"

// maxClassicMetadata bounds the metadata and assignments of classic members that are looked into.
const maxClassicMetadata = 1 << 20

var errClassicSize = errors.New("metadata of a classic member is too large")

// Subscription is what a classic consumer's metadata says (ConsumerProtocolSubscription).
type Subscription struct {
	Version int16
	Topics  []string
	Owned   []TopicPartitions // not nil
	Rack    *string
}

// ParseSubscription reads a classic consumer's metadata.
func ParseSubscription(metadata []byte, topics Topics) (Subscription, error) {
	var m kmsg.ConsumerMemberMetadata
	if len(metadata) > maxClassicMetadata {
		return Subscription{}, errClassicSize
	}
	if err := m.ReadFrom(metadata); err != nil {
		return Subscription{}, fmt.Errorf("metadata of a classic consumer: %w", err)
	}
	s := Subscription{Version: m.Version, Topics: m.Topics, Owned: []TopicPartitions{}, Rack: m.Rack}
	if s.Topics == nil {
		s.Topics = []string{}
	}
	for _, o := range m.OwnedPartitions {
		if t, ok := topics.ByName(o.Topic); ok {
			s.Owned = append(s.Owned, TopicPartitions{Topic: t.ID, Partitions: o.Partitions})
		}
	}
	return s, nil
}

// EncodeAssignment is what a classic member is told in SyncGroup, in the version that its own metadata has.
func EncodeAssignment(m *Member, topics Topics) []byte {
	a := kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{}}
	if m.Classic != nil && len(m.Classic.Protocols) > 0 && len(m.Classic.Protocols[0].Metadata) >= 2 {
		md := m.Classic.Protocols[0].Metadata
		a.Version = max(0, min(3, int16(md[0])<<8|int16(md[1])))
	}
	assigned := m.Assigned.Assignment()
	for _, id := range assigned.SortedTopics() {
		if t, ok := topics.ByID(id); ok {
			a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: t.Name, Partitions: assigned[id]})
		}
	}
	return a.AppendTo(nil)
}

// ClassicMember is a member of a classic group that becomes a consumer group.
type ClassicMember struct {
	ID, InstanceID       string
	ClientID, ClientHost string
	RebalanceTimeoutMs   int32
	Classic              Classic
	Metadata             []byte // for the protocol that was chosen
	Assignment           []byte
}

// FromClassic makes a consumer group of a classic one (ConsumerGroup.fromClassicGroup): the last assignment becomes target and current
// assignment of every member, and the generation the epoch. It returns the group as it is after its records.
func FromClassic(id string, generation int32, members []ClassicMember, env Env) (*Group, []coordinator.KeyValue, error) {
	g := New(id)
	c := g.change(env)
	slices.SortFunc(members, func(a, b ClassicMember) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for i := range members {
		m, err := members[i].convert(generation, env.Topics)
		if err != nil {
			return nil, nil, err
		}
		c.set(m)
	}
	c.emitEpoch(generation, c.hash())
	ids := slices.Sorted(maps.Keys(c.members))
	for _, mid := range ids {
		c.emitTarget(mid, c.members[mid].Assigned.Assignment())
	}
	c.emitTargetEpoch(generation, env.NowMs)
	for _, mid := range ids {
		c.emitCurrent(c.members[mid])
	}
	return g, c.records, g.replayAll(c.records)
}

// replayAll applies records that are not written yet, to a group that nobody else has.
func (g *Group) replayAll(records []coordinator.KeyValue) error {
	for _, kv := range records {
		k, err := ParseKey(kv.Key)
		if err != nil {
			return err
		}
		if err := g.Replay(k, kv.Value); err != nil {
			return err
		}
	}
	return nil
}

func (cm *ClassicMember) convert(generation int32, topics Topics) (*Member, error) {
	s, err := ParseSubscription(cm.Metadata, topics)
	if err != nil {
		return nil, err
	}
	m := &Member{
		ID: cm.ID, InstanceID: cm.InstanceID, ClientID: cm.ClientID, ClientHost: cm.ClientHost, RebalanceTimeoutMs: cm.RebalanceTimeoutMs,
		Topics: sortedSet(s.Topics), Classic: &cm.Classic, Epoch: generation, PreviousEpoch: generation, State: Stable,
		Assigned: Owned{}, Revoking: Owned{},
	}
	if s.Rack != nil {
		m.RackID = *s.Rack
	}
	if len(cm.Assignment) == 0 {
		return m, nil
	}
	var a kmsg.ConsumerMemberAssignment
	if len(cm.Assignment) > maxClassicMetadata {
		return nil, errClassicSize
	}
	if err := a.ReadFrom(cm.Assignment); err != nil {
		return nil, fmt.Errorf("assignment of a classic consumer: %w", err)
	}
	for _, at := range a.Topics {
		if t, ok := topics.ByName(at.Topic); ok {
			for _, p := range at.Partitions {
				m.Assigned.put(t.ID, p, generation)
			}
		}
	}
	return m, nil
}

// Named is an assignment with the topics' names; those of topics that are gone are left out.
type Named struct {
	ID         TopicID
	Topic      string
	Partitions []int32
}

// WithNames names the topics of an assignment.
func WithNames(a assignor.Assignment, topics Topics) []Named {
	named := []Named{}
	for _, id := range a.SortedTopics() {
		if t, ok := topics.ByID(id); ok {
			named = append(named, Named{ID: id, Topic: t.Name, Partitions: slices.Clone(a[id])})
		}
	}
	return named
}
