package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A magic-2 record batch (KIP-98, org.apache.kafka.common.record.DefaultRecordBatch), all integers big-endian:
//
//	 0  baseOffset            int64
//	 8  batchLength           int32   bytes that follow this field
//	12  partitionLeaderEpoch  int32   set by the leader, outside the CRC
//	16  magic                 int8    2
//	17  crc                   uint32  CRC-32C of bytes 21 to the end
//	21  attributes            int16
//	23  lastOffsetDelta       int32
//	27  baseTimestamp         int64   ms; the delete horizon if AttrDeleteHorizon is set
//	35  maxTimestamp          int64   ms
//	43  producerId            int64
//	51  producerEpoch         int16
//	53  baseSequence          int32
//	57  recordCount           int32
//	61  records
const (
	// HeaderSize is the size in bytes of a batch without its records.
	HeaderSize = 61
	// LogOverhead is the size in bytes of baseOffset and batchLength, which batchLength does not count.
	LogOverhead = 12

	offLength         = 8
	offLeaderEpoch    = 12
	offMagic          = 16
	offCRC            = 17
	offAttributes     = 21
	offLastDelta      = 23
	offBaseTimestamp  = 27
	offMaxTimestamp   = 35
	offProducerID     = 43
	offProducerEpoch  = 51
	offBaseSequence   = 53
	offRecordCount    = 57
	minLegacyOverhead = 14 // crc, magic, attributes, key and value length of a magic-0 message
)

// Bits of the attributes field.
const (
	AttrCodecMask     int16 = 0x07
	AttrLogAppendTime int16 = 0x08
	AttrTransactional int16 = 0x10
	AttrControl       int16 = 0x20
	AttrDeleteHorizon int16 = 0x40
)

// Codec is the compression codec in the low bits of a batch's attributes.
type Codec int8

// The codecs of the protocol.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

// ErrTruncated says that the bytes end before the batch does: normal at the end of a fetch response, a torn write at the end of a log.
var ErrTruncated = errors.New("record batch is cut short")

// CorruptError says what is wrong with a batch's bytes.
type CorruptError struct {
	Reason string

	tooLarge bool // only that: the content did not fit a limit
}

func (e *CorruptError) Error() string { return "corrupt record batch: " + e.Reason }

// Unwrap gives the code that a client gets.
func (e *CorruptError) Unwrap() error { return kerr.CorruptMessage }

func corrupt(format string, args ...any) error {
	return &CorruptError{Reason: fmt.Sprintf(format, args...)}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// View is one whole magic-2 batch, header and records. Its methods read and patch the bytes in place.
// Only Next and Parse make one from bytes of unknown origin: they guarantee that the header is there
// and that the length is consistent; every other field is as found.
type View []byte

// PeekSize returns the total size in bytes of the batch (or legacy message) that starts at p, from its length field,
// and its magic. ErrTruncated if p has fewer than 17 bytes. The size is at least 26 and may exceed len(p).
func PeekSize(p []byte) (size int, magic int8, err error) {
	if len(p) < offMagic+1 {
		return 0, 0, ErrTruncated
	}
	n := int32(binary.BigEndian.Uint32(p[offLength:]))
	if n < minLegacyOverhead || n > math.MaxInt32-LogOverhead {
		return 0, 0, corrupt("length %d is out of range", n)
	}
	return int(n) + LogOverhead, int8(p[offMagic]), nil
}

// Next splits the first batch off records. Errors: ErrTruncated if records ends inside it, a CorruptError
// if it cannot be a magic-2 batch. The CRC is not looked at.
func Next(records []byte) (v View, rest []byte, err error) {
	size, magic, err := PeekSize(records)
	if err != nil {
		return nil, records, err
	}
	if magic != 2 {
		return nil, records, corrupt("magic %d", magic)
	}
	if size < HeaderSize {
		return nil, records, corrupt("length %d is smaller than the header", size-LogOverhead)
	}
	if size > len(records) {
		return nil, records, ErrTruncated
	}
	return View(records[:size:size]), records[size:], nil
}

// Size is the whole size in bytes.
func (v View) Size() int { return len(v) }

// BaseOffset is the offset of the first record that the batch had when it was written; compaction may have removed that record.
func (v View) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(v)) }

// SetBaseOffset assigns the first offset. It lies outside the CRC.
func (v View) SetBaseOffset(off int64) { binary.BigEndian.PutUint64(v, uint64(off)) }

