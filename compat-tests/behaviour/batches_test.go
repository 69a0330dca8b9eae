package behaviour

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// recordCases are batches of magic 2 that are wrong, or that the broker changes.
func recordCases() []scenario {
	var cases []scenario
	set16 := func(at int, v uint16) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint16(b[at:], v) }
	}
	set32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) }
	}
	set64 := func(at int, v uint64) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint64(b[at:], v) }
	}
	cut := func(n int) func() []byte {
		return func() []byte { b := batch{}.build(kv("a", "b")...); return b[:len(b)-n] }
	}
	two := func() []byte { return append(batch{}.build(kv("a")...), batch{}.build(kv("b")...)...) }
	one := func(b batch) func() []byte { return func() []byte { return b.build(kv("a", "b")...) } }
	encoded := func(edit func(b []byte) []byte) func() []byte {
		return func() []byte {
			var body []byte
			for i, r := range kv("a", "b") {
				body = appendRecord(body, int64(i), r.ts, r)
			}
			return batch{raw: edit(body)}.build(kv("a", "b")...)
		}
	}
	for _, tt := range []struct {
		name    string
		records func() []byte
		configs []string
	}{
		{"two batches", two, nil},
		{"magic 1", func() []byte { return messageSet(1, 0, kv("a")...) }, nil},
		{"magic 0", func() []byte { return messageSet(0, 0, kv("a")...) }, nil},
		{"magic 3", one(batch{damage: func(b []byte) { b[16] = 3 }}), nil},
		{"magic -1", one(batch{damage: func(b []byte) { b[16] = 0xff }}), nil},
		{"base offset 5", one(batch{base: 5}), nil},
		{"base offset -1", one(batch{base: -1}), nil},
		{"wrong crc", one(batch{damage: func(b []byte) { b[20] ^= 1 }}), nil},
		{"wrong byte in a record", one(batch{damage: func(b []byte) { b[len(b)-1] ^= 1 }}), nil},
		{"cut by one byte", cut(1), nil},
		{"cut in the header", cut(30), nil},
		{"eleven bytes", func() []byte { return make([]byte, 11) }, nil},
		{"seventeen zeros", func() []byte { return make([]byte, 17) }, nil},
		{"hundred zeros", func() []byte { return make([]byte, 100) }, nil},
		{"length too small", one(batch{damage: set32(8, 10)}), nil},
		{"length 48", one(batch{damage: set32(8, 48)}), nil},
		{"length negative", one(batch{damage: set32(8, 0xfffffff0)}), nil},
		{"length too large", one(batch{damage: set32(8, 1000)}), nil},
		{"bytes after the batch", func() []byte { return append(batch{}.build(kv("a")...), 1, 2, 3) }, nil},
		{"hundred bytes after the batch", func() []byte { return append(batch{}.build(kv("a")...), make([]byte, 100)...) }, nil},
		{"last offset delta too large", one(batch{edit: set32(23, 5)}), nil},
		{"last offset delta too small", one(batch{edit: set32(23, 0)}), nil},
		{"last offset delta negative", one(batch{edit: set32(23, 0xffffffff)}), nil},
		{"count too large", one(batch{edit: set32(57, 3)}), nil},
		{"count and delta too large", one(batch{edit: func(b []byte) { set32(57, 3)(b); set32(23, 2)(b) }}), nil},
		{"count and delta too small", one(batch{edit: func(b []byte) { set32(57, 1)(b); set32(23, 0)(b) }}), nil},
		{"count negative", one(batch{edit: set32(57, 0xffffffff)}), nil},
		{"no records", func() []byte { return batch{}.build() }, nil},
		{"control batch", one(batch{attributes: 0x20}), nil},
		{"transactional batch without producer", one(batch{attributes: 0x10}), nil},
		{"transactional batch", one(batch{attributes: 0x10, idempotent: true, pid: customProducerID, epoch: 0}), nil},
		{"unknown attribute bits", one(batch{attributes: 0x780}), nil},
		{"delete horizon bit", one(batch{attributes: 0x40}), nil},
		{"leader epoch given", one(batch{damage: set32(12, 77)}), nil},
		{"producer without sequence", one(batch{idempotent: true, pid: customProducerID, epoch: 0, seq: -1}), nil},
		{"producer with negative epoch", one(batch{idempotent: true, pid: customProducerID, epoch: -1, seq: 0}), nil},
		{"sequence without producer", one(batch{idempotent: true, pid: -1, epoch: -1, seq: 5}), nil},
		{"wrong first timestamp", one(batch{edit: set64(27, 5)}), nil},
		{"wrong max timestamp", one(batch{edit: set64(35, uint64(baseTime-1000))}), nil},
		{"max timestamp -1", one(batch{edit: set64(35, 1<<64-1)}), nil},
		{"no timestamps", one(batch{timeless: true}), nil},
		{"time far ahead", one(batch{shift: 100 * 365 * 24 * 3600 * 1000}), nil},
		{"time before max", one(batch{}), []string{"message.timestamp.before.max.ms", "1000"}},
		{"time after max", one(batch{shift: 100 * 365 * 24 * 3600 * 1000}), []string{"message.timestamp.after.max.ms", "1000"}},
		{"log append time bit", one(batch{attributes: 8}), nil},
		{"log append time bit on such a topic", one(batch{attributes: 8}), []string{"message.timestamp.type", "LogAppendTime"}},
		{"log append time topic", one(batch{}), []string{"message.timestamp.type", "LogAppendTime"}},
		{"log append time topic, compressed", one(batch{codec: 1}), []string{"message.timestamp.type", "LogAppendTime"}},
		{"compacted with keys", one(batch{}), []string{"cleanup.policy", "compact"}},
		{"compacted without keys", func() []byte {
			return batch{}.build(rec{key: []byte("k"), value: []byte("a")}, rec{value: []byte("b")}, rec{value: []byte("c")})
		}, []string{"cleanup.policy", "compact"}},
		{"compacted without keys, compressed", func() []byte {
			return batch{codec: 1}.build(rec{value: []byte("a")}, rec{value: []byte("b")}, rec{value: []byte("c")}, rec{value: []byte("d")}, rec{value: []byte("e")})
		}, []string{"cleanup.policy", "compact"}},
		{"too large for the topic", one(batch{}), []string{"max.message.bytes", "50"}},
		{"exactly the largest", one(batch{}), []string{"max.message.bytes", "81"}},
		{"one byte too large", one(batch{}), []string{"max.message.bytes", "80"}},
		{"larger than a segment", func() []byte { return batch{}.build(kv(string(make([]byte, 3000)))...) }, []string{"segment.bytes", "2048"}},
		{"null key and value", func() []byte { return batch{}.build(rec{}, rec{key: []byte{}, value: []byte{}}) }, nil},
		{"headers", func() []byte {
			return batch{}.build(rec{key: []byte("k"), value: []byte("v"), headers: []string{"h1", "v1", "h1", "v2", "", ""}})
		}, nil},
		{"records cut", encoded(func(b []byte) []byte { return b[:len(b)-2] }), nil},
		{"bytes after the records", encoded(func(b []byte) []byte { return append(b, 0, 0, 0) }), nil},
		{"record length zero", encoded(func(b []byte) []byte { b[0] = 0; return b }), nil},
		{"record length negative", encoded(func(b []byte) []byte { b[0] = 1; return b }), nil},
		{"record length huge", encoded(func(b []byte) []byte { b[0] = 0x7e; return b }), nil},
		{"offset deltas twice the same", func() []byte {
			r := rec{key: []byte("k"), value: []byte("v")}
			return batch{raw: appendRecord(appendRecord(nil, 0, 0, r), 0, 0, r)}.build(r, r)
		}, nil},
		{"offset deltas with a gap", func() []byte {
			r := rec{key: []byte("k"), value: []byte("v")}
			return batch{raw: appendRecord(appendRecord(nil, 0, 0, r), 3, 0, r)}.build(r, r)
		}, nil},
		{"negative header count", func() []byte {
			return batch{raw: []byte{14, 0, 0, 0, 1, 1, 1, 0}}.build(rec{})
		}, nil},
		{"record attributes", encoded(func(b []byte) []byte { b[1] = 0x55; return b }), nil},
		{"codec 5", one(batch{codec: 5}), nil},
		{"codec 7", one(batch{codec: 7}), nil},
		{"gzip that is none", one(batch{attributes: 1}), nil},
		{"gzip of half the records", func() []byte {
			return batch{codec: 1, raw: appendRecord(nil, 0, 0, rec{key: []byte("k")})}.build(kv("a", "b")...)
		}, nil},
		{"zstd that is none", one(batch{attributes: 4}), nil},
		{"gzip with wrong deltas", func() []byte {
			r := rec{key: []byte("k"), value: []byte("v")}
			return batch{codec: 1, raw: appendRecord(appendRecord(nil, 0, 0, r), 3, 0, r)}.build(r, r)
		}, nil},
		{"topic gzip, batch plain", one(batch{}), []string{"compression.type", "gzip"}},
		{"topic uncompressed, batch gzip", one(batch{codec: 1}), []string{"compression.type", "uncompressed"}},
		{"topic lz4, batch snappy", one(batch{codec: 2}), []string{"compression.type", "lz4"}},
		{"topic zstd, batch zstd", one(batch{codec: 4}), []string{"compression.type", "zstd"}},
		{"topic snappy, idempotent batch", one(batch{idempotent: true, pid: customProducerID, seq: 0}), []string{"compression.type", "snappy"}},
		{"gzip", one(batch{codec: 1}), nil}, {"snappy", one(batch{codec: 2}), nil}, {"lz4", one(batch{codec: 3}), nil}, {"zstd", one(batch{codec: 4}), nil},
	} {
		cases = append(cases, scenario{name: "records/" + tt.name, do: func(e *env) {
			topic := e.topic("", 1, tt.configs...)
			for _, v := range []int16{3, 7, 9} {
				resp, err := e.exchange(e.conn(), v, produceRequest(1, topic, 0, tt.records()), answerLimit)
				e.recordAnswer(fmt.Sprintf("produce v%d", v), resp, err)
				if err != nil {
					e.main = nil
				}
			}
			e.showLog(topic)
			e.do("by timestamp", 7, offsetsRequest(topic, baseTime))
		}})
	}
	// The bits of the attributes that are the timestamp type and the codec are covered above; the rest is kept.
	cases = append(cases, scenario{name: "records/attributes are kept", do: func(e *env) {
		topic := e.topic("", 1)
		for bit := 7; bit < 16; bit++ {
			e.do(fmt.Sprintf("bit %d", bit), 9, produceRequest(1, topic, 0, batch{edit: set16(21, 1<<bit)}.build(kv("a")...)))
		}
		e.showLog(topic)
	}}, scenario{name: "records/many errors", do: func(e *env) {
		topic := e.topic("", 1, "cleanup.policy", "compact", "message.timestamp.before.max.ms", "1000")
		var recs []rec
		for i := range 5 {
			recs = append(recs, rec{value: []byte{'a' + byte(i)}, ts: int64(i)})
		}
		e.do("no key and too old", 9, produceRequest(1, topic, 0, batch{}.build(recs...)))
		other := e.topic("-2", 1, "message.timestamp.before.max.ms", "1000")
		e.do("too old", 9, produceRequest(1, other, 0, batch{}.build(recs...)))
		e.do("too old, compressed", 9, produceRequest(1, other, 0, batch{codec: 2}.build(recs...)))
		e.do("too old, v3", 3, produceRequest(1, other, 0, batch{}.build(recs...)))
	}})
	return cases
}

