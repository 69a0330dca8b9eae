package wire

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// appendProduceResponse encodes to the same bytes as kmsg does, but without its reflection for tagged fields, which costs
// two allocations for each partition. Versions above 12 and responses with unknown tagged fields are left to kmsg.
func appendProduceResponse(dst []byte, version int16, r *kmsg.ProduceResponse) []byte {
	if version > 12 || r.UnknownTags.Len() > 0 || len(r.Brokers) > 0 {
		r.SetVersion(version)
		return r.AppendTo(dst)
	}
	e := fetchEncoder{out: dst}
	flexible := version >= 9
	e.arrayLen(flexible, len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		e.string(flexible, t.Topic)
		e.arrayLen(flexible, len(t.Partitions))
		for j := range t.Partitions {
			e.producePartition(version, flexible, &t.Partitions[j])
		}
		if flexible {
			e.out = append(e.out, 0)
		}
	}
	if version >= 1 {
		e.int32(r.ThrottleMillis)
	}
	if flexible {
		e.out = append(e.out, 0)
	}
	return e.out
}

func (e *fetchEncoder) producePartition(version int16, flexible bool, p *kmsg.ProduceResponseTopicPartition) {
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.int64(p.BaseOffset)
	if version >= 2 {
		e.int64(p.LogAppendTime)
	}
	if version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if version >= 8 {
		e.arrayLen(flexible, len(p.ErrorRecords))
		for i := range p.ErrorRecords {
			e.int32(p.ErrorRecords[i].RelativeOffset)
			e.nullableString(flexible, p.ErrorRecords[i].ErrorMessage)
			if flexible {
				e.out = append(e.out, 0)
			}
		}
		e.nullableString(flexible, p.ErrorMessage)
	}
	if !flexible {
		return
	}
	if l := p.CurrentLeader; l.LeaderID != -1 || l.LeaderEpoch != -1 {
		e.out = append(e.out, 1, 0, 4+4+1)
		e.int32(l.LeaderID)
		e.int32(l.LeaderEpoch)
	}
	e.out = append(e.out, 0)
}

func (e *fetchEncoder) nullableString(flexible bool, s *string) {
	switch {
	case s != nil:
		e.string(flexible, *s)
	case flexible:
		e.out = append(e.out, 0)
	default:
		e.out = binary.BigEndian.AppendUint16(e.out, 0xffff)
	}
}
