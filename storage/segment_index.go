package storage

import (
	"errors"
	"io/fs"
	"math"
	"sync"
)

// segmentIndex is the two indexes of a segment, loaded when they are used and forgotten when the segment is idle.
// Changes need Log.mu as well as mu.
type segmentIndex struct {
	seg     *segment
	mu      sync.Mutex // leaf
	offsets sparseIndex
	times   sparseIndex

	// The largest timestamp of the segment, and the last offset of the first batch that has it; -1 without timestamps.
	maxTimestamp       int64
	maxTimestampOffset int64
	lastTimestamp      int64 // of the last time entry, -1 none
}

func newSegmentIndex(s *segment) *segmentIndex {
	x := &segmentIndex{seg: s, maxTimestamp: -1, maxTimestampOffset: s.base, lastTimestamp: -1}
	x.offsets = sparseIndex{file: lazyFile{seg: s, suffix: indexSuffix}, entrySize: offsetEntrySize}
	x.times = sparseIndex{file: lazyFile{seg: s, suffix: timeIndexSuffix}, entrySize: timeEntrySize}
	return x
}

// load reads sizes and last entries from the files. Errors: a CorruptionError if the indexes must be rebuilt, which includes that one is
// missing beside a log with records.
func (x *segmentIndex) load() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, idx := range []*sparseIndex{&x.offsets, &x.times} {
		path := idx.file.path()
		st, err := x.seg.log.fs().Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			if x.seg.size.Load() == 0 {
				continue
			}
			return corruptFile(path, "it is missing")
		}
		if err != nil {
			return err
		}
		if idx.count, err = idx.checkSize(st.Size()); err != nil {
			return corruptFile(path, "%v", err)
		}
	}
	if err := x.checkLastOffsetLocked(); err != nil {
		return err
	}
	if err := x.checkLastTimeLocked(); err != nil {
		return err
	}
	if ts := x.seg.heldTimestamp.Load(); ts > x.maxTimestamp {
		x.maxTimestamp, x.maxTimestampOffset = ts, x.seg.heldTimestampOffset.Load()
	}
	return nil
}

// checkLastOffsetLocked looks at the last entry of .index. After a crash a preallocated file of Kafka's ends in zeros, which no true entry
// is: the first batch of a segment never gets one.
func (x *segmentIndex) checkLastOffsetLocked() error {
	n := x.offsets.lenLocked()
	if n == 0 {
		return nil
	}
	var buf [timeEntrySize]byte
	e, err := x.offsets.entryLocked(n-1, &buf)
	if err != nil {
		return err
	}
	if rel, pos := x.offsets.key(e), x.offsets.value(e); rel <= 0 || pos <= 0 || pos >= x.seg.size.Load() {
		return corruptFile(x.offsets.file.path(), "its last entry says offset %d at position %d of %d", x.seg.base+rel, pos, x.seg.size.Load())
	}
	return nil
}

func (x *segmentIndex) checkLastTimeLocked() error {
	n := x.times.lenLocked()
	if n == 0 {
		return nil
	}
	var buf [timeEntrySize]byte
	e, err := x.times.entryLocked(n-1, &buf)
	if err != nil {
		return err
	}
	ts, rel := x.times.key(e), x.times.value(e)
	bad := ts < 0 || rel < 0
	if n > 1 {
		prev, err := x.times.entryLocked(n-2, &buf)
		if err != nil {
			return err
		}
		bad = bad || x.times.key(prev) >= ts
	}
	if bad {
		return corruptFile(x.times.file.path(), "its last entry says timestamp %d at offset %d", ts, x.seg.base+rel)
	}
	x.maxTimestamp, x.maxTimestampOffset, x.lastTimestamp = ts, x.seg.base+rel, ts
	return nil
}

// noteTimestamp keeps the largest timestamp.
func (x *segmentIndex) noteTimestamp(ts, lastOffset int64) {
	if ts > x.maxTimestamp {
		x.mu.Lock()
		x.maxTimestamp, x.maxTimestampOffset = ts, lastOffset
		x.mu.Unlock()
	}
}

// add appends an entry to both indexes. The caller holds Log.mu.
func (x *segmentIndex) add(lastOffset, pos int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if pos > 0 && pos <= math.MaxInt32 {
		x.offsets.addLocked(lastOffset-x.seg.base, pos)
	}
	if err := x.addTimeLocked(); err != nil {
		return err
	}
	if x.offsets.tailFull() {
		return x.offsets.writeTailLocked()
	}
	return nil
}

// addTimeLocked appends a time entry if the largest timestamp grew since the last.
func (x *segmentIndex) addTimeLocked() error {
	if x.maxTimestamp <= x.lastTimestamp {
		return nil
	}
	x.lastTimestamp = x.maxTimestamp
	x.times.addLocked(x.maxTimestamp, x.maxTimestampOffset-x.seg.base)
	if x.times.tailFull() {
		return x.times.writeTailLocked()
	}
	return nil
}

