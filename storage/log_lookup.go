package storage

import (
	"errors"
	"math"
	"slices"
	"time"

	"ottla/wire/batch"
)

// OffsetForTimestamp returns the first record at or after a timestamp with an offset below upTo: its offset and timestamp and the
// leader epoch of its batch, -1 if that has none. ok is false if there is none.
func (l *Log) OffsetForTimestamp(ts int64, upTo int64) (off, foundTs int64, epoch int32, ok bool, err error) {
	if err = l.usable(); err != nil {
		return -1, -1, -1, false, err
	}
	err = l.stable(func() error {
		off, foundTs, epoch, ok, err = l.offsetForTimestamp(ts)
		return err
	})
	if err != nil || !ok || off >= upTo {
		return -1, -1, -1, false, err
	}
	return off, foundTs, epoch, true, nil
}

func (l *Log) offsetForTimestamp(ts int64) (off, foundTs int64, epoch int32, ok bool, err error) {
	segs := l.segmentList()
	start := l.start.Load()
	for i := floorSegment(segs, start); i < len(segs); i++ {
		largest, err := segs[i].largestTimestamp(i < len(segs)-1)
		if err != nil {
			return 0, 0, 0, false, err
		}
		if largest < ts {
			continue
		}
		r, found, err := segs[i].recordAt(ts, start)
		if err != nil || found {
			return r.Offset, r.Timestamp, r.epoch, found, err
		}
	}
	return 0, 0, 0, false, nil
}

// foundRecord is a record that a search stopped at.
type foundRecord struct {
	Offset, Timestamp int64
	epoch             int32
}

// recordAt returns the segment's first record with an offset of at least from and a timestamp of at least ts.
func (s *segment) recordAt(ts, from int64) (found foundRecord, ok bool, err error) {
	if s.size.Load() == 0 {
		return found, false, nil // there may be no file yet
	}
	index, err := s.indexes()
	if err != nil {
		return found, false, err
	}
	before, err := index.offsetBefore(ts)
	if err != nil {
		return found, false, err
	}
	pos, err := index.position(max(before, from))
	if err != nil {
		return found, false, err
	}
	file, err := s.data.acquire(false)
	if err != nil {
		return found, false, err
	}
	defer file.release()
	sc := newScanner(file.f, s.size.Load(), &lookupBuffers)
	defer sc.close()
	for {
		b, ok, err := sc.header(pos)
		if err != nil || !ok {
			if err != nil {
				err = s.scanError(pos, err)
			}
			return found, false, err
		}
		if b.last >= from && b.maxTimestamp >= ts {
			p, err := sc.whole(&b)
			if err != nil {
				return found, false, s.scanError(pos, err)
			}
			found, ok, err = recordIn(p, &b, ts, from)
			if err != nil {
				return found, false, s.scanError(pos, err)
			}
			if ok {
				return found, true, nil
			}
		}
		pos = b.end()
	}
}

var errFound = errors.New("found")

// recordIn is recordAt within one batch. A batch whose checksum is right but whose records cannot be read is what a producer sent
// (compressed batches are stored unopened): it answers as a whole, and does not hide what comes after it.
func recordIn(p []byte, b *batchInfo, ts, from int64) (found foundRecord, ok bool, err error) {
	check := func(r *batch.Record) error {
		if r.Timestamp < ts || r.Offset < from {
			return nil
		}
		found = foundRecord{r.Offset, r.Timestamp, b.leaderEpoch}
		return errFound
	}
	if b.magic == 2 {
		err = batch.View(p).Walk(check)
	} else if m, _, legacyErr := batch.NextLegacy(p); legacyErr != nil {
		err = legacyErr
	} else {
		err = m.Walk(batch.DefaultDecompressLimit, check)
	}
	switch {
	case errors.Is(err, errFound):
		return found, true, nil
	case err != nil && b.magic == 2 && batch.View(p).VerifyCRC() == nil:
		return foundRecord{max(b.base, from), b.maxTimestamp, b.leaderEpoch}, true, nil
	}
	return found, false, err
}

// MaxTimestampOffset returns the first record with the log's largest timestamp; all are -1 if there is none.
func (l *Log) MaxTimestampOffset() (off, ts int64, epoch int32, err error) {
	if err = l.usable(); err != nil {
		return -1, -1, -1, err
	}
	err = l.stable(func() error {
		off, ts, epoch = -1, -1, -1
		segs := l.segmentList()
		best, bestTs := -1, int64(-1)
		for i := floorSegment(segs, l.start.Load()); i < len(segs); i++ {
			index, err := segs[i].indexes()
			if err != nil {
				return err
			}
			if t, _ := index.largest(); t > bestTs {
				best, bestTs = i, t
			}
		}
		if best < 0 {
			return nil
		}
		r, ok, err := segs[best].recordAt(bestTs, math.MinInt64)
		if err == nil && ok && r.Offset >= l.start.Load() {
			off, ts, epoch = r.Offset, r.Timestamp, r.epoch
		}
		return err
	})
	return off, ts, epoch, err
}

// Timestamps with a meaning of their own in ListOffsets.
const (
	latestTimestamp   = -1
	earliestTimestamp = -2
)

// LegacyOffsetsBefore answers ListOffsets version 0: up to limit start offsets of segments whose files were written before ts, newest first,
// all at most upTo; the log end stands in for what follows the last segment.
func (l *Log) LegacyOffsetsBefore(ts int64, limit int, upTo int64) []int64 {
	type at struct{ offset, timeMs int64 }
	var times []at
	segs := l.segmentList()
	end, activeSize := l.end.load(segs[len(segs)-1])
	for _, s := range segs {
		times = append(times, at{max(s.base, l.StartOffset()), s.modifiedMs.Load()})
	}
	if activeSize > 0 {
		times = append(times, at{min(end, upTo), time.Now().UnixMilli()})
	}
	from := -1
	switch ts {
	case latestTimestamp:
		from = len(times) - 1
	case earliestTimestamp:
		from = 0
	default:
		for i := len(times) - 1; i >= 0 && from < 0; i-- {
			if times[i].timeMs <= ts {
				from = i
			}
		}
	}
	out := []int64{}
	for i := from; i >= 0 && len(out) < limit; i-- {
		if off := times[i].offset; off <= upTo {
			out = append(out, off)
		}
	}
	slices.SortFunc(out, func(a, b int64) int { return int(min(max(b-a, -1), 1)) })
	return out
}

// AbortedTransactions lists the aborted transactions that a read_committed reader of [from, to) must know, by first offset. Without
// the list, the reader must not get the records.
func (l *Log) AbortedTransactions(from, to int64) ([]AbortedTxn, error) {
	var all []abortedTxn
	err := l.stable(func() (err error) {
		all, err = l.abortedIn(from, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]AbortedTxn, len(all))
	for i, a := range all {
		out[i] = AbortedTxn{a.producerID, a.firstOffset}
	}
	slices.SortFunc(out, func(a, b AbortedTxn) int { return int(min(max(a.FirstOffset-b.FirstOffset, -1), 1)) })
	return out, nil
}

// abortedIn lists the aborted transactions that have something in [from, to), by segment and marker.
func (l *Log) abortedIn(from, to int64) (all []abortedTxn, err error) {
	segs := l.segmentList()
	for i := floorSegment(segs, from); i < len(segs); i++ {
		list, err := segs[i].abortedTxns()
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if a.lastOffset >= from && a.firstOffset < to {
				all = append(all, a)
			}
			if a.lastStableOffset >= to {
				return all, nil
			}
		}
	}
	return all, nil
}
