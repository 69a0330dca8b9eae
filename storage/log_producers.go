package storage

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// reloadProducersLocked rebuilds the producer state as of an offset: from the newest usable snapshot at or below it and the batches that follow. Without
// any snapshot it is read from the whole log if all is set, and is empty otherwise.
func (l *Log) reloadProducersLocked(end int64, all bool) error {
	from, found, err := l.loadSnapshotLocked(end)
	if err != nil {
		return err
	}
	if !found && !all {
		return nil
	}
	if !found {
		from = l.segmentList()[0].base
	}
	return l.replayLocked(from, end)
}

// loadSnapshotLocked takes over the newest usable snapshot at or below an offset. Damaged ones are removed.
func (l *Log) loadSnapshotLocked(end int64) (from int64, found bool, err error) {
	l.producers = producerState{verification: l.producers.verification}
	for _, off := range slices.Backward(slices.Clone(l.snapshots)) {
		if off > end {
			continue
		}
		path := join(l.path(), offsetName(off)+snapshotSuffix)
		data, err := vfs.ReadFile(l.fs(), path, maxSmallFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, false, err
		}
		var entries []snapshotEntry
		if err == nil {
			entries, err = decodeSnapshot(data)
		}
		if err == nil {
			l.producers.load(entries, l.expireBefore())
			return off, true, nil
		}
		l.logger().Warn().Err(err).Str("file", path).Msg("removing an unusable producer snapshot")
		if err := l.dropSnapshotsLocked(func(o int64) bool { return o == off }); err != nil {
			return 0, false, err
		}
	}
	return 0, false, nil
}

// expireBefore is the time in ms before which an idle producer is forgotten.
func (l *Log) expireBefore() int64 { return time.Now().UnixMilli() - l.m.cfg.ProducerIDExpirationMs }

// replayLocked applies the batches of [from, end) to the producer state.
func (l *Log) replayLocked(from, end int64) error {
	if from >= end {
		return nil
	}
	segs := l.segmentList()
	for i := floorSegment(segs, from); i < len(segs) && segs[i].base < end; i++ {
		err := segs[i].eachBatch(from, func(b *batchInfo, sc *scanner) error {
			if b.magic != 2 || b.base < from || b.base >= end {
				return nil
			}
			return l.replayBatchLocked(b, sc, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// replayBatchLocked applies one batch; aborted, if not nil, collects what .txnindex should say.
func (l *Log) replayBatchLocked(b *batchInfo, sc *scanner, aborted *[]abortedTxn) error {
	p, err := sc.bytes(b.pos, batch.HeaderSize)
	if err != nil {
		return &readError{err}
	}
	v := batch.View(p)
	if v.ProducerID() < 0 {
		return nil
	}
	var m marker
	if v.IsControl() {
		if p, err = sc.whole(b); err != nil {
			return err
		}
		v = batch.View(p)
		if m, err = parseMarker(v); err != nil {
			return err
		}
	}
	done, ended := l.producers.apply(v, m)
	if !ended {
		return nil
	}
	lso := l.producers.complete(done)
	if done.aborted && aborted != nil {
		*aborted = append(*aborted, abortedTxn{done.producerID, done.firstOffset, done.lastOffset, lso})
	}
	return nil
}

// eachBatch calls f with the batches of a segment from the one that holds offset from on.
func (s *segment) eachBatch(from int64, f func(*batchInfo, *scanner) error) error {
	if s.size.Load() == 0 {
		return nil
	}
	pos := int64(0)
	if from > s.base {
		index, err := s.indexes()
		if err != nil {
			return err
		}
		if pos, err = index.position(from); err != nil {
			return err
		}
	}
	file, err := s.data.acquire(false)
	if err != nil {
		return err
	}
	defer file.release()
	sc := newScanner(file.f, s.size.Load(), &lookupBuffers)
	defer sc.close()
	for {
		b, ok, err := sc.header(pos)
		if err != nil {
			return s.scanError(pos, err)
		}
		if !ok {
			return nil
		}
		if err := f(&b, &sc); err != nil {
			return s.scanError(pos, err)
		}
		pos = b.end()
	}
}

// expireProducers forgets idle producers.
func (l *Log) expireProducers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.expire(l.expireBefore())
}
