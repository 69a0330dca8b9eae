package behaviour

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchRequest reads partition 0 of a topic, by id from version 13 on, without a session and without waiting.
func fetchRequest(e *env, version int16, topic string, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = -1
	req.MaxBytes, req.SessionEpoch = 1<<20, -1
	e.alsoFetch(req, version, topic, 0, offset)
	return req
}

// alsoFetch adds a partition and returns it.
func (e *env) alsoFetch(req *kmsg.FetchRequest, version int16, topic string, partition int32, offset int64) *kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	if version >= 13 {
		rt.TopicID = e.topicID(topic)
	}
	rt.Partitions = []kmsg.FetchRequestTopicPartition{p}
	req.Topics = append(req.Topics, rt)
	return &req.Topics[len(req.Topics)-1].Partitions[0]
}

// asReplica makes it the request of a follower, or of a debugger.
func asReplica(req *kmsg.FetchRequest, version int16, id int32) {
	if req.ReplicaID = id; version >= 15 {
		req.ReplicaState.ID = id
	}
}

func fetchCases() []scenario {
	var cases []scenario
	add := func(name string, do func(e *env)) { cases = append(cases, scenario{name: "fetch/" + name, do: do}) }
	for v := range int16(18) {
		add(fmt.Sprintf("plain, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			e.fill(topic, 9, batch{}.build(kv("a", "b")...), batch{}.build(rec{key: []byte("k"), headers: []string{"h", "v"}}))
			e.fill(topic, 2, messageSet(1, 0, kv("old")...))
			e.do("from 0", v, fetchRequest(e, v, topic, 0))
			e.do("inside the first batch", v, fetchRequest(e, v, topic, 1))
			e.do("at the end", v, fetchRequest(e, v, topic, 4))
			e.do("beyond the end", v, fetchRequest(e, v, topic, 5))
			e.do("negative offset", v, fetchRequest(e, v, topic, -1))
			req := fetchRequest(e, v, topic, 0)
			req.IsolationLevel = 1
			e.do("read committed", v, req)
			req = fetchRequest(e, v, topic, 4)
			req.MaxWaitMillis, req.MinBytes = 100, 1
			e.do("wait at the end", v, req)
		})
		add(fmt.Sprintf("errors, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			e.fill(topic, 9, batch{}.build(kv("a", "b")...))
			req := fetchRequest(e, v, topic, 0)
			req.Topics[0].Partitions[0].Partition = 5
			e.do("unknown partition", v, req)
			req = fetchRequest(e, v, topic, 0)
			req.Topics[0].Topic, req.Topics[0].TopicID = e.slug("-none"), [16]byte{1, 2, 3}
			e.do("unknown topic", v, req)
			req.MaxWaitMillis, req.MinBytes = 1000, 1
			e.do("unknown topic, with a wait", v, req)
			req = fetchRequest(e, v, topic, 0)
			req.Topics[0].Topic, req.Topics[0].TopicID = "", [16]byte{}
			e.do("no name, zero id", v, req)
			req = fetchRequest(e, v, topic, 0)
			req.Topics = nil
			e.do("no topics", v, req)
			req = fetchRequest(e, v, topic, 0)
			req.Topics = append(req.Topics, req.Topics[0])
			e.do("topic twice", v, req)
			for _, epoch := range []int32{0, 5} {
				req = fetchRequest(e, v, topic, 0)
				req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
				e.do(fmt.Sprintf("current epoch %d", epoch), v, req)
			}
			for _, epoch := range []int32{0, 5} {
				req = fetchRequest(e, v, topic, 2)
				req.Topics[0].Partitions[0].LastFetchedEpoch = epoch
				e.do(fmt.Sprintf("last fetched epoch %d", epoch), v, req)
			}
			req = fetchRequest(e, v, topic, 0)
			asReplica(req, v, 99)
			e.do("of a replica that is none", v, req)
			req = fetchRequest(e, v, topic, 0)
			req.IsolationLevel = 5
			e.do("unknown isolation level", v, req)
			req = fetchRequest(e, v, topic, 0)
			asReplica(req, v, -2)
			e.do("for debugging", v, req)
		})
		add(fmt.Sprintf("compressed, v%d", v), func(e *env) {
			topic := e.topic("", 1)
			for codec := range int16(4) {
				e.fill(topic, 9, batch{codec: codec}.build(kv("a", "b", "c")...))
			}
			e.do("gzip, snappy, lz4", v, fetchRequest(e, v, topic, 0))
			e.do("from inside of gzip", v, fetchRequest(e, v, topic, 4))
			e.fill(topic, 9, batch{codec: 4}.build(kv("z")...))
			e.do("zstd", v, fetchRequest(e, v, topic, 12))
			zstd := e.topic("-zstd", 1, "compression.type", "zstd")
			e.fill(zstd, 9, batch{}.build(kv("a")...))
			e.do("topic of zstd", v, fetchRequest(e, v, zstd, 0))
		})
	}
	for _, v := range []int16{0, 1, 2, 3, 4, 9, 11} {
		add(fmt.Sprintf("no down-conversion, v%d", v), func(e *env) {
			topic := e.topic("", 1, "message.downconversion.enable", "false")
			e.fill(topic, 9, batch{}.build(kv("a", "b")...))
			e.do("fetch", v, fetchRequest(e, v, topic, 0))
			e.do("nothing to convert", v, fetchRequest(e, v, topic, 2))
		})
	}
	for _, v := range []int16{1, 3} {
		add(fmt.Sprintf("down-converted times and sequences, v%d", v), func(e *env) {
			topic := e.topic("", 1, "message.timestamp.type", "LogAppendTime")
			e.fill(topic, 9, batch{}.build(kv("a", "b")...), batch{idempotent: true, pid: customProducerID}.build(kv("c")...), batch{codec: 1}.build(kv("d", "e")...))
			e.do("fetch", v, fetchRequest(e, v, topic, 0))
		})
	}
	return cases
}

