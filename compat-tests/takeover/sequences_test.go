package takeover

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// seqProducer is an idempotent producer that outlives its brokers: it sends batches of one record.
type seqProducer struct {
	id    int64
	epoch int16
	next  int32           // sequence
	at    map[int32]int64 // where the broker said that a sequence is
}

var seqProducers = map[string]*seqProducer{} // by directory of the broker

// sequences goes on with the producer of this directory: repeats are recognised, gaps refused, and the next sequence is taken.
func sequences(s *session, topic string) {
	s.t.Helper()
	p := seqProducers[s.b.Dir()]
	if p == nil {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionTimeoutMillis = 60_000
		resp := ask[*kmsg.InitProducerIDResponse](s, req)
		if resp.ErrorCode != 0 {
			s.t.Fatal(kerr.ErrorForCode(resp.ErrorCode))
		}
		p = &seqProducer{id: resp.ProducerID, epoch: resp.ProducerEpoch, at: map[int32]int64{}}
		seqProducers[s.b.Dir()] = p
	} else {
		if at, err := p.send(s, topic, p.next-1); err != nil || at != p.at[p.next-1] {
			s.t.Errorf("sequence %d again: offset %d, %v; it was %d", p.next-1, at, err, p.at[p.next-1])
		}
		if _, err := p.send(s, topic, p.next+1); err != kerr.OutOfOrderSequenceNumber {
			s.t.Errorf("a sequence left out: %v", err)
		}
	}
	for range 20 {
		at, err := p.send(s, topic, p.next)
		if err != nil {
			s.t.Fatalf("sequence %d: %v", p.next, err)
		}
		p.at[p.next] = at
		p.next++
	}
}

func (p *seqProducer) send(s *session, topic string, seq int32) (int64, error) {
	s.t.Helper()
	ts := start.Add(time.Duration(seq) * time.Second).UnixMilli()
	record := []byte{0, 0, 0, 1, 2, 'v', 0} // attributes, time, offset, no key, one byte, no headers
	record = append(binary.AppendVarint(nil, int64(len(record))), record...)
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: ts, MaxTimestamp: ts, ProducerID: p.id, ProducerEpoch: p.epoch, FirstSequence: seq,
		NumRecords: 1, Records: record,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30_000
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rt.Topic, rp.Records = topic, raw
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	got := ask[*kmsg.ProduceResponse](s, req).Topics[0].Partitions[0]
	return got.BaseOffset, kerr.ErrorForCode(got.ErrorCode)
}
