package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
	"ottla/zkmeta"
)

// OffsetFetch, versions 0-9. v0: from ZooKeeper under /consumers. v2: null topics for all. v5: leader epoch. v6: flexible. v7: require
// stable (KIP-447). v8: several groups (KIP-709). v9: member id and epoch, without effect on classic groups.
//
// Errors: COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR; per partition UNSTABLE_OFFSET_COMMIT, in version 0 UNKNOWN_TOPIC_OR_PARTITION.
func offsetFetch(a *API, c *wire.Call, req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) error {
	if req.Version > 0 {
		*resp = *a.Groups.FetchOffsets(c.Context(), client(c), req.Version, req)
		return nil
	}
	for _, t := range req.Topics {
		rt := kmsg.OffsetFetchResponseTopic{Topic: t.Topic}
		for _, n := range t.Partitions {
			p := kmsg.OffsetFetchResponseTopicPartition{Partition: n, Offset: -1, LeaderEpoch: -1, Metadata: new(string)}
			if _, ok := a.Cache.Load().Partition(t.Topic, n); !ok {
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else if offset, ok, err := zkmeta.ReadConsumerOffset(c.Context(), a.Session(), req.Group, t.Topic, n); err != nil {
				p.ErrorCode = a.code(err)
			} else if ok {
				p.Offset = offset
			} else {
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code // ZooKeeper has no node for it
			}
			rt.Partitions = append(rt.Partitions, p)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return nil
}
