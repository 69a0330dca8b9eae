package storage

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// recover reads the segments from the one that holds the recovery point to the end, checks every batch, and makes their indexes and the producer state
// anew (LogLoader.recoverLog). At the first batch that is not right the log ends: the rest of the segment and all later segments go.
//
// Beyond what Kafka does, a segment that begins after the end of its predecessor ends the log too, unless the topic is
// compacted: the predecessor lost its tail in the crash, and what follows a hole is not a prefix of what was written. So does a
// batch of an earlier leader epoch than the one before it: it was truncated and came back.
func (l *Log) recover(recoveryPoint int64) error {
	before := l.epochs.snapshot()
	if err := l.recoverSegments(recoveryPoint); err != nil {
		return err
	}
	if !slices.Equal(before, l.epochs.snapshot()) {
		return l.writeEpochsLocked()
	}
	return nil
}

func (l *Log) recoverSegments(recoveryPoint int64) error {
	segs := l.segmentList()
	first := floorSegment(segs, recoveryPoint)
	base := segs[first].base
	// Later snapshots may be of a state that was truncated or never reached the disk.
	if err := l.dropSnapshotsLocked(func(off int64) bool { return off > base }); err != nil {
		return err
	}
	if err := l.reloadProducersLocked(base, true); err != nil {
		return err
	}
	r := recovery{log: l, next: base, epoch: -1}
	for i := first; i < len(segs); i++ {
		s := segs[i]
		if i > first && s.base != r.next && (s.base < r.next || !l.cfg.Load().Compact) {
			l.logger().Warn().Int64("log_end_offset", r.next).Int64("segment", s.base).Int("segments", len(segs)-i).
				Msg("a segment does not continue the one before it: it is removed with all later ones")
			return l.recovered(segs[:i], segs[i:], r.next)
		}
		if i > first {
			if err := l.takeSnapshotLocked(s.base); err != nil {
				return err
			}
		}
		r.next = max(r.next, s.base)
		cut, err := r.segment(s)
		if err != nil {
			return err
		}
		if cut && i+1 < len(segs) {
			l.logger().Warn().Int64("log_end_offset", r.next).Int("segments", len(segs)-i-1).Msg("removing the segments after a damaged one")
			return l.recovered(segs[:i+1], segs[i+1:], r.next)
		}
	}
	return l.recovered(segs, nil, r.next)
}

// recovered ends a recovery: gone segments are removed, the log end is published.
func (l *Log) recovered(segs, gone []*segment, end int64) error {
	if err := l.removeSegmentsLocked(gone); err != nil {
		return err
	}
	l.setSegments(slices.Clone(segs))
	s := segs[len(segs)-1]
	l.end.publish(s, s.size.Load(), end)
	l.recoveryPoint.Store(min(l.recoveryPoint.Load(), end))
	l.durable.Store(min(l.recoveryPoint.Load(), end))
	l.unsyncedDir = true
	// Everything is open now; a broker with thousands of logs needs few of them soon.
	for _, s := range segs {
		if s != l.active() {
			s.dropIndexes()
		}
		s.closeFiles()
	}
	return l.takeSnapshotLocked(end)
}

// recovery walks segments in order.
type recovery struct {
	log   *Log
	next  int64 // the offset expected next
	epoch int32 // of the last batch
}

// segment recovers one segment; cut says that bytes were cut off.
func (r *recovery) segment(s *segment) (cut bool, err error) {
	if s.size.Load() == 0 {
		return false, s.removeIndexes()
	}
	file, err := s.data.acquire(false)
	if err != nil {
		return false, err
	}
	defer file.release()
	index := newSegmentIndex(s)
	if err := index.clear(); err != nil {
		return false, err
	}
	s.index.Store(index)
	sc := newScanner(file.f, s.size.Load(), &recoverBuffers)
	defer sc.close()
	interval := int64(r.log.cfg.Load().IndexIntervalBytes)
	since := int64(0)
	pos := int64(0)
	var aborted []abortedTxn
	var bad error
	for {
		b, ok, err := sc.header(pos)
		if err == nil && ok {
			err = r.batch(s, &b, &sc, &aborted)
		}
		var re *readError
		if errors.As(err, &re) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if err != nil {
			bad = err
			break
		}
		if !ok {
			break
		}
		if since, err = index.follow(&b, since, interval); err != nil {
			return false, err
		}
		pos = b.end()
	}
	if bad != nil {
		r.log.logger().Warn().AnErr("reason", bad).Int64("segment", s.base).Int64("position", pos).Int64("bytes_cut", s.size.Load()-pos).
			Int64("log_end_offset", r.next).Msg("cutting off the damaged end of a segment")
		if err := s.truncateRecovered(file, pos); err != nil {
			return false, err
		}
	}
	if err := index.finish(); err != nil {
		return false, err
	}
	return bad != nil, s.setAborted(aborted)
}

// removeIndexes unlinks what a crash may have left beside an empty .log.
func (s *segment) removeIndexes() error {
	for _, suffix := range []string{indexSuffix, timeIndexSuffix, txnIndexSuffix} {
		if err := ignoreNotExist(s.log.fs().Remove((&lazyFile{seg: s, suffix: suffix}).path())); err != nil {
			return err
		}
	}
	s.aborted.Store(&noneAborted)
	return nil
}

func (s *segment) truncateRecovered(file *fileRef, pos int64) error {
	if err := file.f.Truncate(pos); err != nil {
		return err
	}
	s.size.Store(pos)
	return file.f.Sync()
}

// batch checks one batch and takes note of it.
func (r *recovery) batch(s *segment, b *batchInfo, sc *scanner, aborted *[]abortedTxn) error {
	if b.base < r.next {
		return fmt.Errorf("offset %d, expected %d or more", b.base, r.next)
	}
	if b.last-s.base > math.MaxInt32 {
		return fmt.Errorf("offset %d is too far from the segment's base", b.last)
	}
	if b.leaderEpoch >= 0 && b.leaderEpoch < r.epoch {
		return fmt.Errorf("leader epoch %d after %d", b.leaderEpoch, r.epoch)
	}
	p, err := sc.whole(b)
	if err != nil {
		return err
	}
	if err := verify(b, p); err != nil {
		return err
	}
	if b.magic == 2 {
		if err := r.log.replayBatchLocked(b, sc, aborted); err != nil {
			return err
		}
	}
	if b.leaderEpoch >= 0 {
		r.epoch = b.leaderEpoch
		if b.leaderEpoch > r.log.epochs.latest() {
			r.log.epochs.assign(b.leaderEpoch, b.base)
		}
	}
	r.next = b.next()
	return nil
}
