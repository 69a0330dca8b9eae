package behaviour

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceRequest carries records for one partition.
func produceRequest(acks int16, topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10000
	addRecords(req, topic, partition, records)
	return req
}

func addRecords(req *kmsg.ProduceRequest, topic string, partition int32, records []byte) {
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: records}}
	req.Topics = append(req.Topics, rt)
}

// fill appends records to partition 0, which must succeed.
func (e *env) fill(topic string, version int16, records ...[]byte) {
	for _, r := range records {
		resp := ask[*kmsg.ProduceResponse](e, version, produceRequest(1, topic, 0, r))
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			e.fail(fmt.Errorf("produce to %s: code %d", topic, code))
		}
	}
}

// showLog records all that partition 0 of a topic holds.
func (e *env) showLog(topic string) { e.do("log", 11, fetchRequest(e, 11, topic, 0)) }

func produceCases() []scenario {
	var cases []scenario
	add := func(name string, do func(e *env)) { cases = append(cases, scenario{name: "produce/" + name, do: do}) }
	for v := range int16(12) {
		add(fmt.Sprintf("acks 1, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			e.do("produce", v, produceRequest(1, topic, 0, recordsFor(v, kv("a", "b", "c")...)))
			e.do("again", v, produceRequest(1, topic, 0, recordsFor(v, kv("d")...)))
			e.showLog(topic)
		})
		add(fmt.Sprintf("acks all, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			e.do("produce", v, produceRequest(-1, topic, 0, recordsFor(v, kv("a", "b")...)))
		})
		add(fmt.Sprintf("acks 0, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			c := e.dial()
			req := produceRequest(0, topic, 0, recordsFor(v, kv("a", "b")...))
			req.SetVersion(v)
			for range 2 {
				if err := c.send(req, &clientID); err != nil {
					e.fail(err)
				}
			}
			e.doOn(c, "next answer", 7, offsetsRequest(topic, -1))
		})
		add(fmt.Sprintf("errors, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			good := recordsFor(v, kv("a")...)
			e.do("unknown topic", v, produceRequest(1, e.slug("-none"), 0, good))
			e.do("unknown partition", v, produceRequest(1, topic, 7, good))
			e.do("negative partition", v, produceRequest(1, topic, -1, good))
			e.do("acks 2", v, produceRequest(2, topic, 0, good))
			e.do("acks -2", v, produceRequest(-2, topic, 0, good))
			e.do("internal topic", v, produceRequest(1, "__consumer_offsets", 0, good))
			e.do("empty name", v, produceRequest(1, "", 0, good))
			req := produceRequest(1, topic, 0, good)
			addRecords(req, e.slug("-none"), 0, good)
			addRecords(req, topic, 9, good)
			e.do("one good, two bad", v, req)
			e.do("empty records", v, produceRequest(1, topic, 0, []byte{}))
			none := kmsg.NewPtrProduceRequest()
			none.Acks = 1
			e.do("no topics", v, none)
			e.showLog(topic)
		})
	}
	for _, v := range []int16{0, 3, 9} {
		add(fmt.Sprintf("acks 0 with an error, v%d", v), func(e *env) {
			e.do("unknown topic", v, produceRequest(0, e.slug("-none"), 0, recordsFor(v, kv("a")...)))
		})
	}
	for _, v := range []int16{2, 3, 7, 8, 11} {
		add(fmt.Sprintf("null records, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			e.doBriefly("produce", v, produceRequest(1, topic, 0, nil))
		})
		add(fmt.Sprintf("few replicas, v%d", v), func(e *env) {
			topic := e.topic("", 1, "min.insync.replicas", "2")
			e.do("acks all", v, produceRequest(-1, topic, 0, recordsFor(v, kv("a")...)))
			e.do("acks 1", v, produceRequest(1, topic, 0, recordsFor(v, kv("a")...)))
			e.do("end", 7, offsetsRequest(topic, -1))
		})
		add(fmt.Sprintf("topic twice, v%d", v), func(e *env) {
			topic := e.topic("", 2)
			req := produceRequest(1, topic, 0, recordsFor(v, kv("a")...))
			addRecords(req, topic, 1, recordsFor(v, kv("b")...))
			e.do("two partitions", v, req)
			req = produceRequest(1, topic, 0, recordsFor(v, kv("c")...))
			addRecords(req, topic, 0, recordsFor(v, kv("d")...))
			e.do("one partition", v, req)
			e.showLog(topic)
		})
	}
	add("transactional id without a transaction, v11", func(e *env) {
		topic := e.topic("", 1)
		req := produceRequest(-1, topic, 0, batch{}.build(kv("a")...))
		id := e.slug("-tx")
		req.TransactionID = &id
		e.do("plain batch", 11, req)
	})
	return cases
}

// offsetsRequest asks for the offset of a timestamp in partition 0.
func offsetsRequest(topic string, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.MaxNumOffsets = timestamp, 10
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return req
}
