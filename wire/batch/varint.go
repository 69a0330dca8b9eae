package batch

import "math/bits"

// Varints of the record format are zigzag encoded, at most 5 bytes for int32 and 10 for int64.

// varint reads an int32. n is the number of bytes taken, 0 if p is cut short or the value does not fit.
func varint(p []byte) (v int32, n int) {
	if len(p) > 0 && p[0] < 0x80 { // one byte: by far the most frequent
		u := uint32(p[0])
		return int32(u>>1) ^ -int32(u&1), 1
	}
	var u uint32
	for i := 0; i < len(p) && i < 5; i++ {
		b := p[i]
		if i == 4 && b > 0x0f {
			return 0, 0
		}
		u |= uint32(b&0x7f) << (7 * i)
		if b < 0x80 {
			return int32(u>>1) ^ -int32(u&1), i + 1
		}
	}
	return 0, 0
}

// varlong reads an int64, as varint does.
func varlong(p []byte) (v int64, n int) {
	if len(p) > 0 && p[0] < 0x80 {
		u := uint64(p[0])
		return int64(u>>1) ^ -int64(u&1), 1
	}
	var u uint64
	for i := 0; i < len(p) && i < 10; i++ {
		b := p[i]
		if i == 9 && b > 1 {
			return 0, 0
		}
		u |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

func appendVarint(dst []byte, v int32) []byte { return appendVarlong(dst, int64(v)) }

func appendVarlong(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// varlongSize is the number of bytes that appendVarlong writes.
func varlongSize(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}
