package group

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// fetchEvent reads one group's offsets for OffsetFetch, versions 1-9, in the shape of version 8 and later. v7: require stable
// (KIP-447). v8: several groups (KIP-709). v9: member id and epoch, which members of the new protocol are checked by.
//
// A partition without an offset has offset -1 and no error, in groups that do not exist too. Errors: UNSTABLE_OFFSET_COMMIT per
// partition; of the group UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH.
type fetchEvent struct {
	coordinator.Request
	group         string
	topics        []kmsg.OffsetFetchRequestGroupTopic // nil for all
	requireStable bool
	modern        bool // version 9 or later: memberID and memberEpoch count
	memberID      *string
	memberEpoch   int32
	resp          *kmsg.OffsetFetchResponseGroup
}

func (e *fetchEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *fetchEvent) Fail(err error) {
	e.resp.ErrorCode = readCode(err)
	e.resp.Topics = []kmsg.OffsetFetchResponseGroupTopic{}
	e.Finish()
}

func (e *fetchEvent) handle(m *machine, _ time.Time) {
	g := m.groups[e.group]
	if e.modern && g != nil && g.consumer != nil {
		if err := g.consumer.ValidateFetch(e.memberID, e.memberEpoch); err != nil {
			e.Fail(err)
			return
		}
	}
	if e.topics == nil {
		e.all(g)
	} else {
		e.resp.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(e.topics))
		for i := range e.topics {
			t := &e.topics[i]
			rt := kmsg.OffsetFetchResponseGroupTopic{
				Topic: strings.Clone(t.Topic), TopicID: t.TopicID, Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(t.Partitions)),
			}
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, e.partition(g, t.Topic, p))
			}
			e.resp.Topics = append(e.resp.Topics, rt)
		}
	}
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		e.Finish()
	}
}

// all lists everything that the group has committed.
func (e *fetchEvent) all(g *group) {
	e.resp.Topics = []kmsg.OffsetFetchResponseGroupTopic{}
	if g == nil {
		return
	}
	for _, to := range g.offsets.sortedTopics() {
		rt := kmsg.OffsetFetchResponseGroupTopic{Topic: to.name, Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(to.partitions))}
		for _, p := range to.sortedPartitions() {
			rt.Partitions = append(rt.Partitions, e.partition(g, to.name, p))
		}
		e.resp.Topics = append(e.resp.Topics, rt)
	}
}

var noMetadata = ""

func (e *fetchEvent) partition(g *group, topic string, partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	rp := kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition, Offset: -1, LeaderEpoch: noLeaderEpoch, Metadata: &noMetadata}
	if g == nil {
		return rp
	}
	if e.requireStable && g.unstable(topic, partition) {
		rp.ErrorCode = codeUnstableOffset
		return rp
	}
	if c := g.offsets.get(topic, partition); c != nil {
		metadata := c.metadata
		rp.Offset, rp.LeaderEpoch, rp.Metadata = c.offset, c.leaderEpoch, &metadata
	}
	return rp
}
