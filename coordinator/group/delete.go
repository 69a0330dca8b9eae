package group

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// tombstoneOffset writes that the offset is gone.
func (m *machine) tombstoneOffset(g *group, topic string, partition int32) {
	m.emit(appendOffsetKey(nil, g.id, topic, partition), nil)
}

// tombstoneGroup writes that the group is gone. A classic group of generation 0 has no record.
func (m *machine) tombstoneGroup(g *group) {
	switch {
	case g.consumer != nil:
		for _, kv := range g.consumer.Tombstones() {
			m.emit(kv.Key, kv.Value)
		}
	case g.generation > 0:
		m.emit(appendGroupKey(nil, g.id), nil)
	}
}

// deleteEvent deletes one group for DeleteGroups, versions 0-2: its offsets and its record, if it has no members.
//
// Errors: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND.
type deleteEvent struct {
	coordinator.Request
	group string
	code  int16
}

func (e *deleteEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *deleteEvent) Fail(err error) {
	e.code = appendCode(err)
	e.Finish()
}

func (e *deleteEvent) handle(m *machine, _ time.Time) {
	g := m.groups[e.group]
	switch {
	case g == nil:
		e.code = codeGroupIDNotFound
	case !g.vacant():
		e.code = codeNonEmptyGroup
	default:
		gone := goneOffsets{m: m, g: g}
		gone.removeAll(&g.offsets)
		for _, pid := range slices.Sorted(maps.Keys(g.txns)) {
			gone.removeAll(g.txns[pid])
		}
		m.tombstoneGroup(g)
		m.out.Split = true
		m.out.Applied = func(time.Time) {
			if m.groups[g.id] == g {
				m.forget(g)
			}
		}
		m.out.Done = func(_ time.Time, err error) {
			if err != nil {
				e.code = appendCode(err)
			}
			e.Finish()
		}
		return
	}
	e.Finish()
}

// deleteOffsetsEvent is an OffsetDelete, version 0 (KIP-496): offsets of topics that no member is subscribed to.
//
// Errors: GROUP_ID_NOT_FOUND; NON_EMPTY_GROUP for a group with members that are not consumers; per partition
// GROUP_SUBSCRIBED_TO_TOPIC, UNKNOWN_TOPIC_OR_PARTITION.
type deleteOffsetsEvent struct {
	coordinator.Request
	req  *kmsg.OffsetDeleteRequest
	resp *kmsg.OffsetDeleteResponse // as req; what is not answered yet is notAnswered
}

func (e *deleteOffsetsEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *deleteOffsetsEvent) Fail(err error) { e.reject(appendCode(err)) }

// reject answers with an error of the whole group.
func (e *deleteOffsetsEvent) reject(code int16) {
	e.resp.ErrorCode, e.resp.Topics = code, nil
	e.Finish()
}

func (e *deleteOffsetsEvent) handle(m *machine, _ time.Time) {
	g := m.groups[e.req.Group]
	switch {
	case g == nil:
		e.reject(codeGroupIDNotFound)
		return
	case g.consumer == nil && g.state != empty && g.protocolType != consumerProtocol:
		e.reject(codeNonEmptyGroup)
		return
	}
	gone := goneOffsets{m: m, g: g}
	for i := range e.req.Topics {
		t := &e.req.Topics[i]
		for j := range t.Partitions {
			answer := &e.resp.Topics[i].Partitions[j]
			switch {
			case answer.ErrorCode != notAnswered:
			case !g.vacant() && g.subscribed(t.Topic):
				answer.ErrorCode = codeGroupSubscribed
			default:
				answer.ErrorCode = 0
				gone.remove(t.Topic, t.Partitions[j].Partition)
			}
		}
	}
	gone.finish()
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			e.reject(appendCode(err))
			return
		}
		m.stats.deletions.Add(int64(gone.n))
		e.Finish()
	}
}

// topicsDeletedEvent removes the offsets of deleted topics from all groups of a partition, those of open transactions included.
type topicsDeletedEvent struct {
	coordinator.Request
	topics []string
}

func (e *topicsDeletedEvent) Traits() coordinator.Traits { return coordinator.AwaitsLoad }

// Fail implements coordinator.Event: whoever coordinates the partition is told by its own broker.
func (e *topicsDeletedEvent) Fail(error) { e.Finish() }

func (e *topicsDeletedEvent) handle(m *machine, _ time.Time) {
	removed := 0
	for _, g := range m.groups {
		gone := goneOffsets{m: m, g: g}
		for _, topic := range e.topics {
			gone.removeTopic(g.offsets.topics[topic])
			for _, pid := range slices.Sorted(maps.Keys(g.txns)) {
				gone.removeTopic(g.txns[pid].topics[topic])
			}
		}
		if gone.seen.n > 0 {
			gone.finish()
			removed += gone.n
		}
	}
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			m.log.Warn().Err(err).Strs("topics", e.topics).Msg("could not remove all offsets of deleted topics")
		} else if removed > 0 {
			m.stats.deletions.Add(int64(removed))
			m.log.Info().Strs("topics", e.topics).Int("offsets", removed).Msg("removed offsets of deleted topics")
		}
		e.Finish()
	}
}

// goneOffsets collects the tombstones of offsets that a group loses. A tombstone takes what open transactions have pending for the partition
// with it, as in Kafka 4: Kafka 3.9 forgets that too, but in memory only, and has it again after a change of leader.
type goneOffsets struct {
	m    *machine
	g    *group
	n    int         // committed ones
	seen offsetTable // all
}

// remove writes the tombstone, if there is such an offset. topic may alias a request.
func (o *goneOffsets) remove(topic string, partition int32) {
	has := o.g.offsets.get(topic, partition) != nil
	if !has && !o.g.unstable(topic, partition) || o.seen.get(topic, partition) != nil {
		return
	}
	o.seen.put(topic, partition, committed{})
	o.m.tombstoneOffset(o.g, topic, partition)
	if has {
		o.n++
	}
}

// removeTopic and removeAll remove what is in a table of the group.
func (o *goneOffsets) removeTopic(to *topicOffsets) {
	if to == nil {
		return
	}
	for _, p := range to.sortedPartitions() {
		o.remove(to.name, p)
	}
}

func (o *goneOffsets) removeAll(t *offsetTable) {
	for _, to := range t.sortedTopics() {
		o.removeTopic(to)
	}
}

// finish ends the group too if nothing is left of it.
func (o *goneOffsets) finish() {
	g := o.g
	if g.vacant() && len(g.pending) == 0 && g.offsets.n == o.n && o.allPending() {
		o.m.tombstoneGroup(g)
	}
	o.m.out.Split = true
}

// allPending tells whether all offsets of open transactions go.
func (o *goneOffsets) allPending() bool {
	for _, t := range o.g.txns {
		for _, to := range t.topics {
			for p := range to.partitions {
				if o.seen.get(to.name, p) == nil {
					return false
				}
			}
		}
	}
	return true
}
