package api

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/wire"
)

// DescribeTopicPartitions, version 0 (KIP-966): topics in the order of their names, a bounded number of partitions in an answer and
// a cursor for the rest. Eligible leader replicas do not exist on ZooKeeper: both lists are empty.
//
// Errors, per topic: UNKNOWN_TOPIC_OR_PARTITION; INVALID_REQUEST for a negative cursor; per partition LEADER_NOT_AVAILABLE,
// LISTENER_NOT_FOUND.
func describeTopicPartitions(a *API, c *wire.Call, req *kmsg.DescribeTopicPartitionsRequest, resp *kmsg.DescribeTopicPartitionsResponse) error {
	s := a.Cache.Load()
	all := len(req.Topics) == 0
	names := slices.Collect(maps.Keys(s.Topics))
	if !all {
		names = names[:0]
		for _, t := range req.Topics {
			names = append(names, t.Topic)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	first := int32(0)
	if cur := req.Cursor; cur != nil {
		if cur.Partition < 0 {
			none := kmsg.NewDescribeTopicPartitionsResponseTopic()
			none.ErrorCode, none.Topic = kerr.InvalidRequest.Code, &cur.Topic
			resp.Topics = append(resp.Topics, none)
			return nil
		}
		i, found := slices.BinarySearch(names, cur.Topic)
		names = names[i:]
		if found {
			first = cur.Partition
		}
	}
	left := int(config.Get(a.Config.Snapshot(), config.MaxRequestPartitionSizeLimit))
	if n := int(req.ResponsePartitionLimit); n > 0 {
		left = min(left, n)
	}
	for _, name := range names {
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic, t.IsInternal = &name, isInternal(name)
		known := s.Topics[name]
		if known == nil {
			t.ErrorCode = kerr.UnknownTopicOrPartition.Code
			if err := checkTopicName(name); err != nil {
				t.ErrorCode = a.code(err)
			}
			resp.Topics = append(resp.Topics, t)
			continue
		}
		if left == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: first}
			return nil
		}
		t.TopicID, t.AuthorizedOperations = known.ID, topicOperations
		resp.Topics = append(resp.Topics, t)
		rt := &resp.Topics[len(resp.Topics)-1]
		for n := int(first); n < len(known.Partitions); n++ {
			p := &known.Partitions[n]
			if p.Replicas == nil {
				continue
			}
			if left == 0 {
				resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: int32(n)}
				return nil
			}
			left--
			code, leader := leaderFor(s, p, c.Conn.Listener(), 12)
			rt.Partitions = append(rt.Partitions, kmsg.DescribeTopicPartitionsResponseTopicPartition{
				ErrorCode: code, Partition: int32(n), LeaderID: leader, LeaderEpoch: p.LeaderEpoch,
				Replicas: p.Replicas, ISR: p.ISR, OfflineReplicas: offlineReplicas(s, p),
				EligibleLeaderReplicas: []int32{}, LastKnownELR: []int32{}, // Java's admin client of 3.9 cannot take null
			})
		}
		first = 0
	}
	return nil
}
