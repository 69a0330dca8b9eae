package behaviour

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
)

// baseTime is the timestamp of the first record of a case, fixed so that stored bytes are the same in each run.
const baseTime int64 = 1_600_000_000_000

// customProducerID and above are producer ids that cases choose; brokers hand out small ones.
const customProducerID int64 = 1 << 40

// rec is a record; a nil key or value is null.
type rec struct {
	key, value []byte
	ts         int64 // after baseTime
	headers    []string
}

// kv are records with the keys k0, k1, ... and these values, one millisecond apart.
func kv(values ...string) []rec {
	recs := make([]rec, len(values))
	for i, v := range values {
		recs[i] = rec{key: fmt.Appendf(nil, "k%d", i), value: []byte(v), ts: int64(i)}
	}
	return recs
}

// batch says how a batch of magic 2 is made; the zero value is a plain one.
type batch struct {
	base       int64
	codec      int16
	attributes int16 // besides the codec
	idempotent bool  // with the next three
	pid        int64
	epoch      int16
	seq        int32
	timeless   bool                // timestamps -1
	shift      int64               // of all timestamps
	raw        []byte              // in place of the encoded records
	edit       func(header []byte) // of the 61 bytes and what follows, before the CRC
	damage     func(b []byte)      // of the whole, after the CRC
}

func (o batch) build(recs ...rec) []byte {
	var body []byte
	first, last := baseTime+o.shift, baseTime+o.shift
	if len(recs) > 0 {
		first += recs[0].ts
	}
	for i, r := range recs {
		last = max(last, baseTime+o.shift+r.ts)
		body = appendRecord(body, int64(i), baseTime+o.shift+r.ts-first, r)
	}
	if o.timeless {
		first, last = -1, -1
	}
	if o.raw != nil {
		body = o.raw
	}
	body = compress(o.codec, body)
	pid, epoch, seq := int64(-1), int16(-1), int32(-1)
	if o.idempotent {
		pid, epoch, seq = o.pid, o.epoch, o.seq
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(o.base))
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(body)))
	b = binary.BigEndian.AppendUint32(b, 0xffffffff) // leader epoch
	b = append(b, 2, 0, 0, 0, 0)                     // magic, CRC
	b = binary.BigEndian.AppendUint16(b, uint16(o.attributes|o.codec))
	b = binary.BigEndian.AppendUint32(b, uint32(len(recs)-1))
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	b = binary.BigEndian.AppendUint64(b, uint64(last))
	b = binary.BigEndian.AppendUint64(b, uint64(pid))
	b = binary.BigEndian.AppendUint16(b, uint16(epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(seq))
	b = binary.BigEndian.AppendUint32(b, uint32(len(recs)))
	b = append(b, body...)
	if o.edit != nil {
		o.edit(b)
	}
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	if o.damage != nil {
		o.damage(b)
	}
	return b
}

func appendRecord(b []byte, offsetDelta, timeDelta int64, r rec) []byte {
	body := []byte{0}
	body = binary.AppendVarint(body, timeDelta)
	body = binary.AppendVarint(body, offsetDelta)
	body = appendVarBytes(body, r.key)
	body = appendVarBytes(body, r.value)
	body = binary.AppendVarint(body, int64(len(r.headers)/2))
	for _, h := range r.headers {
		body = appendVarBytes(body, []byte(h))
	}
	return append(binary.AppendVarint(b, int64(len(body))), body...)
}

func appendVarBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

// compress with the codec of attributes: 1 gzip, 2 snappy, 3 lz4, 4 zstd. Others are left as they are.
func compress(codec int16, b []byte) []byte {
	var c kgo.CompressionCodec
	switch codec {
	case 1:
		c = kgo.GzipCompression()
	case 2:
		c = kgo.SnappyCompression()
	case 3:
		c = kgo.Lz4Compression()
	case 4:
		c = kgo.ZstdCompression()
	default:
		return b
	}
	z, err := kgo.DefaultCompressor(c)
	if err != nil {
		panic(err) // only for a codec that kgo does not know
	}
	out, _ := z.Compress(new(bytes.Buffer), b)
	return bytes.Clone(out)
}

// message is a message of magic 0 or 1 at an offset of its message set.
func message(magic, attributes int8, offset int64, ts int64, key, value []byte) []byte {
	b := []byte{0, 0, 0, 0, byte(magic), byte(attributes)}
	if magic == 1 {
		b = binary.BigEndian.AppendUint64(b, uint64(ts))
	}
	b = appendBytes32(b, key)
	b = appendBytes32(b, value)
	binary.BigEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	out := binary.BigEndian.AppendUint64(nil, uint64(offset))
	return append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
}

func appendBytes32(b, v []byte) []byte {
	if v == nil {
		return binary.BigEndian.AppendUint32(b, 0xffffffff)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

// messageSet is a set of magic 0 or 1 with inner offsets from 0; with a codec, wrapped in one message.
func messageSet(magic, codec int8, recs ...rec) []byte {
	var set []byte
	last := int64(-1)
	for i, r := range recs {
		last = max(last, baseTime+r.ts)
		set = append(set, message(magic, 0, int64(i), baseTime+r.ts, r.key, r.value)...)
	}
	if codec == 0 {
		return set
	}
	return message(magic, codec, int64(len(recs)-1), last, nil, compress(int16(codec), set))
}

// recordsFor are records in the newest format that a Produce or Fetch version carries.
func recordsFor(version int16, recs ...rec) []byte {
	switch {
	case version < 2:
		return messageSet(0, 0, recs...)
	case version < 3:
		return messageSet(1, 0, recs...)
	}
	return batch{}.build(recs...)
}
