package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// DescribeProducers, version 0 (KIP-664): the producers whose state the leader's log holds.
//
// Errors, per partition: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR.
func describeProducers(a *API, _ *wire.Call, req *kmsg.DescribeProducersRequest, resp *kmsg.DescribeProducersResponse) error {
	for _, t := range req.Topics {
		rt := kmsg.DescribeProducersResponseTopic{Topic: t.Topic}
		for _, n := range t.Partitions {
			p := kmsg.DescribeProducersResponseTopicPartition{Partition: n}
			part, err := a.Replication.LeaderPartition(t.Topic, n)
			p.ErrorCode, p.ErrorMessage = a.codeAndMessage(err)
			if err == nil {
				for _, s := range part.Log().Producers() {
					p.ActiveProducers = append(p.ActiveProducers, kmsg.DescribeProducersResponseTopicPartitionActiveProducer{
						ProducerID: s.ProducerID, ProducerEpoch: int32(s.Epoch), LastSequence: s.LastSequence, LastTimestamp: s.LastTimestamp,
						CoordinatorEpoch: s.CoordinatorEpoch, CurrentTxnStartOffset: s.CurrentTxnFirstOffset,
					})
				}
			}
			rt.Partitions = append(rt.Partitions, p)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return nil
}
