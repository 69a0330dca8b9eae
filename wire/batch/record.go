package batch

import (
	"errors"
	"slices"
)

// Header is one record header. The key is never null; a nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record of a batch of any magic.
type Record struct {
	// Offset is absolute: the batch's base offset plus OffsetDelta.
	Offset int64
	// Timestamp in ms; the batch's maxTimestamp if that is log append time; -1 for none.
	Timestamp int64
	// Key and Value are nil for null.
	Key, Value []byte
	Headers    []Header
	// OffsetDelta is as stored (magic 2).
	OffsetDelta int32
	Attributes  int8
	// Size is what the record takes in the uncompressed batch, its length prefix included.
	Size int
}

// A magic-2 record, varints zigzag encoded:
//
//	length varint, attributes int8, timestampDelta varlong, offsetDelta varint,
//	keyLength varint (-1 null), key, valueLength varint (-1 null), value,
//	headerCount varint, { keyLength varint, key, valueLength varint (-1 null), value }
const minRecordBody = 6 // attributes, two deltas, two lengths, header count, one byte each

var (
	errRecordLength  = errors.New("length of a record does not fit its batch")
	errRecordField   = errors.New("a field of a record reaches past its end")
	errRecordLeft    = errors.New("a record has bytes left after its last header")
	errHeaderCount   = errors.New("header count of a record is out of range")
	errHeaderKey     = errors.New("header of a record has no key")
	errRecordsLeft   = errors.New("bytes are left after the last record")
	errRecordsAbsent = errors.New("fewer records than the count says")
)

// parse reads the first record of p, which holds uncompressed records, and returns what follows it. baseOffset,
// baseTimestamp are the batch's; all slices alias p except the header keys, which are made only if keepHeaders is set.
func (r *Record) parse(p []byte, baseOffset, baseTimestamp int64, keepHeaders bool) (rest []byte, err error) {
	length, n := varint(p)
	if n == 0 || length < minRecordBody || int(length) > len(p)-n {
		return nil, errRecordLength
	}
	r.Size = n + int(length)
	b := p[n:r.Size]
	rest = p[r.Size:]

	r.Attributes = int8(b[0])
	b = b[1:]
	ts, n := varlong(b)
	if n == 0 {
		return nil, errRecordField
	}
	b = b[n:]
	r.Timestamp = baseTimestamp + ts
	if r.OffsetDelta, n = varint(b); n == 0 {
		return nil, errRecordField
	}
	b = b[n:]
	r.Offset = baseOffset + int64(r.OffsetDelta)
	if r.Key, b, err = nullable(b); err != nil {
		return nil, err
	}
	if r.Value, b, err = nullable(b); err != nil {
		return nil, err
	}
	count, n := varint(b)
	if n == 0 {
		return nil, errRecordField
	}
	b = b[n:]
	if count < 0 || int(count) > len(b)/2 {
		return nil, errHeaderCount
	}
	r.Headers = r.Headers[:0]
	if count > 0 {
		if b, err = r.parseHeaders(b, int(count), keepHeaders); err != nil {
			return nil, err
		}
	}
	if len(b) != 0 {
		return nil, errRecordLeft
	}
	return rest, nil
}

func (r *Record) parseHeaders(b []byte, count int, keep bool) (rest []byte, err error) {
	if keep {
		r.Headers = slices.Grow(r.Headers, count)
	}
	for range count {
		var k, v []byte
		if k, b, err = nullable(b); err != nil {
			return nil, err
		}
		if k == nil {
			return nil, errHeaderKey
		}
		if v, b, err = nullable(b); err != nil {
			return nil, err
		}
		if keep {
			r.Headers = append(r.Headers, Header{Key: string(k), Value: v})
		}
	}
	return b, nil
}

// nullable reads a varint length and that many bytes; nil for length -1, never nil otherwise.
func nullable(p []byte) (field, rest []byte, err error) {
	length, n := varint(p)
	switch {
	case n == 0 || length < -1 || int(length) > len(p)-n:
		return nil, nil, errRecordField
	case length == -1:
		return nil, p[n:], nil
	}
	end := n + int(length)
	return p[n:end:end], p[end:], nil
}

// appendRecord writes a magic-2 record with deltas already worked out.
func appendRecord(dst []byte, tsDelta int64, offsetDelta int32, key, value []byte, headers []Header) []byte {
	size := 1 + varlongSize(tsDelta) + varlongSize(int64(offsetDelta)) + fieldSize(key == nil, len(key)) + fieldSize(value == nil, len(value)) +
		varlongSize(int64(len(headers)))
	for _, h := range headers {
		size += fieldSize(false, len(h.Key)) + fieldSize(h.Value == nil, len(h.Value))
	}
	dst = slices.Grow(dst, size+5)
	dst = appendVarint(dst, int32(size))
	dst = append(dst, 0) // attributes, unused
	dst = appendVarlong(dst, tsDelta)
	dst = appendVarint(dst, offsetDelta)
	dst = appendNullable(dst, key)
	dst = appendNullable(dst, value)
	dst = appendVarint(dst, int32(len(headers)))
	for _, h := range headers {
		dst = append(appendVarint(dst, int32(len(h.Key))), h.Key...)
		dst = appendNullable(dst, h.Value)
	}
	return dst
}

func fieldSize(null bool, n int) int {
	if null {
		return 1
	}
	return varlongSize(int64(n)) + n
}

func appendNullable(dst, p []byte) []byte {
	if p == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int32(len(p))), p...)
}