// LastOffset is the offset of the last record.
func (v View) LastOffset() int64 { return v.BaseOffset() + int64(v.LastOffsetDelta()) }

// NextOffset is the offset after the last record.
func (v View) NextOffset() int64 { return v.LastOffset() + 1 }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (v View) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(v[offLeaderEpoch:])) }

// SetLeaderEpoch stamps the leader's epoch. It lies outside the CRC.
func (v View) SetLeaderEpoch(e int32) { binary.BigEndian.PutUint32(v[offLeaderEpoch:], uint32(e)) }

// Magic is the format version, 2.
func (v View) Magic() int8 { return int8(v[offMagic]) }

// CRC is the stored CRC-32C.
func (v View) CRC() uint32 { return binary.BigEndian.Uint32(v[offCRC:]) }

// Attributes is the bit set of the Attr constants.
func (v View) Attributes() int16 { return int16(binary.BigEndian.Uint16(v[offAttributes:])) }

// Codec is the compression of the records.
func (v View) Codec() Codec { return Codec(v.Attributes() & AttrCodecMask) }

// IsLogAppendTime says that maxTimestamp is the broker's time and holds for every record.
func (v View) IsLogAppendTime() bool { return v.Attributes()&AttrLogAppendTime != 0 }

// IsTransactional says that the batch belongs to a transaction.
func (v View) IsTransactional() bool { return v.Attributes()&AttrTransactional != 0 }

// IsControl says that the batch holds a control record, a transaction marker.
func (v View) IsControl() bool { return v.Attributes()&AttrControl != 0 }

// DeleteHorizon is the time in ms after which tombstones of the batch may go; ok is false if none is set.
func (v View) DeleteHorizon() (ms int64, ok bool) {
	if v.Attributes()&AttrDeleteHorizon == 0 {
		return 0, false
	}
	return v.BaseTimestamp(), true
}

// LastOffsetDelta is the offset of the last record less BaseOffset; compaction keeps it.
func (v View) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(v[offLastDelta:])) }

// BaseTimestamp is what the records' timestamp deltas count from, in ms.
func (v View) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(v[offBaseTimestamp:])) }

// MaxTimestamp is the largest timestamp of the records in ms, -1 if they have none.
func (v View) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(v[offMaxTimestamp:])) }

// ProducerID is -1 for a producer that is neither idempotent nor transactional.
func (v View) ProducerID() int64 { return int64(binary.BigEndian.Uint64(v[offProducerID:])) }

// ProducerEpoch is -1 without a producer id.
func (v View) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(v[offProducerEpoch:])) }

// BaseSequence is the sequence number of the first record, -1 without a producer id and in control batches.
func (v View) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(v[offBaseSequence:])) }

// LastSequence is the sequence number of the last record; it wraps from 2^31-1 to 0.
func (v View) LastSequence() int32 { return AddSequence(v.BaseSequence(), v.LastOffsetDelta()) }

// Count is the number of records in the batch.
func (v View) Count() int32 { return int32(binary.BigEndian.Uint32(v[offRecordCount:])) }

// Payload is the records' bytes, compressed as Codec says.
func (v View) Payload() []byte { return v[HeaderSize:] }

// VerifyCRC compares the stored CRC with the bytes.
func (v View) VerifyCRC() error {
	if got := crc32.Checksum(v[offAttributes:], castagnoli); got != v.CRC() {
		return corrupt("crc is %08x, its bytes give %08x", v.CRC(), got)
	}
	return nil
}

// UpdateCRC stores the CRC of the bytes as they are now.
func (v View) UpdateCRC() {
	binary.BigEndian.PutUint32(v[offCRC:], crc32.Checksum(v[offAttributes:], castagnoli))
}

// SetLogAppendTime makes ms the time of every record and stores a new CRC.
func (v View) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(v[offAttributes:], uint16(v.Attributes()|AttrLogAppendTime))
	binary.BigEndian.PutUint64(v[offMaxTimestamp:], uint64(ms))
	v.UpdateCRC()
}

// AddSequence adds delta ≥ 0 to a sequence number, wrapping from 2^31-1 to 0.
func AddSequence(seq, delta int32) int32 {
	if seq > math.MaxInt32-delta {
		return delta - (math.MaxInt32 - seq) - 1
	}
	return seq + delta
}

func (v View) setAttributes(a int16) { binary.BigEndian.PutUint16(v[offAttributes:], uint16(a)) }

func (v View) setMaxTimestamp(ms int64) { binary.BigEndian.PutUint64(v[offMaxTimestamp:], uint64(ms)) }
