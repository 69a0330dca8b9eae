package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A message of magic 0 or 1 (org.apache.kafka.common.record.LegacyRecord), all integers big-endian:
//
//	 0  offset      int64   in a compressed set of magic 1: relative to the set's first message
//	 8  size        int32   bytes that follow this field
//	12  crc         uint32  CRC-32 (IEEE) of bytes 16 to the end
//	16  magic       int8
//	17  attributes  int8    0-2 codec, 3 log append time (magic 1)
//	18  timestamp   int64   ms, magic 1 only
//	..  key         int32 length (-1 null) and bytes
//	..  value       int32 length (-1 null) and bytes
//
// The value of a compressed message, the wrapper, is a message set. The wrapper's offset is that of the last message inside.
const (
	offLegacyCRC       = 12
	offLegacyAttrs     = 17
	offLegacyTimestamp = 18
	legacyOverhead0    = 12 + minLegacyOverhead     // size of an empty message of magic 0
	legacyOverhead1    = 12 + minLegacyOverhead + 8 // and of magic 1
)

// Legacy is one whole message of magic 0 or 1 whose lengths NextLegacy has checked.
type Legacy []byte

// NextLegacy splits the first message off records. Errors: ErrTruncated, *CorruptError. The CRC is not looked at.
func NextLegacy(records []byte) (m Legacy, rest []byte, err error) {
	size, magic, err := PeekSize(records)
	if err != nil {
		return nil, records, err
	}
	if magic != 0 && magic != 1 {
		return nil, records, corrupt("magic %d in a message set", magic)
	}
	if size > len(records) {
		return nil, records, ErrTruncated
	}
	m = Legacy(records[:size:size])
	if magic == 1 && size < legacyOverhead1 {
		return nil, records, corrupt("message of magic 1 has %d bytes", size)
	}
	if _, _, ok := m.fields(); !ok {
		return nil, records, corrupt("key or value of a message does not fit its size %d", size)
	}
	return m, records[size:], nil
}

func (m Legacy) fields() (key, value []byte, ok bool) {
	p := m[offLegacyTimestamp:]
	if m.Magic() == 1 {
		p = p[8:]
	}
	if key, p, ok = legacyField(p); !ok {
		return nil, nil, false
	}
	if value, p, ok = legacyField(p); !ok || len(p) != 0 {
		return nil, nil, false
	}
	return key, value, true
}

func legacyField(p []byte) (field, rest []byte, ok bool) {
	if len(p) < 4 {
		return nil, nil, false
	}
	n := int32(binary.BigEndian.Uint32(p))
	p = p[4:]
	if n < 0 {
		return nil, p, n == -1
	}
	if int(n) > len(p) {
		return nil, nil, false
	}
	return p[:n:n], p[n:], true
}

// Size is the whole size in bytes.
func (m Legacy) Size() int { return len(m) }

// Offset is the message's offset; that of the last message inside if it is compressed.
func (m Legacy) Offset() int64 { return int64(binary.BigEndian.Uint64(m)) }

// SetOffset assigns the offset, which lies outside the CRC.
func (m Legacy) SetOffset(off int64) { binary.BigEndian.PutUint64(m, uint64(off)) }

// Magic is 0 or 1.
func (m Legacy) Magic() int8 { return int8(m[offMagic]) }

// Attributes is the codec and, in magic 1, the timestamp type.
func (m Legacy) Attributes() int8 { return int8(m[offLegacyAttrs]) }

// Codec is the compression of the set inside, None for a plain message.
func (m Legacy) Codec() Codec { return Codec(m.Attributes() & int8(AttrCodecMask)) }

// IsLogAppendTime says that the timestamp is the broker's.
func (m Legacy) IsLogAppendTime() bool {
	return m.Magic() == 1 && m.Attributes()&int8(AttrLogAppendTime) != 0
}

// Timestamp in ms, the largest of the set if it is compressed; -1 in magic 0.
func (m Legacy) Timestamp() int64 {
	if m.Magic() == 0 {
		return -1
	}
	return int64(binary.BigEndian.Uint64(m[offLegacyTimestamp:]))
}

// VerifyCRC compares the stored CRC with the bytes.
func (m Legacy) VerifyCRC() error {
	want := binary.BigEndian.Uint32(m[offLegacyCRC:])
	if got := crc32.ChecksumIEEE(m[offMagic:]); got != want {
		return corrupt("crc of a message is %08x, its bytes give %08x", want, got)
	}
	return nil
}

