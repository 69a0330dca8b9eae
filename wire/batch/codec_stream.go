package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"
)

var errTooLarge = errors.New("content is larger than allowed")

// readAllLimit appends what r gives to dst, growing it as data arrives. first is a guess of how much that is.
func readAllLimit(dst []byte, r io.Reader, first, limit int) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, min(max(first, 512), limit+1))
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(len(dst)-start+512, limit+1-(len(dst)-start)))
		}
		room := min(cap(dst)-len(dst), limit+1-(len(dst)-start))
		n, err := r.Read(dst[len(dst) : len(dst)+room])
		dst = dst[:len(dst)+n]
		if len(dst)-start > limit {
			return dst, errTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// gzip

type gzipReader struct {
	src bytes.Reader
	z   gzip.Reader
}

var (
	gzipReaders sync.Pool
	gzipWriters [11]sync.Pool // by level + 1: -1 default to 9
)

func gunzip(dst, src []byte, limit int) ([]byte, error) {
	g, _ := gzipReaders.Get().(*gzipReader)
	if g == nil {
		g = new(gzipReader)
	}
	defer gzipReaders.Put(g)
	defer g.src.Reset(nil)
	g.src.Reset(src)
	if err := g.z.Reset(&g.src); err != nil {
		return dst, err
	}
	return readAllLimit(dst, &g.z, 4*len(src), limit)
}

func gzipped(dst []byte, level int, src []byte) ([]byte, error) {
	if level < -1 || level > 9 {
		level = LevelDefault
	}
	pool := &gzipWriters[level+1]
	out := sliceWriter(dst)
	w, _ := pool.Get().(*gzip.Writer)
	if w == nil {
		w, _ = gzip.NewWriterLevel(&out, level) // the level is a valid one
	} else {
		w.Reset(&out)
	}
	defer pool.Put(w)
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	w.Reset(io.Discard)
	return out, nil
}

// lz4. Kafka writes LZ4 frames with independent blocks of 64 KiB. In magic-0 messages the header checksum of the
// frame is wrong: it covers the frame's magic number too (KIP-57).

type lz4Reader struct {
	src bytes.Reader
	z   *lz4.Reader
}

var (
	lz4Readers sync.Pool
	lz4Writers [10]sync.Pool // by lz4Level
)

func unlz4(dst, src []byte, limit int) ([]byte, error) {
	l, _ := lz4Readers.Get().(*lz4Reader)
	if l == nil {
		l = &lz4Reader{z: lz4.NewReader(nil)}
	}
	l.src.Reset(src)
	l.z.Reset(&l.src)
	out, err := readAllLimit(dst, l.z, 4*len(src), limit)
	l.src.Reset(nil)
	if err == nil { // a reader that failed may hold on to a block
		lz4Readers.Put(l)
	}
	return out, err
}

// lz4Level maps Kafka's level 1-17 (9 is its default, which is the fast compressor in lz4-java) to an index of
// levels that pierrec/lz4 has: 0 fast, 1-9 high compression.
func lz4Level(level int) int {
	if level <= 9 {
		return 0
	}
	return min(level-9, 9)
}

func lz4Frame(dst []byte, level int, src []byte) ([]byte, error) {
	index := lz4Level(level)
	pool := &lz4Writers[index]
	out := sliceWriter(dst)
	w, _ := pool.Get().(*lz4.Writer)
	if w == nil {
		w = lz4.NewWriter(&out)
		compression := lz4.Fast
		if index > 0 {
			compression = lz4.CompressionLevel(1 << (8 + index))
		}
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.CompressionLevelOption(compression)); err != nil {
			return nil, err
		}
	} else {
		w.Reset(&out)
	}
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if len(src) == 0 && len(out) == len(dst) { // the writer emits nothing at all for no data
		if err := w.Flush(); err != nil {
			return nil, err
		}
	}
	pool.Put(w)
	return out, nil
}

const (
	lz4Magic      = 0x184d2204
	lz4MinHeader  = 7 // magic, flags, block descriptor, checksum
	lz4FlagSize   = 0x08
	lz4FlagDictID = 0x01
)

// lz4HeaderSize is the length of a frame's header up to its checksum byte, 0 if src does not begin with one.
func lz4HeaderSize(src []byte) int {
	if len(src) < lz4MinHeader || binary.LittleEndian.Uint32(src) != lz4Magic {
		return 0
	}
	n := 6
	if src[4]&lz4FlagSize != 0 {
		n += 8
	}
	if src[4]&lz4FlagDictID != 0 {
		n += 4
	}
	if n >= len(src) {
		return 0
	}
	return n
}

// fixLZ4 returns src with the checksum that the format asks for in place of the one of magic-0 messages.
// Whatever stood there is not looked at, as in Kafka. A new slice is made only if the two differ.
func fixLZ4(src []byte) []byte {
	n := lz4HeaderSize(src)
	if n == 0 {
		return src
	}
	right := byte(xxh32(src[4:n]) >> 8)
	if src[n] == right {
		return src
	}
	out := slices.Clone(src)
	out[n] = right
	return out
}

// breakLZ4 stores the checksum that magic-0 readers expect, in place.
func breakLZ4(frame []byte) {
	if n := lz4HeaderSize(frame); n > 0 {
		frame[n] = byte(xxh32(frame[:n]) >> 8)
	}
}

// xxh32 is the 32-bit xxHash with seed 0; a frame header is at most 18 bytes, so speed does not matter.
func xxh32(p []byte) uint32 {
	const (
		p1 uint32 = 2654435761
		p2 uint32 = 2246822519
		p3 uint32 = 3266489917
		p4 uint32 = 668265263
		p5 uint32 = 374761393
	)
	rotl := func(x uint32, r uint) uint32 { return x<<r | x>>(32-r) }
	total := uint32(len(p))
	var h uint32
	if len(p) >= 16 {
		v1, v2, v3, v4 := p1, p2, uint32(0), p1
		v1 += p2
		v4 = -v4
		for len(p) >= 16 {
			v1 = rotl(v1+binary.LittleEndian.Uint32(p)*p2, 13) * p1
			v2 = rotl(v2+binary.LittleEndian.Uint32(p[4:])*p2, 13) * p1
			v3 = rotl(v3+binary.LittleEndian.Uint32(p[8:])*p2, 13) * p1
			v4 = rotl(v4+binary.LittleEndian.Uint32(p[12:])*p2, 13) * p1
			p = p[16:]
		}
		h = rotl(v1, 1) + rotl(v2, 7) + rotl(v3, 12) + rotl(v4, 18)
	} else {
		h = p5
	}
	h += total
	for len(p) >= 4 {
		h = rotl(h+binary.LittleEndian.Uint32(p)*p3, 17) * p4
		p = p[4:]
	}
	for _, b := range p {
		h = rotl(h+uint32(b)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
