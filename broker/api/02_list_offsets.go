package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/replication"
	"ottla/wire"
)

// ListOffsets, versions 0-9. v0: segment starts at or before a time. v1: one offset with its timestamp. v2: isolation level.
// v4: leader epochs (KIP-320). v5: OFFSET_NOT_AVAILABLE (KIP-207). v6: flexible. v7: -3, largest timestamp (KIP-734). v8: -4,
// earliest local (KIP-405). v9: -5, latest tiered (KIP-1005).
//
// Errors, per partition: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH,
// OFFSET_NOT_AVAILABLE (LEADER_NOT_AVAILABLE below v5), UNSUPPORTED_VERSION for a special timestamp above the version,
// INVALID_REQUEST for a partition named twice (not in v0), KAFKA_STORAGE_ERROR.
func listOffsets(a *API, _ *wire.Call, req *kmsg.ListOffsetsRequest, resp *kmsg.ListOffsetsResponse) error {
	seen := make(map[topicPartition]int)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			seen[topicPartition{t.Topic, p.Partition}]++
		}
	}
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		resp.Topics[i].Topic = t.Topic
		resp.Topics[i].Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			r := &resp.Topics[i].Partitions[j]
			r.Default()
			r.Partition = p.Partition
			if req.Version > 0 && seen[topicPartition{t.Topic, p.Partition}] > 1 {
				r.ErrorCode = kerr.InvalidRequest.Code
				continue
			}
			r.ErrorCode = a.code(a.listOffset(req, t.Topic, p, r))
		}
	}
	return nil
}

// topicPartition is a key for a partition named in a request.
type topicPartition struct {
	topic     string
	partition int32
}

func (a *API) listOffset(req *kmsg.ListOffsetsRequest, topic string, p kmsg.ListOffsetsRequestTopicPartition, r *kmsg.ListOffsetsResponseTopicPartition) error {
	part, err := a.partitionFor(topic, p.Partition, req.ReplicaID)
	if err != nil {
		return err
	}
	if req.Version == 0 {
		if p.Timestamp < earliestTimestamp {
			return kerr.UnsupportedVersion
		}
		r.OldStyleOffsets, err = part.LegacyOffsets(p.Timestamp, int(p.MaxNumOffsets), req.ReplicaID)
		return err
	}
	epoch := p.CurrentLeaderEpoch
	if req.Version < 4 {
		epoch = -1
	}
	r.Offset, r.Timestamp, r.LeaderEpoch, err = part.ListOffset(replication.ListOffsetRequest{
		Timestamp: p.Timestamp, CurrentLeaderEpoch: epoch, Isolation: req.IsolationLevel, ReplicaID: req.ReplicaID, Version: req.Version,
	})
	if err != nil {
		r.Offset, r.Timestamp, r.LeaderEpoch = -1, -1, -1
	}
	return err
}

// earliestTimestamp asks for the log start; lower ones have a meaning from version 7 on.
const earliestTimestamp = -2

// debugReplica may read from a replica that does not lead (Request.DebuggingConsumerId).
const debugReplica = -2

func (a *API) partitionFor(topic string, partition, replica int32) (*replication.Partition, error) {
	if replica == debugReplica {
		if p := a.Replication.Partition(topic, partition); p != nil {
			return p, nil
		}
	}
	return a.Replication.LeaderPartition(topic, partition)
}