// Walk calls f with the message or, if it is compressed, with each message inside, with absolute offsets. The Record is
// reused; its slices alias m or a buffer that is recycled: f keeps neither. The CRCs inside a compressed set
// are checked, as Kafka does; the outer one is the caller's.
//
// Errors: *CorruptError, errors that wrap kerr.InvalidRecord or kerr.UnsupportedCompressionType, f's own.
func (m Legacy) Walk(limit int, f func(*Record) error) error {
	r := recordPool.Get().(*Record)
	defer func() {
		*r = Record{Headers: r.Headers[:0]}
		recordPool.Put(r)
	}()
	r.Headers = r.Headers[:0]
	if m.Codec() == None {
		m.record(r)
		return f(r)
	}
	buf := getScratch()
	defer putScratch(buf)
	set, err := m.open((*buf)[:0], limit)
	if err != nil {
		return err
	}
	*buf = set

	// Magic 1 has offsets relative to the first message as written by the producer; the last of them belongs to the wrapper's offset.
	// Old producers left them all 0: such a set still gets its offsets from the wrapper, as in Kafka, where they coincide.
	var shift int64
	if m.Magic() == 1 {
		last, err := lastInnerOffset(set)
		if err != nil {
			return err
		}
		shift = m.Offset() - last
	}
	for len(set) > 0 {
		var inner Legacy
		if inner, set, err = nextInner(m, set); err != nil {
			return err
		}
		inner.record(r)
		r.Offset += shift
		if m.IsLogAppendTime() {
			r.Timestamp = m.Timestamp()
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func (m Legacy) record(r *Record) {
	key, value, _ := m.fields()
	r.Offset, r.Timestamp, r.Key, r.Value, r.Attributes, r.Size = m.Offset(), m.Timestamp(), key, value, m.Attributes(), len(m)
}

// open appends the message set inside to dst.
func (m Legacy) open(dst []byte, limit int) ([]byte, error) {
	_, value, _ := m.fields()
	switch {
	case value == nil:
		return nil, fmt.Errorf("%w: compressed message of magic %d has a null value", kerr.InvalidRecord, m.Magic())
	case m.Codec() == Zstd:
		return nil, fmt.Errorf("%w: zstd in a message of magic %d", kerr.UnsupportedCompressionType, m.Magic())
	case m.Codec() == LZ4 && m.Magic() == 0:
		value = fixLZ4(value)
	}
	set, err := appendDecompressed(dst, m.Codec(), value, limit)
	if err != nil {
		return nil, err
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%w: compressed message of magic %d is empty inside", kerr.InvalidRecord, m.Magic())
	}
	return set, nil
}

// nextInner reads one message of the set inside wrapper.
func nextInner(wrapper Legacy, set []byte) (inner Legacy, rest []byte, err error) {
	inner, rest, err = NextLegacy(set)
	if err != nil {
		return nil, nil, corrupt("inside a compressed message: %v", err)
	}
	if inner.Magic() != wrapper.Magic() {
		return nil, nil, fmt.Errorf("%w: message of magic %d inside one of magic %d", kerr.InvalidRecord, inner.Magic(), wrapper.Magic())
	}
	if inner.Codec() != None {
		return nil, nil, fmt.Errorf("%w: Compressed outer record should not have an inner record with a compression attribute set", kerr.InvalidRecord)
	}
	return inner, rest, inner.VerifyCRC()
}

func lastInnerOffset(set []byte) (last int64, err error) {
	for len(set) > 0 {
		var m Legacy
		if m, set, err = NextLegacy(set); err != nil {
			return 0, corrupt("inside a compressed message: %v", err)
		}
		last = m.Offset()
	}
	return last, nil
}

// appendLegacy writes a plain message.
func appendLegacy(dst []byte, magic int8, attributes int8, offset, timestamp int64, key, value []byte) []byte {
	start := len(dst)
	size := legacyOverhead0 + len(key) + len(value)
	if magic == 1 {
		size += 8
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(offset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(size-LogOverhead))
	dst = append(dst, 0, 0, 0, 0, byte(magic), byte(attributes))
	if magic == 1 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(timestamp))
	}
	dst = appendLegacyField(dst, key)
	dst = appendLegacyField(dst, value)
	m := Legacy(dst[start:])
	binary.BigEndian.PutUint32(m[offLegacyCRC:], crc32.ChecksumIEEE(m[offMagic:]))
	return dst
}

func appendLegacyField(dst, p []byte) []byte {
	if p == nil {
		return binary.BigEndian.AppendUint32(dst, math.MaxUint32)
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(p))), p...)
}
