package batch

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/klauspost/compress/snappy"
)

// Java clients frame snappy as the xerial library does: an 8-byte magic, two int32 versions, then blocks of at most
// 32 KiB, each with an int32 length. librdkafka and others send one raw block. Both are read; the framed form is written.
const (
	xerialMagic     = "\x82SNAPPY\x00"
	xerialHeader    = 16
	xerialBlockSize = 32 << 10
	// snappyMaxRatio is more than a snappy block can expand: its densest element is a copy of 64 bytes in 3.
	snappyMaxRatio = 32
)

var errSnappy = errors.New("block is cut short or declares an impossible size")

func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	start := len(dst)
	if len(src) < xerialHeader || string(src[:len(xerialMagic)]) != xerialMagic {
		return unsnappyBlock(dst, src, limit)
	}
	src = src[xerialHeader:]
	for len(src) > 0 {
		if len(src) < 4 {
			return dst, errSnappy
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(n) > uint64(len(src)) {
			return dst, errSnappy
		}
		// Concatenated streams repeat the header: its first 4 bytes as a length are beyond any block, so they end in errSnappy
		// above, as they do in Kafka.
		var err error
		if dst, err = unsnappyBlock(dst, src[:n], limit-(len(dst)-start)); err != nil {
			return dst, err
		}
		src = src[n:]
	}
	return dst, nil
}

func unsnappyBlock(dst, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	switch {
	case err != nil:
		return dst, err
	case n > limit:
		return dst, errTooLarge
	case n > len(block)*snappyMaxRatio:
		return dst, errSnappy
	}
	dst = slices.Grow(dst, n)
	got, err := snappy.Decode(dst[len(dst):len(dst)+n], block)
	if err != nil {
		return dst, err
	}
	return dst[:len(dst)+len(got)], nil
}

func xerial(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = binary.BigEndian.AppendUint32(dst, 1) // version
	dst = binary.BigEndian.AppendUint32(dst, 1) // lowest compatible version
	for len(src) > 0 {
		n := min(len(src), xerialBlockSize)
		most := snappy.MaxEncodedLen(n)
		dst = slices.Grow(dst, 4+most)
		at := len(dst)
		block := snappy.Encode(dst[at+4:at+4+most], src[:n])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(block)))
		dst = dst[:at+4+len(block)]
		src = src[n:]
	}
	return dst
}