func fetchLimitCases() []scenario {
	var cases []scenario
	for _, v := range []int16{0, 2, 3, 4, 9, 11, 12, 17} {
		cases = append(cases, scenario{name: fmt.Sprintf("fetch limits/v%d", v), do: func(e *env) {
			topic := e.topic("", 1)
			for range 4 {
				e.fill(topic, 9, batch{}.build(rec{value: make([]byte, 100)}))
			}
			for _, tt := range []struct {
				name              string
				max, partitionMax int32
			}{
				{"request of 10 bytes", 10, 1 << 20}, {"partition of 10 bytes", 1 << 20, 10}, {"both of 200 bytes", 200, 200},
				{"partition of 400 bytes", 1 << 20, 400}, {"request of 400 bytes", 400, 1 << 20}, {"request of no bytes", 0, 1 << 20},
				{"partition of no bytes", 1 << 20, 0}, {"negative partition", 1 << 20, -1}, {"negative request", -1, 1 << 20},
			} {
				req := fetchRequest(e, v, topic, 0)
				req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = tt.max, tt.partitionMax
				e.do(tt.name, v, req)
			}
		}}, scenario{name: fmt.Sprintf("fetch limits/three partitions, v%d", v), do: func(e *env) {
			topic := e.topic("", 3)
			for p := range int32(3) {
				for range 2 {
					ask[*kmsg.ProduceResponse](e, 9, produceRequest(1, topic, p, batch{}.build(rec{value: make([]byte, 100)})))
				}
			}
			for _, max := range []int32{10, 180, 350, 400, 520, 10000} {
				req := fetchRequest(e, v, topic, 0)
				req.Topics = nil
				req.MaxBytes = max
				for _, p := range []int32{1, 0, 2} {
					e.alsoFetch(req, v, topic, p, 0)
				}
				e.do(fmt.Sprintf("request of %d bytes", max), v, req)
			}
			req := fetchRequest(e, v, topic, 9)
			e.alsoFetch(req, v, topic, 1, 0)
			e.alsoFetch(req, v, topic, 7, 0)
			e.do("one out of range, one good, one unknown", v, req)
		}})
	}
	cases = append(cases, scenario{name: "fetch limits/segments", do: func(e *env) {
		topic := e.topic("", 1, "segment.bytes", "400")
		for range 6 {
			e.fill(topic, 9, batch{}.build(rec{value: make([]byte, 100)}))
		}
		for offset := range int64(6) {
			e.do(fmt.Sprintf("from %d", offset), 11, fetchRequest(e, 11, topic, offset))
		}
	}}, scenario{name: "fetch limits/wait for bytes", do: func(e *env) {
		topic := e.topic("", 1)
		req := fetchRequest(e, 11, topic, 0)
		req.MaxWaitMillis, req.MinBytes = 10000, 1
		wait := e.later("fetch", 11, req)
		e.fill(topic, 9, batch{}.build(kv("a")...))
		wait()
		req = fetchRequest(e, 11, topic, 1)
		req.MaxWaitMillis, req.MinBytes = 10000, 200
		wait = e.later("of two batches", 11, req)
		e.fill(topic, 9, batch{}.build(rec{value: make([]byte, 100)}), batch{}.build(rec{value: make([]byte, 100)}))
		wait()
	}}, scenario{name: "fetch limits/deleted records", do: func(e *env) {
		topic := e.topic("", 1)
		e.fill(topic, 9, batch{}.build(kv("a", "b")...), batch{}.build(kv("c", "d")...))
		for _, offset := range []int64{1, 2, 3, 2, -1, 5, -2} {
			e.do(fmt.Sprintf("delete up to %d", offset), 2, deleteRecordsRequest(topic, 0, offset))
			e.do("from 0", 12, fetchRequest(e, 12, topic, 0))
			e.do("from 3", 12, fetchRequest(e, 12, topic, 3))
			e.do("earliest", 7, offsetsRequest(topic, -2))
		}
	}})
	for v := range int16(3) {
		cases = append(cases, scenario{name: fmt.Sprintf("delete records/v%d", v), do: func(e *env) {
			topic := e.topic("", 1)
			e.fill(topic, 9, batch{}.build(kv("a", "b")...))
			e.do("one", v, deleteRecordsRequest(topic, 0, 1))
			e.do("lower", v, deleteRecordsRequest(topic, 0, 0))
			e.do("too many", v, deleteRecordsRequest(topic, 0, 3))
			e.do("unknown partition", v, deleteRecordsRequest(topic, 3, 0))
			e.do("unknown topic", v, deleteRecordsRequest(e.slug("-none"), 0, 0))
			e.do("negative", v, deleteRecordsRequest(topic, 0, -2))
			none := deleteRecordsRequest(topic, 0, -1)
			none.TimeoutMillis = 0
			e.do("no time", v, none)
			compacted := e.topic("-c", 1, "cleanup.policy", "compact")
			e.do("compacted", v, deleteRecordsRequest(compacted, 0, -1))
			both := e.topic("-b", 1, "cleanup.policy", "compact,delete")
			e.do("compacted and deleted", v, deleteRecordsRequest(both, 0, -1))
			e.do("internal", v, deleteRecordsRequest("__consumer_offsets", 0, 0))
			e.do("no topics", v, kmsg.NewPtrDeleteRecordsRequest())
			twice := deleteRecordsRequest(topic, 0, 1)
			twice.Topics = append(twice.Topics, twice.Topics[0])
			e.do("twice", v, twice)
		}})
	}
	return cases
}

