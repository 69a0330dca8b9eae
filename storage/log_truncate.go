package storage

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage/vfs"
)

// TruncateTo drops everything from an offset on: what a follower does that diverged from its leader. An offset inside a batch drops the
// whole batch; the log then ends at or below the offset. Ranges handed out keep their bytes. Nothing happens if the log ends at or below the offset.
//
// The files are changed from the end backwards and synced before anything new is appended, so that after a crash no dropped
// record can stand behind a new one.
func (l *Log) TruncateTo(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("truncate %s to %d: %w", l.tp, offset, kerr.OffsetOutOfRange)
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if offset >= l.EndOffset() {
		return nil
	}
	defer l.truncateFuture(offset)()
	if offset < l.segmentList()[0].base {
		return l.truncateFully(offset)
	}
	segs := l.segmentList()
	return l.change(offset, segs[floorSegment(segs, offset)].base, func() error { return l.truncateLocked(offset) })
}

// TruncateFullyTo drops all records and makes offset the start and the end of the log.
func (l *Log) TruncateFullyTo(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("truncate %s to %d: %w", l.tp, offset, kerr.OffsetOutOfRange)
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	defer l.truncateFuture(min(offset, l.StartOffset()))()
	return l.truncateFully(offset)
}

// truncateFuture cuts the copy that is being made in another directory, if there is one, before the log is cut, so that it never holds anything else than
// the log does, also after a crash. No step of the copy begins until done is called. An error ends the move, and nothing else. The caller holds flushMu.
func (l *Log) truncateFuture(offset int64) (done func()) {
	f := l.future.Load()
	if f == nil {
		return func() {}
	}
	l.moveMu.Lock()
	if err := f.TruncateTo(offset); err != nil {
		l.logger().Error().Err(err).Str("to", f.Dir()).Msg("giving up the move of a log: the copy cannot be truncated")
		l.future.Store(nil)
		_ = f.discardDir() // an error has taken its directory offline; the next start compares the two
	}
	return l.moveMu.Unlock
}

func (l *Log) truncateFully(offset int64) error {
	return l.change(offset, offset, func() error { return l.startAnewLocked(offset) })
}

// change runs a truncation to an offset, after which the log ends at least at least: the recovery point on disk first, since recovery trusts what
// lies below it and new records will lie there soon; then the change itself, with lock-free readers told to look again. The caller
// holds flushMu: no flush may end meanwhile and promise what is no longer there.
func (l *Log) change(offset, least int64, truncate func() error) error {
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.dir().lowerRecoveryPoint(l, least); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.abortCleaningLocked()
	if l.dir().cleanedTo(l.tp) > least {
		if err := l.dir().setCleanedTo(l.tp, least); err != nil {
			return err
		}
	}
	l.generation.Add(1)
	defer l.generation.Add(1)
	start := l.start.Load()
	if err := truncate(); err != nil {
		return l.failed(fmt.Sprintf("truncate to %d", offset), err)
	}
	if l.start.Load() < start {
		return l.dir().checkpointStarts() // or a restart would hide what is appended below the old one
	}
	return nil
}

func (l *Log) truncateLocked(offset int64) error {
	segs := l.segmentList()
	keep := floorSegment(segs, offset) + 1
	// From the end: a crash must not leave a hole.
	if err := l.removeSegmentsLocked(segs[keep:]); err != nil {
		return err
	}
	seg := segs[keep-1]
	end, err := seg.truncate(offset)
	if err != nil {
		return err
	}
	l.setSegments(slices.Clone(segs[:keep]))
	l.recent.Load().reset()
	return l.endAtLocked(seg, end)
}

// removeSegmentsLocked unlinks segments at the end of the log, the last one first, and makes that durable.
func (l *Log) removeSegmentsLocked(segs []*segment) error {
	for _, s := range slices.Backward(segs) {
		if err := s.remove(); err != nil {
			return err
		}
	}
	if len(segs) == 0 {
		return nil
	}
	return l.fs().SyncDir(l.path())
}

// endAtLocked makes everything agree that the log ends at an offset, which is the end of seg.
func (l *Log) endAtLocked(seg *segment, end int64) error {
	l.end.publish(seg, seg.size.Load(), end)
	l.durable.Store(min(l.durable.Load(), end))
	l.recoveryPoint.Store(min(l.recoveryPoint.Load(), end))
	if l.start.Load() > end {
		l.start.Store(end)
	}
	l.clampHighWatermark()
	if l.epochs.truncateFromEnd(end) {
		if err := l.writeEpochsLocked(); err != nil {
			return err
		}
	}
	if err := l.dropSnapshotsLocked(func(off int64) bool { return off > end }); err != nil {
		return err
	}
	if err := l.reloadProducersLocked(end, true); err != nil {
		return err
	}
	l.noteUnstableLocked()
	return nil
}

// startAnewLocked replaces all segments by an empty one. The old ones go first, the last of them first: a crash leaves a shorter log or an empty
// directory, never the new segment behind a hole.
func (l *Log) startAnewLocked(offset int64) error {
	if err := l.removeSegmentsLocked(l.segmentList()); err != nil {
		return err
	}
	seg, err := l.createSegment(offset, l.cfg.Load())
	if err != nil {
		return err
	}
	l.setSegments([]*segment{seg})
	l.recent.Load().reset()
	l.start.Store(offset)
	l.epochs.set(nil)
	if err := l.writeEpochsLocked(); err != nil {
		return err
	}
	if err := l.dropSnapshotsLocked(func(int64) bool { return true }); err != nil {
		return err
	}
	l.producers = producerState{}
	l.end.publish(seg, 0, offset)
	l.durable.Store(offset)
	l.recoveryPoint.Store(offset)
	l.hwMu.Lock()
	l.hw.Store(offset)
	l.hwMu.Unlock()
	l.dir().hwChanged.Store(true)
	l.noteUnstableLocked()
	return nil
}

