package storage

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Read returns batches from the one that holds offset on, as many as fit maxBytes, below the offset upTo (a high watermark, last
// stable offset or log end) and within one segment. Only whole batches are returned; with minOneBatch the first one is, even if it is larger than
// maxBytes. The range is nil if there is nothing to return.
//
// Errors: OFFSET_OUT_OF_RANGE for an offset outside [start, end], KAFKA_STORAGE_ERROR.
func (l *Log) Read(offset int64, maxBytes int, upTo int64, minOneBatch bool) (*Range, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	for {
		g := l.stableGeneration()
		r, err := l.readOnce(offset, maxBytes, upTo, minOneBatch)
		if l.generation.Load() != g {
			r.Release()
			continue
		}
		return r, l.readFailed(err)
	}
}

// stableGeneration begins a lock-free look at the log: what was seen counts if generation is still the same afterwards. It
// waits for a truncation under way.
func (l *Log) stableGeneration() uint32 {
	if g := l.generation.Load(); g&1 == 0 {
		return g
	}
	l.mu.Lock() // which the truncation holds
	defer l.mu.Unlock()
	return l.generation.Load()
}

// readFailed takes the directory offline for an error of reading that neither the arguments nor the contents explain.
func (l *Log) readFailed(err error) error {
	var code *kerr.Error
	if err == nil || errors.As(err, &code) {
		return err
	}
	return l.failed("read", err)
}

// stable runs a look at the log until no truncation interferes.
func (l *Log) stable(look func() error) error {
	for {
		g := l.stableGeneration()
		if err := look(); l.generation.Load() == g {
			return l.readFailed(err)
		}
	}
}

func (l *Log) readOnce(offset int64, maxBytes int, upTo int64, minOne bool) (*Range, error) {
	segs := l.segmentList()
	end, activeSize := l.end.load(segs[len(segs)-1])
	if start := l.start.Load(); offset < start || offset > end {
		return nil, fmt.Errorf("%s: offset %d is outside [%d, %d]: %w", l.tp, offset, start, end, kerr.OffsetOutOfRange)
	}
	upTo = min(upTo, end)
	if offset >= upTo {
		return nil, nil
	}
	for i := floorSegment(segs, offset); i < len(segs) && segs[i].base < upTo; i++ {
		seg, size := segs[i], activeSize
		segEnd := end
		if i < len(segs)-1 {
			size, segEnd = seg.size.Load(), segs[i+1].base
		}
		if size == 0 {
			continue // compaction may empty a segment
		}
		rd := segmentRead{l: l, seg: seg, size: size, segEnd: segEnd, offset: offset, upTo: upTo, maxBytes: maxBytes, minOne: minOne}
		r, past, err := rd.read()
		if err != nil || !past {
			return r, err
		}
	}
	return nil, nil
}

// segmentRead is one read of one segment.
type segmentRead struct {
	l        *Log
	seg      *segment
	size     int64 // of the segment
	segEnd   int64 // the offset after it
	offset   int64
	upTo     int64
	maxBytes int
	minOne   bool

	scan  scanner
	first batchInfo
}

// read returns the range; past says that all batches of the segment lie below the offset.
func (rd *segmentRead) read() (r *Range, past bool, err error) {
	file, err := rd.seg.data.acquire(false)
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if r == nil {
			file.release()
		}
	}()
	rd.scan = newScanner(file.f, rd.size, &lookupBuffers)
	defer rd.scan.close()

	start, known := rd.l.recent.Load().find(rd.seg, rd.offset)
	if !known {
		var ok bool
		if rd.first, ok, err = rd.find(rd.offset); err != nil || !ok {
			return nil, err == nil, err
		}
		if rd.first.base >= rd.upTo || rd.first.last >= rd.upTo {
			return nil, false, nil
		}
		start = rd.first.pos
	}
	limit, err := rd.limit()
	if err != nil || limit <= start {
		return nil, false, err
	}
	if limit-start <= int64(rd.maxBytes) {
		return newRange(file, start, int(limit-start), min(rd.upTo, rd.segEnd)), false, nil
	}
	end, next, err := rd.cut(start)
	if err != nil || end == start {
		return nil, false, err
	}
	return newRange(file, start, int(end-start), next), false, nil
}

// find returns the first batch whose last offset is at least offset.
func (rd *segmentRead) find(offset int64) (b batchInfo, ok bool, err error) {
	index, err := rd.seg.indexes()
	if err != nil {
		return b, false, err
	}
	pos, err := index.position(offset)
	if err != nil {
		return b, false, err
	}
	for fromIndex := pos > 0; ; fromIndex = false {
		b, ok, err = rd.scan.header(pos)
		if fromIndex && (err != nil || ok && (b.base < rd.seg.base || b.base > offset)) {
			// Whatever the entry points at is not the batch that it was made for.
			rd.l.logger().Warn().Int64("segment", rd.seg.base).Int64("offset", offset).Int64("position", pos).
				Msg("an index entry is wrong, searching the segment from its start")
			pos = 0
			continue
		}
		if err != nil {
			return b, false, rd.seg.scanError(pos, err)
		}
		if !ok || b.last >= offset {
			return b, ok, nil
		}
		pos = b.end()
	}
}

// limit is the position where the batches below upTo end.
func (rd *segmentRead) limit() (int64, error) {
	if rd.upTo >= rd.segEnd {
		return rd.size, nil
	}
	if pos, ok := rd.l.recent.Load().find(rd.seg, rd.upTo); ok {
		return pos, nil
	}
	b, ok, err := rd.find(rd.upTo)
	if err != nil {
		return 0, err
	}
	if !ok {
		return rd.size, nil
	}
	return b.pos, nil
}

// cut returns where the last batch ends that begins at or after start and fits maxBytes, and the offset after it.
func (rd *segmentRead) cut(start int64) (end, next int64, err error) {
	most := start + int64(rd.maxBytes)
	pos := start
	if rd.maxBytes > lookupBuffer {
		index, err := rd.seg.indexes()
		if err != nil {
			return 0, 0, err
		}
		if pos, err = index.boundary(most); err != nil {
			return 0, 0, err
		}
		pos = max(pos, start)
	}
	fromIndex := pos > start
	end, next = pos, rd.offset
	for {
		b, ok, err := rd.scan.header(pos)
		if fromIndex && (err != nil || ok && b.base < rd.offset) {
			pos, fromIndex = start, false
			end = start
			continue
		}
		if err != nil {
			return 0, 0, rd.seg.scanError(pos, err)
		}
		if !ok {
			return end, min(rd.upTo, rd.segEnd), nil
		}
		if b.end() > most && (pos > start || !rd.minOne) {
			if fromIndex {
				next = b.base // the batches before it were not looked at
			}
			return end, next, nil
		}
		fromIndex = false
		end, next, pos = b.end(), b.next(), b.end()
		if b.end() >= most {
			return end, next, nil
		}
	}
}
