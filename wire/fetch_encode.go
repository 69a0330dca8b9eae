package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// inlineRegion is the size up to which a region is read into the buffer with the headers, so that a response of small regions is
	// one write: below it the system calls cost more than the copy (BenchmarkFetchWrite).
	inlineRegion = 32 << 10
	// inlineTotal bounds what one response puts into the buffer so.
	inlineTotal = 128 << 10
)

// cut is a run of bytes that belongs into the encoded response at a position but is not in the buffer.
type cut struct {
	at     int // position in the buffer
	n      int
	region Region
	bytes  []byte // if region is nil
	sent   int
	copied bool // sendfile does not work for it
}

// fetchEncoder builds the frame of a Fetch response: headers in out, large runs of records as cuts.
type fetchEncoder struct {
	out     []byte
	cuts    []cut
	cutSize int
	inlined int
}

// encode appends the frame. The layouts are those of kmsg.FetchResponse.AppendTo; see its JSON schema in Kafka.
func (e *fetchEncoder) encode(h Header, f *FetchResponse) error {
	start := len(e.out)
	flexible := h.Version >= 12
	e.out = append(e.out, 0, 0, 0, 0)
	e.out = appendResponseHeader(e.out, h.Key, h.CorrelationID, flexible)
	if h.Version >= 1 {
		e.int32(f.ThrottleMillis)
	}
	if h.Version >= 7 {
		e.int16(f.ErrorCode)
		e.int32(f.SessionID)
	}
	e.arrayLen(flexible, len(f.Topics))
	for i := range f.Topics {
		t := &f.Topics[i]
		if h.Version <= 12 {
			e.string(flexible, t.Name)
		} else {
			e.out = append(e.out, t.ID[:]...)
		}
		e.arrayLen(flexible, len(t.Partitions))
		for j := range t.Partitions {
			e.partition(h.Version, &t.Partitions[j])
		}
		if flexible {
			e.out = append(e.out, 0)
		}
	}
	if flexible {
		e.nodeEndpoints(f.NodeEndpoints)
	}
	size := len(e.out) - start - 4 + e.cutSize
	if size > math.MaxInt32 {
		return closeReason("fetch response is larger than 2 GiB")
	}
	binary.BigEndian.PutUint32(e.out[start:], uint32(size))
	return nil
}

func (e *fetchEncoder) partition(version int16, p *FetchPartition) {
	start, n := len(e.out), len(p.Bytes)
	if p.Records != nil {
		n = p.Records.Len()
	}
	e.partitionHeader(version, p, p.ErrorCode, n)
	if p.Records == nil {
		e.memory(p.Bytes)
	} else if !e.region(p.Records, n) {
		// The disk failed under us, and nothing of this partition is sent yet.
		e.out = e.out[:start]
		e.partitionHeader(version, p, kerr.KafkaStorageError.Code, 0)
	}
	if version < 12 {
		return
	}
	tags := byte(0)
	if p.Diverging != nil {
		tags++
	}
	if p.CurrentLeader != nil {
		tags++
	}
	e.out = append(e.out, tags)
	if d := p.Diverging; d != nil {
		e.out = append(e.out, 0, 4+8+1) // tag, size
		e.int32(d.Epoch)
		e.int64(d.EndOffset)
		e.out = append(e.out, 0)
	}
	if l := p.CurrentLeader; l != nil {
		e.out = append(e.out, 1, 4+4+1)
		e.int32(l.LeaderID)
		e.int32(l.LeaderEpoch)
		e.out = append(e.out, 0)
	}
}

// partitionHeader writes all that stands before the records, their length included.
func (e *fetchEncoder) partitionHeader(version int16, p *FetchPartition, code int16, n int) {
	e.int32(p.Partition)
	e.int16(code)
	e.int64(p.HighWatermark)
	if version >= 4 {
		e.int64(p.LastStableOffset)
	}
	if version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if version >= 4 {
		switch {
		case p.Aborted != nil:
			e.arrayLen(version >= 12, len(p.Aborted))
		case version >= 12:
			e.out = append(e.out, 0)
		default:
			e.int32(-1)
		}
		for _, a := range p.Aborted {
			e.int64(a.ProducerID)
			e.int64(a.FirstOffset)
			if version >= 12 {
				e.out = append(e.out, 0)
			}
		}
	}
	if version >= 11 {
		e.int32(p.PreferredReplica)
	}
	if version >= 12 {
		e.out = appendUvarint(e.out, uint32(n)+1)
	} else {
		e.int32(int32(n))
	}
}

// region puts the bytes of a region into the buffer or leaves a cut for them; false if they cannot be read.
func (e *fetchEncoder) region(r Region, n int) bool {
	if n == 0 {
		return true
	}
	if n > inlineRegion || e.inlined+n > inlineTotal {
		e.cut(cut{n: n, region: r})
		return true
	}
	at := len(e.out)
	e.out = slices.Grow(e.out, n)[:at+n]
	if got, err := r.ReadAt(e.out[at:], 0); got < n || err != nil && got != n {
		return false
	}
	e.inlined += n
	return true
}

func (e *fetchEncoder) memory(p []byte) {
	if len(p) > inlineRegion {
		e.cut(cut{n: len(p), bytes: p})
		return
	}
	e.out = append(e.out, p...)
}

func (e *fetchEncoder) cut(c cut) {
	c.at = len(e.out)
	e.cuts = append(e.cuts, c)
	e.cutSize += c.n
}

func (e *fetchEncoder) nodeEndpoints(nodes []FetchNode) {
	if len(nodes) == 0 {
		e.out = append(e.out, 0)
		return
	}
	size := uvarintSize(uint32(len(nodes)) + 1)
	for _, n := range nodes {
		size += 4 + compactSize(len(n.Host)) + 4 + 1 + 1
		if n.Rack != nil {
			size += compactSize(len(*n.Rack)) - 1
		}
	}
	e.out = append(e.out, 1, 0) // one tagged field, tag 0
	e.out = appendUvarint(e.out, uint32(size))
	e.out = appendUvarint(e.out, uint32(len(nodes))+1)
	for _, n := range nodes {
		e.int32(n.NodeID)
		e.string(true, n.Host)
		e.int32(n.Port)
		if n.Rack == nil {
			e.out = append(e.out, 0)
		} else {
			e.string(true, *n.Rack)
		}
		e.out = append(e.out, 0)
	}
}

// compactSize is the encoded size of a compact string of n bytes.
func compactSize(n int) int { return uvarintSize(uint32(n)+1) + n }

func (e *fetchEncoder) int16(v int16) { e.out = binary.BigEndian.AppendUint16(e.out, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.out = binary.BigEndian.AppendUint32(e.out, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.out = binary.BigEndian.AppendUint64(e.out, uint64(v)) }

func (e *fetchEncoder) arrayLen(flexible bool, n int) {
	if flexible {
		e.out = appendUvarint(e.out, uint32(n)+1)
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) string(flexible bool, s string) {
	if flexible {
		e.out = appendUvarint(e.out, uint32(len(s))+1)
	} else {
		e.int16(int16(len(s)))
	}
	e.out = append(e.out, s...)
}

// release gives back all regions and the response itself.
func (f *FetchResponse) release() {
	for i := range f.Topics {
		ps := f.Topics[i].Partitions
		for j := range ps {
			if ps[j].Records != nil {
				ps[j].Records.Release()
			}
		}
	}
	if f.Release != nil {
		f.Release()
	}
}
