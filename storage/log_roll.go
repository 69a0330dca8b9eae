package storage

import (
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// rollIfNeededLocked returns the segment that takes n more bytes with offsets first to last. The rules are those of LogSegment.shouldRoll: the
// segment would grow past segment.bytes, or it holds something and is older than segment.ms less its jitter, or an index
// is full, or the offset is too far from the base for an index entry.
func (l *Log) rollIfNeededLocked(n, first, last, maxTimestamp int64, cfg *LogConfig) (*segment, error) {
	seg := l.active()
	size := seg.size.Load()
	base := l.EndOffset()
	if last-seg.base > math.MaxInt32 {
		if last-base > math.MaxInt32 {
			base = first // a follower of a compacted log skips far ahead
		}
		return l.rollLocked(base, cfg)
	}
	if size == 0 {
		return seg, nil
	}
	if size+n > int64(cfg.SegmentBytes) {
		return l.rollLocked(base, cfg)
	}
	old, err := l.ageLocked(seg, maxTimestamp)
	if err != nil {
		return nil, l.failed("read the first batch of the active segment", err)
	}
	if old > cfg.maxSegmentMs()-seg.jitterMs {
		return l.rollLocked(base, cfg)
	}
	index, err := seg.indexes()
	if err != nil {
		return nil, l.failed("read the index", err)
	}
	if index.full(cfg) {
		return l.rollLocked(base, cfg)
	}
	return seg, nil
}

// ageLocked is by how much the timestamp of an append is later than the segment's first one; without timestamps the clock decides.
func (l *Log) ageLocked(seg *segment, maxTimestamp int64) (int64, error) {
	first, err := seg.firstTimestamp()
	if err != nil {
		return 0, err
	}
	if first >= 0 && maxTimestamp >= 0 {
		return maxTimestamp - first, nil
	}
	return time.Now().UnixMilli() - seg.createdMs, nil
}

// Roll seals the active segment, if it holds anything, and starts a new one.
func (l *Log) Roll() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if l.active().size.Load() == 0 {
		return nil
	}
	_, err := l.rollLocked(l.EndOffset(), l.cfg.Load())
	return err
}

// rollLocked seals the active segment and starts one at base. The sealed one is flushed in the background.
func (l *Log) rollLocked(base int64, cfg *LogConfig) (*segment, error) {
	old := l.active()
	if old.base == base {
		return nil, l.failed("roll", fmt.Errorf("the segment at %d exists", base))
	}
	index, err := old.indexes()
	if err == nil {
		err = index.finish()
	}
	if err != nil {
		return nil, l.failed("finish the index of the active segment", err)
	}
	if err := l.takeSnapshotLocked(base); err != nil {
		return nil, l.failed("write a producer snapshot", err)
	}
	seg, err := l.createSegment(base, cfg)
	if err != nil {
		return nil, l.failed("create a segment", err)
	}
	l.setSegments(append(slices.Clone(l.segmentList()), seg))
	l.end.publish(seg, 0, l.EndOffset())
	l.dir().flusher.flush(l)
	return seg, nil
}

// createSegment makes the .log of a new segment. What another run left under the name goes.
func (l *Log) createSegment(base int64, cfg *LogConfig) (*segment, error) {
	seg := l.futureSegment(base, cfg)
	f, err := l.fs().OpenFile(seg.data.path(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	seg.data.ref.Store(newFileRef(f, 1))
	if err := seg.removeIndexes(); err != nil {
		return nil, err
	}
	seg.index.Store(newSegmentIndex(seg))
	return seg, seg.preallocate(cfg)
}

// preallocate reserves room for a whole segment, without changing the file's size.
func (s *segment) preallocate(cfg *LogConfig) error {
	if !cfg.Preallocate {
		return nil
	}
	r, err := s.data.acquire(true)
	if err != nil {
		return err
	}
	defer r.release()
	return r.f.Preallocate(int64(cfg.SegmentBytes))
}

// takeSnapshotLocked writes the producer state as of an offset, which is the log end. It is synced with the segments.
func (l *Log) takeSnapshotLocked(offset int64) error {
	if offset == 0 || slices.Contains(l.snapshots, offset) {
		return nil
	}
	path := join(l.path(), offsetName(offset)+snapshotSuffix)
	if err := replaceFile(l.fs(), path, encodeSnapshot(l.producers.snapshot()), false); err != nil {
		return err
	}
	l.snapshots = append(l.snapshots, offset)
	slices.Sort(l.snapshots)
	l.unsyncedSnaps = append(l.unsyncedSnaps, offset)
	l.unsyncedDir = true
	return nil
}

// dropSnapshotsLocked removes the snapshots for which gone holds.
func (l *Log) dropSnapshotsLocked(gone func(offset int64) bool) error {
	for _, off := range l.snapshots {
		if gone(off) {
			if err := ignoreNotExist(l.fs().Remove(join(l.path(), offsetName(off)+snapshotSuffix))); err != nil {
				return err
			}
		}
	}
	l.snapshots = slices.DeleteFunc(l.snapshots, gone)
	l.unsyncedSnaps = slices.DeleteFunc(l.unsyncedSnaps, gone)
	return nil
}
