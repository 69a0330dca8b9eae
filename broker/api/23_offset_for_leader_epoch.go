package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// OffsetForLeaderEpoch, versions 0-4 (KIP-101, KIP-279, KIP-320). v1: epoch in the answer. v2: current leader epoch. v3: replica id.
// v4: flexible.
//
// Errors, per partition: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH,
// KAFKA_STORAGE_ERROR.
func offsetForLeaderEpoch(a *API, _ *wire.Call, req *kmsg.OffsetForLeaderEpochRequest, resp *kmsg.OffsetForLeaderEpochResponse) error {
	resp.Topics = make([]kmsg.OffsetForLeaderEpochResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		resp.Topics[i].Topic = t.Topic
		resp.Topics[i].Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			r := &resp.Topics[i].Partitions[j]
			r.Default()
			r.Partition = p.Partition
			current := p.CurrentLeaderEpoch
			if req.Version < 2 {
				current = -1
			}
			part, err := a.Replication.LeaderPartition(t.Topic, p.Partition)
			if err == nil {
				r.LeaderEpoch, r.EndOffset, err = part.EpochEndOffset(current, p.LeaderEpoch)
			}
			if r.ErrorCode = a.code(err); err != nil {
				r.LeaderEpoch, r.EndOffset = -1, -1
			}
		}
	}
	return nil
}
