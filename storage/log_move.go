package storage

import (
	"errors"
	"io"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/wire/batch"
)

const (
	// moveChunk is how much of a log is copied at a time.
	moveChunk = 1 << 20
	// swapTail is how much may be copied while appends wait: the swap is put off if more was appended meanwhile.
	swapTail = 4 << 20
)

// errMoveOver says that the log is no longer being moved to where it was: it was deleted, or the move was given up.
var errMoveOver = errors.New("the move is over")

// copyChunk copies the next batches to the future log and returns the number of bytes; 0 means that it has caught up.
func (l *Log) copyChunk(f *Log, buf *[]byte) (n int, err error) {
	l.moveMu.Lock()
	defer l.moveMu.Unlock()
	return l.copyChunkLocked(f, buf, false)
}

// copyChunkLocked needs moveMu. With last, which needs mu too, the copy ends where the log does even if there are no batches up to there.
func (l *Log) copyChunkLocked(f *Log, buf *[]byte, last bool) (n int, err error) {
	if l.future.Load() != f {
		return 0, errMoveOver
	}
	for n == 0 && err == nil {
		start, end := l.StartOffset(), l.EndOffset()
		if f.EndOffset() < start || f.segmentList()[0].base > start {
			// What it holds is gone from the log, or what it lacks came back: a crash may set the start back.
			err = f.TruncateFullyTo(start)
			continue
		}
		if f.EndOffset() >= end {
			return 0, l.followStart(f)
		}
		var r *Range
		if r, err = l.Read(f.EndOffset(), l.m.mover.chunkBytes(), end, true); errors.Is(err, kerr.OffsetOutOfRange) {
			err = nil // the start moved
			continue
		}
		if err != nil {
			break
		}
		if r == nil && !last {
			break
		}
		if r == nil {
			err = f.skipTo(end) // compaction left nothing up to the end
			continue
		}
		*buf, err = readRange(r, *buf)
		r.Release()
		if err == nil {
			var info AppendInfo
			info, err = f.AppendCopied(*buf)
			n = info.Bytes
		}
	}
	if err == nil {
		err = l.followStart(f)
	}
	return n, err
}

