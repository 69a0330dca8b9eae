package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// BuilderOptions are the batch-wide fields. Use NewBuilderOptions or set ProducerID, Epoch and Sequence to -1
// for a batch without a producer.
type BuilderOptions struct {
	Codec       Codec
	Level       int // see Compress; 0 is the codec's default too
	BaseOffset  int64
	LeaderEpoch int32
	// ProducerID, Epoch and Sequence are -1 without a producer.
	ProducerID    int64
	Epoch         int16
	Sequence      int32
	Transactional bool
	Control       bool
	// LogAppendTimeMs, if not 0, makes it the time of every record and sets the timestamp type.
	LogAppendTimeMs int64
	// DeleteHorizonMs, if not 0, is stored in place of the base timestamp (KIP-534).
	DeleteHorizonMs int64
}

// NewBuilderOptions are those of a batch at baseOffset without producer, compression or leader epoch.
func NewBuilderOptions(baseOffset int64) BuilderOptions {
	return BuilderOptions{Level: LevelDefault, BaseOffset: baseOffset, LeaderEpoch: -1, ProducerID: -1, Epoch: -1, Sequence: -1}
}

// Builder makes one magic-2 batch. It is not safe for concurrent use; Reset makes it usable again.
type Builder struct {
	opt           BuilderOptions
	records       []byte
	count         int32
	lastDelta     int32
	baseTimestamp int64
	maxTimestamp  int64
}

// NewBuilder returns an empty builder.
func NewBuilder(opt BuilderOptions) *Builder {
	b := new(Builder)
	b.Reset(opt)
	return b
}

// Reset empties the builder and keeps its memory, which Build does not hand out.
func (b *Builder) Reset(opt BuilderOptions) {
	if opt.Level == 0 {
		opt.Level = LevelDefault
	}
	*b = Builder{opt: opt, records: b.records[:0], lastDelta: -1, maxTimestamp: -1}
}

// Add appends a record at the next offset. Nothing is kept of key, value and headers. timestampMs is -1 for none.
func (b *Builder) Add(timestampMs int64, key, value []byte, headers []Header) {
	b.AddAt(b.opt.BaseOffset+int64(b.lastDelta)+1, timestampMs, key, value, headers)
}

// AddAt appends a record with an offset of its own, above the last one: compaction leaves gaps. It panics if the
// offset does not fit the batch, which is the caller's mistake.
func (b *Builder) AddAt(offset, timestampMs int64, key, value []byte, headers []Header) {
	delta := offset - b.opt.BaseOffset
	if delta <= int64(b.lastDelta) || delta > math.MaxInt32 {
		panic(fmt.Sprintf("batch: offset %d after delta %d of base offset %d", offset, b.lastDelta, b.opt.BaseOffset))
	}
	if b.count == 0 {
		b.baseTimestamp = timestampMs
		if b.opt.DeleteHorizonMs != 0 {
			b.baseTimestamp = b.opt.DeleteHorizonMs
		}
	}
	b.maxTimestamp = max(b.maxTimestamp, timestampMs)
	b.records = appendRecord(b.records, timestampMs-b.baseTimestamp, int32(delta), key, value, headers)
	b.lastDelta = int32(delta)
	b.count++
}

// SetLastOffset makes offset the batch's last one although no record has it: compaction keeps the range of the batch that
// it filters. It panics if a record is above it.
func (b *Builder) SetLastOffset(offset int64) {
	delta := offset - b.opt.BaseOffset
	if delta < int64(b.lastDelta) || delta > math.MaxInt32 {
		panic(fmt.Sprintf("batch: last offset %d below delta %d of base offset %d", offset, b.lastDelta, b.opt.BaseOffset))
	}
	b.lastDelta = int32(delta)
}

// Count is the number of records added.
func (b *Builder) Count() int { return int(b.count) }

// Size is the size of the batch if it were built now without compression.
func (b *Builder) Size() int { return HeaderSize + len(b.records) }

// NextOffset is the offset that Add would give.
func (b *Builder) NextOffset() int64 { return b.opt.BaseOffset + int64(b.lastDelta) + 1 }

// Build returns the batch in fresh memory. It panics on an unknown codec.
func (b *Builder) Build() []byte {
	return b.AppendTo(make([]byte, 0, HeaderSize+len(b.records)))
}

// AppendTo appends the batch to dst.
func (b *Builder) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst, err := appendCompressed(dst, b.opt.Codec, b.opt.Level, b.records)
	if err != nil { // writing to memory with a codec that we know cannot fail
		panic(fmt.Sprintf("batch: %v", err))
	}
	v := View(dst[start:])
	attributes := int16(b.opt.Codec)
	baseTimestamp, maxTimestamp := b.baseTimestamp, b.maxTimestamp
	if b.count == 0 {
		baseTimestamp = -1
	}
	if b.opt.LogAppendTimeMs != 0 {
		attributes |= AttrLogAppendTime
		maxTimestamp = b.opt.LogAppendTimeMs
	}
	if b.opt.Transactional {
		attributes |= AttrTransactional
	}
	if b.opt.Control {
		attributes |= AttrControl
	}
	if b.opt.DeleteHorizonMs != 0 {
		attributes |= AttrDeleteHorizon
		baseTimestamp = b.opt.DeleteHorizonMs
	}
	v.SetBaseOffset(b.opt.BaseOffset)
	binary.BigEndian.PutUint32(v[offLength:], uint32(len(v)-LogOverhead))
	v.SetLeaderEpoch(b.opt.LeaderEpoch)
	v[offMagic] = 2
	v.setAttributes(attributes)
	binary.BigEndian.PutUint32(v[offLastDelta:], uint32(b.lastDelta))
	binary.BigEndian.PutUint64(v[offBaseTimestamp:], uint64(baseTimestamp))
	v.setMaxTimestamp(maxTimestamp)
	binary.BigEndian.PutUint64(v[offProducerID:], uint64(b.opt.ProducerID))
	binary.BigEndian.PutUint16(v[offProducerEpoch:], uint16(b.opt.Epoch))
	binary.BigEndian.PutUint32(v[offBaseSequence:], uint32(b.opt.Sequence))
	binary.BigEndian.PutUint32(v[offRecordCount:], uint32(b.count))
	v.UpdateCRC()
	return dst
}
