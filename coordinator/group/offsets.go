package group

import (
	"maps"
	"slices"
	"strings"
)

// offsetTable holds a group's offsets by topic and partition. A topic's name is kept once.
type offsetTable struct {
	topics map[string]*topicOffsets
	n      int // partitions
}

type topicOffsets struct {
	name       string
	partitions map[int32]*committed
}

// get returns the offset, nil if there is none. topic may alias a request.
func (t *offsetTable) get(topic string, partition int32) *committed {
	to := t.topics[topic]
	if to == nil {
		return nil
	}
	return to.partitions[partition]
}

// put stores c. Nothing that topic or c's metadata alias is kept.
func (t *offsetTable) put(topic string, partition int32, c committed) {
	to := t.topics[topic]
	if to == nil {
		if t.topics == nil {
			t.topics = make(map[string]*topicOffsets)
		}
		to = &topicOffsets{name: strings.Clone(topic), partitions: make(map[int32]*committed)}
		t.topics[to.name] = to
	}
	old := to.partitions[partition]
	if old == nil {
		c.metadata = strings.Clone(c.metadata)
		to.partitions[partition] = &c
		t.n++
		return
	}
	if old.metadata == c.metadata {
		c.metadata = old.metadata
	} else {
		c.metadata = strings.Clone(c.metadata)
	}
	*old = c
}

// remove reports whether there was an offset.
func (t *offsetTable) remove(topic string, partition int32) bool {
	to := t.topics[topic]
	if to == nil {
		return false
	}
	if _, ok := to.partitions[partition]; !ok {
		return false
	}
	delete(to.partitions, partition)
	t.n--
	if len(to.partitions) == 0 {
		delete(t.topics, to.name)
	}
	return true
}

// sortedTopics and sortedPartitions give answers and tombstones an order that does not change.
func (t *offsetTable) sortedTopics() []*topicOffsets {
	return slices.SortedFunc(maps.Values(t.topics), func(a, b *topicOffsets) int { return strings.Compare(a.name, b.name) })
}

func (to *topicOffsets) sortedPartitions() []int32 {
	return slices.Sorted(maps.Keys(to.partitions))
}
