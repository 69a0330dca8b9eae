package batch

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// DefaultDecompressLimit is the most that a batch may hold uncompressed where the caller sets no limit. A batch of
// message.max.bytes = 1 MiB reaches it at a ratio of 256.
const DefaultDecompressLimit = 256 << 20

// freeDecompression is what Validate opens at once. A batch that holds more needs a slot and starts over, so that many connections together,
// with batches of any compressed size, cannot have more than one large one for each processor open.
const freeDecompression = 8 << 20

var bigDecompressions = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// maxScratch is the largest buffer that goes back to the pool.
const maxScratch = 1 << 20

var scratchPool = sync.Pool{New: func() any { return new([]byte) }}

func getScratch() *[]byte { return scratchPool.Get().(*[]byte) }

// putScratch gives back a buffer whose content nobody refers to any more.
func putScratch(p *[]byte) {
	if cap(*p) <= maxScratch {
		scratchPool.Put(p)
	}
}

// Decompress opens the payload of a batch into fresh memory. Errors: a *CorruptError, also if the content is larger
// than limit; kerr.UnsupportedCompressionType for an unknown codec.
func Decompress(codec Codec, src []byte, limit int) ([]byte, error) {
	return appendDecompressed(nil, codec, src, limit)
}

// appendDecompressed appends the content of src to dst, which it may grow by up to limit bytes.
func appendDecompressed(dst []byte, codec Codec, src []byte, limit int) (out []byte, err error) {
	switch codec {
	case None:
		if len(src) > limit {
			err = errTooLarge
			break
		}
		return append(dst, src...), nil
	case Gzip:
		out, err = gunzip(dst, src, limit)
	case Snappy:
		out, err = unsnappy(dst, src, limit)
	case LZ4:
		out, err = unlz4(dst, src, limit)
	case Zstd:
		out, err = unzstd(dst, src, limit)
	default:
		return nil, fmt.Errorf("decompress %v: %w", codec, kerr.UnsupportedCompressionType)
	}
	if err != nil {
		return nil, &CorruptError{Reason: fmt.Sprintf("%v: %v", codec, err), tooLarge: errors.Is(err, errTooLarge)}
	}
	return out, nil
}

// LevelDefault asks for a codec's own default level.
const LevelDefault = -1

// Compress makes the payload of a batch from its records. level is the codec's level in Kafka's terms
// (compression.gzip.level 1-9, lz4 1-17, zstd -131072 to 22) or LevelDefault; levels that the Go encoders do not
// have take the nearest one.
func Compress(codec Codec, level int, src []byte) ([]byte, error) {
	return appendCompressed(nil, codec, level, src)
}

func appendCompressed(dst []byte, codec Codec, level int, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return gzipped(dst, level, src)
	case Snappy:
		return xerial(dst, src), nil
	case LZ4:
		return lz4Frame(dst, level, src)
	case Zstd:
		return zstdFrame(dst, level, src)
	}
	return nil, fmt.Errorf("compress with %v: %w", codec, kerr.UnsupportedCompressionType)
}

// sliceWriter is an io.Writer that appends to a slice.
type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