func readRange(r *Range, buf []byte) ([]byte, error) {
	if cap(buf) < r.Len() {
		buf = make([]byte, r.Len())
	}
	buf = buf[:r.Len()]
	if n, err := r.ReadAt(buf, 0); n < len(buf) {
		return buf, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return buf, nil
}

// AppendCopied is AppendAsFollower for a log that may be empty because it begins anew where the log it copies does: the first batch may
// begin before that, since DeleteRecords may set the start inside a batch.
func (l *Log) AppendCopied(p []byte) (AppendInfo, error) {
	if v, _, err := batch.Next(p); err == nil && l.beginsInside(v) {
		if err := l.TruncateFullyTo(v.BaseOffset()); err != nil {
			return AppendInfo{}, err
		}
	}
	return l.AppendAsFollower(p)
}

// beginsInside says that the log is empty and would begin in the middle of a batch.
func (l *Log) beginsInside(v batch.View) bool {
	end := l.EndOffset()
	return l.StartOffset() == end && v.BaseOffset() < end && end <= v.LastOffset()
}

// followStart takes over high watermark and log start.
func (l *Log) followStart(f *Log) error {
	f.SetHighWatermark(l.HighWatermark())
	if start := l.StartOffset(); start > f.StartOffset() && start <= f.HighWatermark() {
		if err := f.AdvanceStartOffset(start); err != nil {
			return err
		}
		return f.retainBelowStart()
	}
	return nil
}

// skipTo makes the log end at an offset above its last batch.
func (l *Log) skipTo(offset int64) error {
	if l.EndOffset() == l.StartOffset() {
		return l.TruncateFullyTo(offset)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	seg, err := l.rollLocked(offset, l.cfg.Load())
	if err != nil {
		return err
	}
	l.end.publish(seg, 0, offset)
	return nil
}

// swap puts the future log in the place of the log, if no more than swapTail is missing of it; done is false otherwise. The Log stays, with other files:
// ranges handed out keep the old ones, readers look again, appends wait.
//
// On disk the copy is made durable first; then the old directory is renamed to be deleted, and when that is durable, the copy gets the log's name. A
// crash in between leaves a copy without a log, which the next start takes (settleFutures). Kafka renames the copy first, and a crash in
// between leaves two logs of one partition, of which somebody must delete one before it starts again.
func (l *Log) swap(f *Log, buf *[]byte) (done bool, err error) {
	if done, err = l.trySwap(f, buf); done {
		if tell := l.onDurable.Load(); tell != nil { // all of it is, now
			(*tell)()
		}
	}
	return done, err
}

func (l *Log) trySwap(f *Log, buf *[]byte) (done bool, err error) {
	if err := f.Flush(); err != nil { // most of it, while appends go on
		return false, err
	}
	if err := f.dir().checkpointRecoveryPoints(); err != nil {
		return false, err
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.moveMu.Lock()
	defer l.moveMu.Unlock()
	if l.future.Load() != f {
		return false, errMoveOver
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(l.usable(), f.usable()); err != nil {
		return false, err
	}
	for total := 0; f.EndOffset() < l.EndOffset(); {
		n, err := l.copyChunkLocked(f, buf, true)
		if total += n; err != nil || total > swapTail {
			return false, err
		}
	}
	if err := l.completeLocked(f); err != nil {
		return false, err
	}
	return true, l.takeOverLocked(f)
}

// completeLocked makes the future log durable, with all that the log knows beside its records.
func (l *Log) completeLocked(f *Log) error {
	if err := l.followStart(f); err != nil {
		return err
	}
	f.mu.Lock()
	f.epochs.set(l.epochs.snapshot())
	f.unwrittenEpoch = true
	if id := l.topicID.Load(); id != nil {
		f.topicID.Store(id)
		f.unwrittenMeta = true
	}
	f.mu.Unlock()
	if err := f.Flush(); err != nil {
		return err
	}
	if cleaned := l.dir().cleanedTo(l.tp); cleaned > 0 {
		if err := f.dir().setCleanedTo(l.tp, cleaned); err != nil {
			return err
		}
	}
	return f.dir().checkpointStarts()
}

// takeOverLocked is the swap itself. When the old directory has its new name, the log is in the new one, whatever fails then.
func (l *Log) takeOverLocked(f *Log) error {
	f.flushMu.Lock()
	defer f.flushMu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	from, to := l.dir(), f.dir()
	l.generation.Add(1)
	defer l.generation.Add(1)
	if _, err := l.m.trash(from, l.tp, l.path(), l.deleteDelay()); err != nil {
		return l.failed("rename the directory of a log that has moved", err)
	}
	if err := l.fs().SyncDir(from.path); err != nil {
		return l.failed("rename the directory of a log that has moved", err)
	}
	name := join(to.path, l.tp.String())
	err := l.fs().Rename(f.path(), name)
	if err == nil {
		err = l.fs().SyncDir(to.path)
	}
	l.adoptLocked(f, name)
	if err != nil {
		return l.failed("rename the future log of a log that has moved", err)
	}
	l.logger().Info().Str("from", from.path).Msg("moved a log")
	from.leave(l.tp)
	if err := from.setCleanedTo(l.tp, -1); err != nil {
		from.m.log.Warn().Err(err).Stringer("partition", l.tp).Msg("a log has moved, and its former directory failed")
	}
	return nil
}

// adoptLocked makes the files of f those of l. Needs mu of both, and generation odd.
func (l *Log) adoptLocked(f *Log, path string) {
	from, to := l.dir(), f.dir()
	old, segs := l.segmentList(), f.segmentList()
	f.closed.Store(true)
	for _, s := range segs {
		s.mu.Lock()
		s.log = l
		s.mu.Unlock()
	}
	l.where.Store(&path)
	from.ckptMu.Lock() // the old directory's checkpoint is not written meanwhile
	l.home.Store(to)
	l.writtenPoint.Store(f.writtenPoint.Load())
	from.ckptMu.Unlock()
	l.future.Store(nil) // after home: see logDir.each
	l.setSegments(segs)
	l.end.publish(segs[len(segs)-1], segs[len(segs)-1].size.Load(), l.EndOffset())
	l.recent.Load().reset()
	l.abortCleaningLocked()
	for _, s := range old {
		s.close()
	}
	l.recoveryPoint.Store(f.recoveryPoint.Load())
	l.durable.Store(f.durable.Load())
	l.snapshots, l.unsyncedSnaps = f.snapshots, f.unsyncedSnaps
	l.unsyncedEpochs, l.unsyncedMeta, l.unwrittenMeta, l.unwrittenEpoch = f.unsyncedEpochs, f.unsyncedMeta, f.unwrittenMeta, f.unwrittenEpoch
	l.unsyncedName, l.unsyncedDir = f.unsyncedName, f.unsyncedDir
	from.logCount.Add(-1)
	from.hwChanged.Store(true)
	to.hwChanged.Store(true)
	from.startChanged.Store(true)
	to.startChanged.Store(true)
}