// idempotenceCases are sequences of batches of one producer.
func idempotenceCases() []scenario {
	type send struct {
		epoch int16
		seq   int32
		n     int
	}
	many := func(n int) []send {
		s := make([]send, n)
		for i := range s {
			s[i] = send{0, int32(i), 1}
		}
		return s
	}
	var cases []scenario
	for _, tt := range []struct {
		name  string
		sends []send
	}{
		{"in order", []send{{0, 0, 2}, {0, 2, 3}, {0, 5, 1}}},
		{"twice", []send{{0, 0, 2}, {0, 0, 2}, {0, 2, 1}, {0, 0, 2}}},
		{"same first sequence, other count", []send{{0, 0, 2}, {0, 0, 3}, {0, 0, 1}, {0, 1, 1}}},
		{"fifth back", append(many(6), send{0, 1, 1}, send{0, 0, 1}, send{0, 6, 1})},
		{"gap", []send{{0, 0, 1}, {0, 2, 1}, {0, 1, 1}}},
		{"first sequence not 0", []send{{0, 33, 1}, {0, 34, 1}, {0, 33, 1}}},
		{"new epoch", []send{{0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}}},
		{"new epoch not at 0", []send{{0, 0, 1}, {1, 1, 1}, {1, 0, 1}}},
		{"epoch jumps", []send{{0, 0, 1}, {7, 0, 1}, {3, 0, 1}}},
		{"sequence wraps", []send{{0, 2147483646, 1}, {0, 2147483647, 1}, {0, 0, 1}, {0, 1, 1}}},
		{"sequence wraps inside", []send{{0, 2147483646, 4}, {0, 2, 1}, {0, 2147483646, 4}}},
		{"highest epoch", []send{{32767, 0, 1}, {32767, 1, 1}}},
	} {
		for _, acks := range []int16{1, -1} {
			cases = append(cases, scenario{name: fmt.Sprintf("idempotence/%s, acks %d", tt.name, acks), do: func(e *env) {
				topic := e.topic("", 1)
				for i, s := range tt.sends {
					b := batch{idempotent: true, pid: customProducerID, epoch: s.epoch, seq: s.seq}.build(kv(make([]string, s.n)...)...)
					e.do(fmt.Sprintf("%d: epoch %d sequence %d, %d records", i, s.epoch, s.seq, s.n), 9, produceRequest(acks, topic, 0, b))
				}
				e.showLog(topic)
				req := kmsg.NewPtrDescribeProducersRequest()
				req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0}}}
				e.do("producers", 0, req)
			}})
		}
	}
	cases = append(cases, scenario{name: "idempotence/log append time", do: func(e *env) {
		topic := e.topic("", 1, "message.timestamp.type", "LogAppendTime")
		b := func() []byte { return batch{idempotent: true, pid: customProducerID}.build(kv("a")...) }
		e.do("produce", 9, produceRequest(1, topic, 0, b()))
		e.do("duplicate", 9, produceRequest(1, topic, 0, b()))
	}}, scenario{name: "idempotence/after deleted records", do: func(e *env) {
		topic := e.topic("", 1)
		e.do("produce", 9, produceRequest(1, topic, 0, batch{idempotent: true, pid: customProducerID}.build(kv("a")...)))
		e.do("delete", 2, deleteRecordsRequest(topic, 0, -1))
		e.do("duplicate", 9, produceRequest(1, topic, 0, batch{idempotent: true, pid: customProducerID}.build(kv("a")...)))
		e.do("gap", 9, produceRequest(1, topic, 0, batch{idempotent: true, pid: customProducerID, seq: 5}.build(kv("a")...)))
	}})
	return cases
}

