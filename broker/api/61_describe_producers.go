package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/replication"
	"ottla/wire"
)

// producersOf finds the partition that leads. The error of a partition that an existing topic has not comes without a text.
func (a *API) producersOf(topic string, partition int32) (*replication.Partition, error) {
	if err := checkTopicName(topic); err != nil {
		return nil, err
	}
	p, err := a.Replication.LeaderPartition(topic, partition)
	switch {
	case !errors.Is(err, kerr.UnknownTopicOrPartition):
		return p, err
	case a.Cache.Load().Topics[topic] == nil:
		return nil, fail(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	}
	return nil, fail(kerr.UnknownTopicOrPartition, "")
}

// DescribeProducers, version 0 (KIP-664): the producers whose state the leader's log holds.
//
// Errors, per partition: INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR.
func describeProducers(a *API, _ *wire.Call, req *kmsg.DescribeProducersRequest, resp *kmsg.DescribeProducersResponse) error {
	for _, t := range req.Topics {
		rt := kmsg.DescribeProducersResponseTopic{Topic: t.Topic}
		for _, n := range t.Partitions {
			p := kmsg.DescribeProducersResponseTopicPartition{Partition: n}
			part, err := a.producersOf(t.Topic, n)
			p.ErrorCode, p.ErrorMessage = a.codeAndMessage(err)
			if p.ErrorMessage != nil && *p.ErrorMessage == "" {
				p.ErrorMessage = nil
			}
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
