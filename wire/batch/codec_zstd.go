package batch

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdMaxWindow accepts what level 22 of the reference implementation writes when it does not know the size.
const zstdMaxWindow = 128 << 20

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
	start := len(dst)
	dst, err = d.DecodeAll(src, dst)
	if err == nil && len(dst)-start > limit {
		err = errTooLarge
	}
	return dst, err
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