// legacyCases are message sets of magic 0 and 1, and what old versions carry.
func legacyCases() []scenario {
	var cases []scenario
	abc := kv("a", "b", "c")
	for _, tt := range []struct {
		name    string
		version int16
		records func() []byte
		configs []string
	}{
		{"magic 1 in v0", 0, func() []byte { return messageSet(1, 0, abc...) }, nil},
		{"magic 1 in v1", 1, func() []byte { return messageSet(1, 0, abc...) }, nil},
		{"magic 0 in v2", 2, func() []byte { return messageSet(0, 0, abc...) }, nil},
		{"magic 2 in v0", 0, func() []byte { return batch{}.build(abc...) }, nil},
		{"magic 2 in v2", 2, func() []byte { return batch{}.build(abc...) }, nil},
		{"two batches of magic 2 in v2", 2, func() []byte { return append(batch{}.build(abc...), batch{}.build(abc...)...) }, nil},
		{"zstd of magic 2 in v2", 2, func() []byte { return batch{codec: 4}.build(abc...) }, nil},
		{"magic 0 then 1", 2, func() []byte { return append(messageSet(0, 0, abc...), messageSet(1, 0, abc...)...) }, nil},
		{"magic 1 then 2", 2, func() []byte { return append(messageSet(1, 0, abc...), batch{}.build(abc...)...) }, nil},
		{"gzip of magic 0", 0, func() []byte { return messageSet(0, 1, abc...) }, nil},
		{"snappy of magic 0", 0, func() []byte { return messageSet(0, 2, abc...) }, nil},
		{"gzip of magic 1", 2, func() []byte { return messageSet(1, 1, abc...) }, nil},
		{"snappy of magic 1", 2, func() []byte { return messageSet(1, 2, abc...) }, nil},
		{"lz4 of magic 1", 2, func() []byte { return messageSet(1, 3, abc...) }, nil},
		{"zstd of magic 1", 2, func() []byte { return messageSet(1, 4, abc...) }, nil},
		{"two gzip wrappers", 2, func() []byte { return append(messageSet(1, 1, abc...), messageSet(1, 1, abc...)...) }, nil},
		{"gzip and plain", 2, func() []byte { return append(messageSet(1, 1, abc...), messageSet(1, 0, abc...)...) }, nil},
		{"gzip of nothing", 2, func() []byte { return message(1, 1, 0, baseTime, nil, compress(1, nil)) }, nil},
		{"gzip that is none", 2, func() []byte { return message(1, 1, 0, baseTime, nil, []byte("nothing")) }, nil},
		{"gzip in gzip", 2, func() []byte { return message(1, 1, 0, baseTime, nil, compress(1, messageSet(1, 1, abc...))) }, nil},
		{"absolute inner offsets", 2, func() []byte {
			return message(1, 1, 9, baseTime, nil, compress(1, append(message(1, 0, 8, baseTime, nil, []byte("a")), message(1, 0, 9, baseTime, nil, []byte("b"))...)))
		}, nil},
		{"wrong crc", 2, func() []byte { b := messageSet(1, 0, abc...); b[len(b)-1] ^= 1; return b }, nil},
		{"wrong crc, magic 0", 0, func() []byte { b := messageSet(0, 0, abc...); b[len(b)-1] ^= 1; return b }, nil},
		{"cut", 2, func() []byte { b := messageSet(1, 0, abc...); return b[:len(b)-3] }, nil},
		{"cut in the first message", 0, func() []byte { b := messageSet(0, 0, abc...); return b[:20] }, nil},
		{"size too small", 2, func() []byte { b := messageSet(1, 0, abc...); b[11] = 3; return b }, nil},
		{"negative size", 2, func() []byte { b := messageSet(1, 0, abc...); b[8] = 0xff; return b }, nil},
		{"log append time", 2, func() []byte { return messageSet(1, 0, abc...) }, []string{"message.timestamp.type", "LogAppendTime"}},
		{"log append time of magic 0", 0, func() []byte { return messageSet(0, 0, abc...) }, []string{"message.timestamp.type", "LogAppendTime"}},
		{"log append time bit", 2, func() []byte { return message(1, 8, 0, baseTime, nil, []byte("a")) }, nil},
		{"time -1", 2, func() []byte { return message(1, 0, 0, -1, nil, []byte("a")) }, nil},
		{"time too old", 2, func() []byte { return messageSet(1, 0, abc...) }, []string{"message.timestamp.before.max.ms", "1000"}},
		{"compacted without key", 2, func() []byte { return message(1, 0, 0, baseTime, nil, []byte("a")) }, []string{"cleanup.policy", "compact"}},
		{"compacted without key, magic 0", 0, func() []byte { return message(0, 0, 0, 0, nil, []byte("a")) }, []string{"cleanup.policy", "compact"}},
		{"null value", 2, func() []byte { return message(1, 0, 0, baseTime, []byte("k"), nil) }, nil},
		{"offsets that jump", 2, func() []byte {
			return append(message(1, 0, 100, baseTime, nil, []byte("a")), message(1, 0, 7, baseTime, nil, []byte("b"))...)
		}, nil},
		{"topic gzip", 2, func() []byte { return messageSet(1, 0, abc...) }, []string{"compression.type", "gzip"}},
		{"topic uncompressed, gzip", 2, func() []byte { return messageSet(1, 1, abc...) }, []string{"compression.type", "uncompressed"}},
		{"too large", 2, func() []byte { return messageSet(1, 0, abc...) }, []string{"max.message.bytes", "60"}},
	} {
		cases = append(cases, scenario{name: "message sets/" + tt.name, do: func(e *env) {
			topic := e.topic("", 1, tt.configs...)
			e.do("produce", tt.version, produceRequest(1, topic, 0, tt.records()))
			e.showLog(topic)
		}})
	}
	return cases
}

func deleteRecordsRequest(topic string, partition int32, offset int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5000
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: offset}}}}
	return req
}
