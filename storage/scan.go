package storage

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"ottla/wire/batch"
)

// batchInfo is what the header of a batch in a segment says. Logs written before Kafka 3.0 may hold message sets of magic 0 and 1, of
// which a compressed one is a batch with unknown first offset.
type batchInfo struct {
	pos          int64
	size         int64
	base         int64 // of a compressed legacy message: its last offset
	last         int64
	maxTimestamp int64 // -1 none
	leaderEpoch  int32 // -1 none
	magic        int8
	control      bool
}

func (b *batchInfo) next() int64 { return b.last + 1 }
func (b *batchInfo) end() int64  { return b.pos + b.size }

// errTorn says that a segment ends inside a batch.
var errTorn = errors.New("the file ends inside a batch")

// parseInfo reads the header at the start of p, which is at pos of a file that ends at end.
func parseInfo(p []byte, pos, end int64) (batchInfo, error) {
	size, magic, err := batch.PeekSize(p)
	if err != nil {
		if errors.Is(err, batch.ErrTruncated) {
			err = errTorn
		}
		return batchInfo{}, err
	}
	b := batchInfo{pos: pos, size: int64(size), magic: magic, leaderEpoch: -1, maxTimestamp: -1}
	if b.end() > end {
		return batchInfo{}, errTorn
	}
	switch {
	case magic == 2 && size >= batch.HeaderSize && len(p) >= batch.HeaderSize:
		v := batch.View(p)
		b.base, b.last, b.maxTimestamp, b.leaderEpoch, b.control = v.BaseOffset(), v.LastOffset(), v.MaxTimestamp(), v.LeaderEpoch(), v.IsControl()
		if v.LastOffsetDelta() < 0 {
			return batchInfo{}, fmt.Errorf("last offset delta %d", v.LastOffsetDelta())
		}
	case magic == 0 || magic == 1 && size >= legacyTimestampEnd && len(p) >= legacyTimestampEnd:
		m := batch.Legacy(p)
		b.base, b.last = m.Offset(), m.Offset()
		if magic == 1 {
			b.maxTimestamp = m.Timestamp()
		}
	default:
		return batchInfo{}, fmt.Errorf("magic %d with %d bytes", magic, size)
	}
	if b.base < 0 || b.last < b.base {
		return batchInfo{}, fmt.Errorf("offsets %d to %d", b.base, b.last)
	}
	return b, nil
}

// legacyTimestampEnd is where the timestamp of a magic-1 message ends: offset, size, crc, magic, attributes, timestamp.
const legacyTimestampEnd = 26

const (
	lookupBuffer  = 4 << 10
	recoverBuffer = 1 << 20
)

var (
	lookupBuffers  = sync.Pool{New: func() any { p := make([]byte, lookupBuffer); return &p }}
	recoverBuffers = sync.Pool{New: func() any { p := make([]byte, recoverBuffer); return &p }}
)

// scanner reads a segment batch by batch, through a pooled buffer that close gives back.
type scanner struct {
	r    io.ReaderAt
	end  int64 // of the segment: bytes from here on do not exist
	pool *sync.Pool
	own  *[]byte // from the pool
	buf  []byte  // own, or a larger one for a batch that did not fit
	at   int64   // position of buf[0]
	n    int
}

func newScanner(r io.ReaderAt, end int64, pool *sync.Pool) scanner {
	own := pool.Get().(*[]byte)
	return scanner{r: r, end: end, pool: pool, own: own, buf: *own}
}

func (s *scanner) close() { s.pool.Put(s.own) }

// bytes returns n bytes at pos, fewer at the end of the segment.
func (s *scanner) bytes(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), s.end-pos))
	if n <= 0 {
		return nil, nil
	}
	if pos >= s.at && pos+int64(n) <= s.at+int64(s.n) {
		return s.buf[pos-s.at:][:n], nil
	}
	if n > len(s.buf) {
		s.buf = make([]byte, n)
	}
	want := int(min(int64(len(s.buf)), s.end-pos))
	got, err := s.r.ReadAt(s.buf[:want], pos)
	s.at, s.n = pos, got
	if got >= n {
		return s.buf[:n], nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the file is shorter than the log believes
	}
	return nil, err
}

// header returns the batch at pos; ok is false at the end of the segment. Errors are of two kinds: those of reading, wrapped in
// readError, and what is wrong with the bytes.
func (s *scanner) header(pos int64) (b batchInfo, ok bool, err error) {
	if pos >= s.end {
		return b, false, nil
	}
	p, err := s.bytes(pos, batch.HeaderSize)
	if err != nil {
		return b, false, &readError{err}
	}
	b, err = parseInfo(p, pos, s.end)
	return b, err == nil, err
}

// whole returns all bytes of a batch.
func (s *scanner) whole(b *batchInfo) ([]byte, error) {
	p, err := s.bytes(b.pos, int(b.size))
	if err != nil {
		return nil, &readError{err}
	}
	return p, nil
}

// readError is an error of reading a file, as against one of its contents.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// verify checks the CRC of a batch.
func verify(b *batchInfo, p []byte) error {
	if b.magic == 2 {
		return batch.View(p).VerifyCRC()
	}
	return batch.Legacy(p).VerifyCRC()
}