// sessionCases are fetch sessions (KIP-227).
func sessionCases() []scenario {
	var cases []scenario
	for _, v := range []int16{7, 11, 12, 13, 17} {
		add := func(name string, do func(e *env)) {
			cases = append(cases, scenario{name: fmt.Sprintf("fetch sessions/%s, v%d", name, v), do: do})
		}
		// next is an incremental request without changes.
		next := func(e *env, id, epoch int32) *kmsg.FetchRequest {
			req := kmsg.NewPtrFetchRequest()
			req.ReplicaID, req.MaxBytes, req.SessionID, req.SessionEpoch = -1, 1<<20, id, epoch
			return req
		}
		open := func(e *env, topic string, partitions int32) int32 {
			req := next(e, 0, 0)
			for p := range partitions {
				e.alsoFetch(req, v, topic, p, 0)
			}
			resp, ok := e.do("open", v, req).(*kmsg.FetchResponse)
			if !ok {
				e.fail(errSilent)
			}
			return resp.SessionID
		}
		add("incremental", func(e *env) {
			topic := e.topic("", 3)
			e.fill(topic, 9, batch{}.build(kv("a")...))
			id := open(e, topic, 3)
			e.do("data again", v, next(e, id, 1))
			req := next(e, id, 2)
			e.alsoFetch(req, v, topic, 0, 1)
			e.do("nothing new", v, req)
			e.fill(topic, 9, batch{}.build(kv("b")...))
			e.do("new data", v, next(e, id, 3))
			req = next(e, id, 4)
			e.alsoFetch(req, v, topic, 0, 99)
			e.do("out of range", v, req)
			e.do("out of range again", v, next(e, id, 5))
			req = next(e, id, 6)
			e.alsoFetch(req, v, topic, 0, 2)
			e.do("in range again", v, req)
			req = next(e, id, 7)
			f := kmsg.NewFetchRequestForgottenTopic()
			f.Topic, f.Partitions = topic, []int32{0}
			if v >= 13 {
				f.TopicID = e.topicID(topic)
			}
			req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{f}
			e.do("forget one", v, req)
			e.fill(topic, 9, batch{}.build(kv("c")...))
			e.do("data of the forgotten", v, next(e, id, 8))
			req = next(e, id, 9)
			f.Partitions = []int32{1, 2}
			req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{f}
			e.do("forget all", v, req)
			e.do("after the end", v, next(e, id, 10))
		})
		add("errors", func(e *env) {
			topic := e.topic("", 1)
			e.fill(topic, 9, batch{}.build(kv("a")...))
			id := open(e, topic, 1)
			e.do("unknown id", v, next(e, id^0x55, 1))
			e.do("id 0", v, next(e, 0, 1))
			e.do("wrong epoch", v, next(e, id, 2))
			e.do("right epoch", v, next(e, id, 1))
			e.do("epoch again", v, next(e, id, 1))
			e.do("negative epoch", v, next(e, id, -5))
			other, names := v, int16(12)
			if v < 13 {
				names = 13
			}
			e.do("names against ids", names, next(e, id, 2))
			e.do("still there", other, next(e, id, 2))
			e.do("closed", v, next(e, id, -1))
			e.do("after the close", v, next(e, id, 3))
		})
		add("unknown partitions", func(e *env) {
			topic := e.topic("", 1)
			id := open(e, topic, 2)
			e.do("again", v, next(e, id, 1))
			req := next(e, id, 2)
			e.alsoFetch(req, v, topic, 0, 0)
			req.Topics[0].Topic, req.Topics[0].TopicID = e.slug("-none"), [16]byte{9}
			e.do("unknown topic", v, req)
			e.do("unknown topic again", v, next(e, id, 3))
		})
		add("replaced", func(e *env) {
			topic := e.topic("", 1)
			id := open(e, topic, 1)
			req := next(e, id, 0)
			e.alsoFetch(req, v, topic, 0, 0)
			e.do("open another", v, req)
			e.do("the first", v, next(e, id, 1))
			e.do("empty", v, next(e, 0, 0))
		})
	}
	return cases
}
