package batch

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Downconvert turns what a log holds into message sets of magic 0 or 1, for Fetch below version 4. Offsets stay. Headers are
// lost, control batches left out, and messages already of toMagic or lower are copied. A compressed batch becomes a compressed
// message of the same codec. Records cut short at the end are left out.
//
// Errors: kerr.UnsupportedCompressionType for zstd, *CorruptError.
func Downconvert(records []byte, toMagic int8) ([]byte, error) {
	if toMagic != 0 && toMagic != 1 {
		return nil, fmt.Errorf("down-convert records to magic %d: %w", toMagic, kerr.InvalidRequest)
	}
	dst := make([]byte, 0, len(records)+len(records)/8)
	for len(records) > 0 {
		_, magic, err := PeekSize(records)
		if err == nil {
			if magic == 2 {
				dst, records, err = downconvertBatch(dst, records, toMagic)
			} else {
				dst, records, err = downconvertMessage(dst, records, toMagic)
			}
		}
		if errors.Is(err, ErrTruncated) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func downconvertBatch(dst, records []byte, toMagic int8) (out, rest []byte, err error) {
	v, rest, err := Next(records)
	if err != nil || v.IsControl() || v.Count() == 0 {
		return dst, rest, err
	}
	s := newSetWriter(dst, toMagic, v.Codec(), v.IsLogAppendTime(), v.BaseOffset())
	if v.Codec() == Zstd {
		return nil, nil, fmt.Errorf("down-conversion of zstandard-compressed batches is not supported: %w", kerr.UnsupportedCompressionType)
	}
	if err := v.walk(DefaultDecompressLimit, false, s.add); err != nil {
		return nil, nil, err
	}
	out, err = s.finish()
	return out, rest, err
}

func downconvertMessage(dst, records []byte, toMagic int8) (out, rest []byte, err error) {
	m, rest, err := NextLegacy(records)
	if err != nil {
		return dst, rest, err
	}
	if m.Magic() <= toMagic {
		return append(dst, m...), rest, nil
	}
	s := newSetWriter(dst, toMagic, m.Codec(), false, 0)
	if err := m.Walk(DefaultDecompressLimit, s.add); err != nil {
		return nil, nil, err
	}
	out, err = s.finish()
	return out, rest, err
}

// setWriter writes plain messages straight to dst, or collects them for a wrapper.
type setWriter struct {
	dst          []byte
	inner        []byte
	magic        int8
	codec        Codec
	attributes   int8
	baseOffset   int64
	lastOffset   int64
	maxTimestamp int64
	count        int
}

func newSetWriter(dst []byte, magic int8, codec Codec, logAppendTime bool, baseOffset int64) *setWriter {
	s := &setWriter{dst: dst, magic: magic, codec: codec, baseOffset: baseOffset, maxTimestamp: -1}
	if logAppendTime && magic == 1 {
		s.attributes = int8(AttrLogAppendTime)
	}
	return s
}

func (s *setWriter) add(r *Record) error {
	s.count++
	if s.codec == None {
		s.dst = appendLegacy(s.dst, s.magic, s.attributes, r.Offset, r.Timestamp, r.Key, r.Value)
		return nil
	}
	offset := r.Offset
	if s.magic == 1 {
		offset -= s.baseOffset
	}
	s.inner = appendLegacy(s.inner, s.magic, s.attributes, offset, r.Timestamp, r.Key, r.Value)
	s.lastOffset = r.Offset
	s.maxTimestamp = max(s.maxTimestamp, r.Timestamp)
	return nil
}

// finish returns dst with everything added in it.
func (s *setWriter) finish() ([]byte, error) {
	if s.codec == None || s.count == 0 {
		return s.dst, nil
	}
	value, err := Compress(s.codec, LevelDefault, s.inner)
	if err != nil {
		return nil, err
	}
	if s.codec == LZ4 && s.magic == 0 {
		breakLZ4(value)
	}
	return appendLegacy(s.dst, s.magic, s.attributes|int8(s.codec), s.lastOffset, s.maxTimestamp, nil, value), nil
}