// full says that an index has no room for another entry; the last slot of .timeindex is for the one added at the end.
func (x *segmentIndex) full(cfg *LogConfig) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.offsets.lenLocked() >= cfg.indexEntries(offsetEntrySize) || x.times.lenLocked() >= cfg.indexEntries(timeEntrySize)-1
}

// finish writes the final time entry and everything held back: the files are then as Kafka leaves them at a roll or a clean stop. It
// creates empty files where there are none.
func (x *segmentIndex) finish() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.addTimeLocked(); err != nil {
		return err
	}
	return x.writeLocked(true)
}

// write writes what is held back.
func (x *segmentIndex) write() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.writeLocked(false)
}

// writeAll is write before the index is dropped: files without entries are created, so that the next load does not miss them.
func (x *segmentIndex) writeAll() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.writeLocked(true)
}

func (x *segmentIndex) writeLocked(create bool) error {
	for _, idx := range []*sparseIndex{&x.offsets, &x.times} {
		if create && idx.count == 0 && len(idx.tail) == 0 {
			r, err := idx.file.acquire(true)
			if err != nil {
				return err
			}
			r.release()
		}
		if err := idx.writeTailLocked(); err != nil {
			return err
		}
	}
	return nil
}

func (x *segmentIndex) sync() error {
	return errors.Join(x.offsets.file.sync(), x.times.file.sync())
}

// position returns a place in the log at or before the batch that holds offset: the floor entry's, or 0.
func (x *segmentIndex) position(offset int64) (pos int64, err error) {
	return x.floorValue(&x.offsets, offset-x.seg.base, byKey)
}

// boundary returns the largest indexed position that is at most pos: the start of a batch, or 0.
func (x *segmentIndex) boundary(pos int64) (int64, error) {
	return x.floorValue(&x.offsets, pos, byValue)
}

func (x *segmentIndex) floorValue(idx *sparseIndex, target int64, col by) (int64, error) {
	x.mu.Lock()
	if len(idx.tail) > 0 && col(idx, idx.tail) <= target {
		_, v, _ := idx.search(idx.tail, target, col)
		x.mu.Unlock()
		return v, nil
	}
	count := idx.count
	x.mu.Unlock()
	_, v, ok, err := idx.floor(count, target, col)
	if err != nil || !ok {
		return 0, err
	}
	return v, nil
}

// offsetBefore returns the offset of the last time entry whose timestamp is below ts: all earlier batches are older too. It is the base offset if there
// is none.
func (x *segmentIndex) offsetBefore(ts int64) (int64, error) {
	if ts == math.MinInt64 {
		return x.seg.base, nil
	}
	rel, err := x.floorValue(&x.times, ts-1, byKey)
	return x.seg.base + rel, err
}

func (x *segmentIndex) largest() (timestamp, offset int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.maxTimestamp, x.maxTimestampOffset
}

// truncate drops what lies at or above an offset. maxTimestamp becomes that of the remaining entries; the caller looks at the batches after them.
func (x *segmentIndex) truncate(offset int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, err := x.offsets.countBelowLocked(offset-x.seg.base, byKey)
	if err != nil {
		return err
	}
	if err := x.offsets.truncateLocked(n); err != nil {
		return err
	}
	if n, err = x.times.countBelowLocked(offset-x.seg.base, byValue); err != nil {
		return err
	}
	if err := x.times.truncateLocked(n); err != nil {
		return err
	}
	x.maxTimestamp, x.maxTimestampOffset, x.lastTimestamp = -1, x.seg.base, -1
	return x.checkLastTimeLocked()
}

// clear empties both indexes, to build them anew.
func (x *segmentIndex) clear() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, idx := range []*sparseIndex{&x.offsets, &x.times} {
		idx.count = 1 // so that a file is truncated whatever its size is
		if err := idx.truncateLocked(0); err != nil {
			return err
		}
	}
	x.maxTimestamp, x.maxTimestampOffset, x.lastTimestamp = -1, x.seg.base, -1
	return nil
}

// closeIfIdleLocked closes idle files. The caller holds segment.mu.
func (x *segmentIndex) closeIfIdleLocked() {
	x.offsets.file.closeIfIdleLocked()
	x.times.file.closeIfIdleLocked()
}

func (x *segmentIndex) closeLocked() {
	x.offsets.file.closeLocked()
	x.times.file.closeLocked()
}

// hold leaves with the segment what only memory knows, before the index of an active segment is dropped.
func (x *segmentIndex) hold() {
	ts, off := x.largest()
	x.seg.heldTimestampOffset.Store(off)
	x.seg.heldTimestamp.Store(ts)
}