// truncate cuts a segment before the batch that holds offset and returns the offset where it ends now, which is what a restart would find: that
// after the last batch left, lower than the one asked for if that lies inside a batch or in a gap. The caller holds Log.mu, and
// generation is odd.
func (s *segment) truncate(offset int64) (end int64, err error) {
	if s.size.Load() == 0 {
		return s.base, nil // there may be no file yet
	}
	index, err := s.indexes()
	if err != nil {
		return 0, err
	}
	file, err := s.data.acquire(false)
	if err != nil {
		return 0, err
	}
	sc := newScanner(file.f, s.size.Load(), &lookupBuffers)
	defer sc.close()
	pos, err := index.position(offset - 1) // of a batch that stays
	end = s.base
	for err == nil {
		b, ok, scanErr := sc.header(pos)
		if scanErr != nil {
			err = s.scanError(pos, scanErr)
		}
		if err != nil || !ok || b.last >= offset {
			break
		}
		end, pos = b.next(), b.end()
	}
	file.release()
	if err != nil {
		return 0, err
	}
	if err := s.cutFile(pos); err != nil {
		return 0, err
	}
	if err := index.truncate(end); err != nil {
		return 0, err
	}
	if err := s.noteTimestampsAfter(index, pos); err != nil {
		return 0, err
	}
	s.sinceIndex = 0
	s.largestMs.Store(unknownTime)
	s.heldTimestamp.Store(-1)
	if pos == 0 {
		s.firstBatchMs = unknownTime
	}
	return end, s.truncateAborted(end)
}

func (s *segment) truncateAborted(end int64) error {
	list, err := s.abortedTxns()
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(list), func(a abortedTxn) bool { return a.lastOffset >= end })
	if len(kept) == len(list) {
		return nil
	}
	return s.setAborted(kept)
}

// cutFile makes the .log n bytes long, durably. If readers hold the file, they keep it, and a copy of what remains takes its place: their ranges must not
// turn into what is appended next.
func (s *segment) cutFile(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.data.ref.Swap(nil)
	if file != nil && !file.claim() {
		defer file.release()
		return s.copyFileLocked(file.f, n)
	}
	if file == nil {
		f, err := s.log.fs().OpenFile(s.data.pathLocked(), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		file = newFileRef(f, 0)
	}
	file.refs.Store(1)
	s.data.ref.Store(file)
	if err := file.f.Truncate(n); err != nil {
		return err
	}
	s.size.Store(n)
	return file.f.Sync()
}

// copyFileLocked puts a copy of the first n bytes in the place of the file.
func (s *segment) copyFileLocked(from vfs.File, n int64) error {
	path := s.data.pathLocked()
	tmp := path + cutSuffix
	to, err := s.log.fs().OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(io.NewOffsetWriter(to, 0), struct{ io.Reader }{io.NewSectionReader(from, 0, n)}, make([]byte, recoverBuffer))
	if err == nil {
		err = to.Sync()
	}
	if err == nil {
		err = s.log.fs().Rename(tmp, path)
	}
	if err == nil {
		err = s.log.fs().SyncDir(s.log.path())
	}
	if err != nil {
		to.Close()
		return err
	}
	s.data.ref.Store(newFileRef(to, 1))
	s.size.Store(n)
	return nil
}

// noteTimestampsAfter looks at the batches after the last time entry: the largest timestamp may be among them.
func (s *segment) noteTimestampsAfter(index *segmentIndex, end int64) error {
	_, after := index.largest()
	pos, err := index.position(after)
	if err != nil {
		return err
	}
	file, err := s.data.acquire(false)
	if err != nil {
		return err
	}
	defer file.release()
	sc := newScanner(file.f, end, &lookupBuffers)
	defer sc.close()
	for {
		b, ok, err := sc.header(pos)
		if err != nil {
			return s.scanError(pos, err)
		}
		if !ok {
			return nil
		}
		index.noteTimestamp(b.maxTimestamp, b.last)
		pos = b.end()
	}
}

// AdvanceStartOffset makes offset the first one that may be read: DeleteRecords, or a follower that heard of it. Segments below go with the
// next retention run. Errors: OFFSET_OUT_OF_RANGE above the high watermark, KAFKA_STORAGE_ERROR.
func (l *Log) AdvanceStartOffset(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if hw := l.hw.Load(); offset > hw {
		return fmt.Errorf("advance the start of %s to %d above the high watermark %d: %w", l.tp, offset, hw, kerr.OffsetOutOfRange)
	}
	return l.advanceStartLocked(offset)
}

func (l *Log) advanceStartLocked(offset int64) error {
	if offset <= l.start.Load() {
		return nil
	}
	l.start.Store(offset)
	l.dir().startChanged.Store(true)
	l.noteUnstableLocked()
	if l.epochs.truncateFromStart(offset) {
		return l.writeEpochsLocked()
	}
	return nil
}
