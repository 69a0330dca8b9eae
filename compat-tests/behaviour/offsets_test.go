package behaviour

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetCases are ListOffsets and OffsetForLeaderEpoch.
func offsetCases() []scenario {
	var cases []scenario
	for v := range int16(10) {
		cases = append(cases, scenario{name: fmt.Sprintf("list offsets/v%d", v), do: func(e *env) {
			topic := e.topic("", 1, "segment.bytes", "300")
			e.do("earliest of an empty log", v, offsetsRequest(topic, -2))
			e.do("latest of an empty log", v, offsetsRequest(topic, -1))
			e.do("largest of an empty log", v, offsetsRequest(topic, -3))
			e.do("time in an empty log", v, offsetsRequest(topic, baseTime))
			e.fill(topic, 9, batch{}.build(rec{ts: 10}, rec{ts: 30}, rec{ts: 20}), batch{codec: 1}.build(rec{ts: 25}, rec{ts: 90}, rec{ts: 5}),
				batch{}.build(rec{ts: 40, value: make([]byte, 200)}), batch{timeless: true}.build(rec{}))
			for ts := int64(-1); ts >= -7; ts-- {
				e.do(fmt.Sprintf("timestamp %d", ts), v, offsetsRequest(topic, ts))
			}
			for _, ts := range []int64{-1000, 0, 10, 11, 20, 21, 26, 31, 89, 91, 1 << 50} {
				e.do(fmt.Sprintf("base%+d", ts), v, offsetsRequest(topic, baseTime+ts))
			}
			e.do("time 0", v, offsetsRequest(topic, 0))
			committed := offsetsRequest(topic, -1)
			committed.IsolationLevel = 1
			e.do("latest, read committed", v, committed)
			for _, replica := range []int32{-2, 0, 1, 99} {
				req := offsetsRequest(topic, -1)
				req.ReplicaID = replica
				e.do(fmt.Sprintf("replica %d", replica), v, req)
			}
			for _, epoch := range []int32{0, 1} {
				req := offsetsRequest(topic, -1)
				req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
				e.do(fmt.Sprintf("current epoch %d", epoch), v, req)
			}
			e.do("unknown topic", v, offsetsRequest(e.slug("-none"), -1))
			req := offsetsRequest(topic, -1)
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
			req.Topics[0].Partitions[1].Timestamp = -2
			e.do("partition twice", v, req)
			req = offsetsRequest(topic, -1)
			req.Topics = append(req.Topics, req.Topics[0])
			e.do("topic twice", v, req)
			req = offsetsRequest(topic, -1)
			req.Topics[0].Partitions[0].Partition = 9
			e.do("unknown partition", v, req)
			req = offsetsRequest(topic, -1)
			req.Topics[0].Partitions[0].MaxNumOffsets = 1
			e.do("one offset", v, req)
			req.Topics[0].Partitions[0].MaxNumOffsets = 0
			e.do("no offset", v, req)
			e.do("no topics", v, func() *kmsg.ListOffsetsRequest { r := offsetsRequest(topic, -1); r.Topics = nil; return r }())
			ask[*kmsg.DeleteRecordsResponse](e, 2, deleteRecordsRequest(topic, 0, 4))
			e.do("earliest after a deletion", v, offsetsRequest(topic, -2))
			e.do("time before what was deleted", v, offsetsRequest(topic, baseTime))
			e.do("largest after a deletion", v, offsetsRequest(topic, -3))
		}})
	}
	for v := range int16(5) {
		cases = append(cases, scenario{name: fmt.Sprintf("offset for leader epoch/v%d", v), do: func(e *env) {
			topic := e.topic("", 1)
			ask := func(label, topic string, partition, current, epoch int32) {
				req := kmsg.NewPtrOffsetForLeaderEpochRequest()
				p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
				req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
				e.do(label, v, req)
			}
			ask("empty log", topic, 0, -1, 0)
			e.fill(topic, 9, batch{}.build(kv("a", "b")...))
			for _, epoch := range []int32{-2, -1, 0, 1, 2147483647} {
				ask(fmt.Sprintf("epoch %d", epoch), topic, 0, -1, epoch)
			}
			for _, current := range []int32{-2, 0, 1} {
				ask(fmt.Sprintf("current epoch %d", current), topic, 0, current, 0)
			}
			ask("unknown partition", topic, 3, -1, 0)
			ask("negative partition", topic, -3, -1, 0)
			ask("unknown topic", e.slug("-none"), 0, -1, 0)
			e.do("no topics", v, kmsg.NewPtrOffsetForLeaderEpochRequest())
		}})
	}
	return cases
}
