package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/coordinator/group"
	"ottla/wire"
	"ottla/zkmeta"
)

// OffsetCommit, versions 0-9. v0: kept in ZooKeeper under /consumers. v1: member and generation, commit timestamp. v2-4: retention time.
// v6: leader epoch. v7: group instance id (KIP-345). v8: flexible. v9: as v8.
//
// Errors, per partition: UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION,
// REBALANCE_IN_PROGRESS, FENCED_INSTANCE_ID, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, REQUEST_TIMED_OUT.
func offsetCommit(a *API, c *wire.Call, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) error {
	if req.Version > 0 {
		*resp = *a.Groups.CommitOffsets(c.Context(), client(c), req.Version, req)
		return nil
	}
	limit := int(config.Get(a.Config.Snapshot(), config.OffsetMetadataMaxBytes))
	for _, t := range req.Topics {
		rt := kmsg.OffsetCommitResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetCommitResponseTopicPartition{
				Partition: p.Partition, ErrorCode: a.code(a.commitLegacyOffset(c, req.Group, t.Topic, p, limit)),
			})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return nil
}

func (a *API) commitLegacyOffset(c *wire.Call, groupID, topic string, p kmsg.OffsetCommitRequestTopicPartition, limit int) error {
	if _, ok := a.Cache.Load().Partition(topic, p.Partition); !ok {
		return kerr.UnknownTopicOrPartition
	}
	if p.Metadata != nil && !group.MetadataFits(*p.Metadata, limit) {
		return kerr.OffsetMetadataTooLarge
	}
	return zkmeta.WriteConsumerOffset(c.Context(), a.Session(), groupID, topic, p.Partition, p.Offset)
}
