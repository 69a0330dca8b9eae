package batch

import (
	"fmt"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdMaxWindow costs nothing by itself: DecodeAll uses its output as the window.
	zstdMaxWindow = 2 * DefaultDecompressLimit
	// A frame may declare its content's size, for which DecodeAll allocates before it has seen any of it. Above zstdTrusted and this ratio to
	// the compressed size the declaration is taken out, and memory grows with the content.
	zstdTrusted      = 1 << 20
	zstdTrustedRatio = 16
)

// zstdDecoder is shared: DecodeAll is safe for concurrent use and works without goroutines.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(DefaultDecompressLimit),
		zstd.WithDecoderMaxWindow(zstdMaxWindow))
})

func unzstd(dst, src []byte, limit int) ([]byte, error) {
	d, err := zstdDecoder()
	if err != nil {
		return dst, err
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return dst, err
	}
	if h.HasFCS && h.FrameContentSize > uint64(max(limit, 0)) {
		return dst, errTooLarge
	}
	if h.HasFCS && h.FrameContentSize > zstdTrusted && h.FrameContentSize > zstdTrustedRatio*uint64(len(src)) {
		src = withoutContentSize(src, &h)
	}
	start := len(dst)
	dst, err = d.DecodeAll(src, dst)
	if err == nil && len(dst)-start > limit {
		err = errTooLarge
	}
	return dst, err
}

// withoutContentSize returns a copy of a frame whose header (RFC 8878, 3.1.1.1) does not declare the content's size. If the size stood for the
// window too (single segment), a window that holds it takes its place.
func withoutContentSize(src []byte, h *zstd.Header) []byte {
	const (
		magicSize     = 4
		contentFlags  = 0xc0
		singleSegment = 0x20
		dictFlags     = 0x03
	)
	descriptor := src[magicSize]
	contentSize := [4]int{0, 2, 4, 8}[descriptor>>6]
	if contentSize == 0 && h.SingleSegment {
		contentSize = 1
	}
	out := make([]byte, 0, len(src)+1)
	out = append(out, src[:magicSize]...)
	out = append(out, descriptor&^(contentFlags|singleSegment))
	rest := src[magicSize+1:]
	if h.SingleSegment {
		exponent := max(bits.Len64(h.FrameContentSize), 10) // windows are powers of two from 2^10 on
		out = append(out, byte(exponent-10)<<3)
	} else {
		out = append(out, rest[0])
		rest = rest[1:]
	}
	dict := [4]int{0, 1, 2, 4}[descriptor&dictFlags]
	out = append(out, rest[:dict]...)
	return append(out, rest[dict+contentSize:]...)
}

// zstdEncoders holds one encoder for each of the four levels of klauspost/compress; EncodeAll is safe for concurrent use.
var (
	zstdEncodersMu sync.Mutex
	zstdEncoders   = map[zstd.EncoderLevel]*zstd.Encoder{}
)

func zstdFrame(dst []byte, level int, src []byte) ([]byte, error) {
	l := zstd.SpeedDefault
	if level != LevelDefault && level != 0 {
		l = zstd.EncoderLevelFromZstd(level)
	}
	zstdEncodersMu.Lock()
	e := zstdEncoders[l]
	if e == nil {
		var err error
		if e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(l), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true)); err != nil {
			zstdEncodersMu.Unlock()
			return nil, fmt.Errorf("zstd encoder of level %v: %w", l, err)
		}
		zstdEncoders[l] = e
	}
	zstdEncodersMu.Unlock()
	return e.EncodeAll(src, dst), nil
}
