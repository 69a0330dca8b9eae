package storage

import (
	"time"

	"ottla/storage/vfs"
)

// Flush makes the whole log durable, with its indexes and producer snapshots, and advances the recovery point to the log end as it was
// when the call began.
func (l *Log) Flush() error { return l.flush(true) }

// commit makes the records durable, no more: what an acknowledgement needs with flush.messages=1. Recovery can make the rest again.
func (l *Log) commit() error { return l.flush(false) }

// toSync is what a flush has to do, as collected under Log.mu.
type toSync struct {
	end            int64
	segs           []*segment
	names, ownName bool
	files          []string
}

func (l *Log) flush(full bool) error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	l.commitQueued.Store(false)
	if full {
		l.flushQueued.Store(false)
	}
	if err := l.usable(); err != nil {
		l.mu.Unlock()
		return err
	}
	if full {
		if err := l.writePendingLocked(); err != nil {
			l.mu.Unlock()
			return err
		}
	}
	work := l.collectLocked(full)
	l.mu.Unlock()

	if err := l.sync(&work, full); err != nil {
		return l.failed("flush", err)
	}
	// No truncation can have come between: it needs flushMu.
	defer l.raiseDurable(work.end)()
	if full {
		l.recoveryPoint.Store(max(l.recoveryPoint.Load(), work.end))
		l.lastFlushMs.Store(time.Now().UnixMilli())
	}
	return nil
}

// collectLocked says what must be synced, and takes it off the list of what is not.
func (l *Log) collectLocked(full bool) toSync {
	w := toSync{end: l.EndOffset()}
	from := l.durable.Load()
	if full {
		from = min(from, l.recoveryPoint.Load())
	}
	segs := l.segmentList()
	if from < w.end {
		w.segs = segs[floorSegment(segs, from):]
	}
	for _, s := range w.segs {
		w.names = w.names || s.unsyncedName
		s.unsyncedName = false
	}
	if w.names || full {
		w.ownName = l.unsyncedName
		l.unsyncedName = false
	}
	if !full {
		return w
	}
	w.names = w.names || l.unsyncedDir
	for _, off := range l.unsyncedSnaps {
		w.files = append(w.files, offsetName(off)+snapshotSuffix)
	}
	if l.unsyncedEpochs {
		w.files = append(w.files, epochFileName)
	}
	if l.unsyncedMeta {
		w.files = append(w.files, partitionMetadataName)
	}
	l.unsyncedSnaps, l.unsyncedEpochs, l.unsyncedMeta, l.unsyncedDir = nil, false, false, false
	return w
}

// sync does it: contents before names, the log before its indexes.
func (l *Log) sync(w *toSync, full bool) error {
	for _, s := range w.segs {
		if err := s.data.sync(); err != nil {
			return err
		}
		if !full {
			continue
		}
		if err := s.syncIndexes(); err != nil {
			return err
		}
		if list := s.aborted.Load(); list != nil && len(*list) > 0 {
			if err := s.syncAborted(); err != nil {
				return err
			}
		}
	}
	for _, name := range w.files {
		if err := ignoreNotExist(vfs.SyncFile(l.fs(), join(l.path(), name))); err != nil {
			return err
		}
	}
	if w.names {
		if err := l.fs().SyncDir(l.path()); err != nil {
			return err
		}
	}
	if w.ownName {
		return l.fs().SyncDir(l.dir().path)
	}
	return nil
}

func (s *segment) syncAborted() error {
	return ignoreNotExist(vfs.SyncFile(s.log.fs(), (&lazyFile{seg: s, suffix: txnIndexSuffix}).path()))
}

// syncIndexes makes both indexes durable, as far as they were written or are in memory.
func (s *segment) syncIndexes() error {
	x := s.index.Load()
	if x == nil {
		x = newSegmentIndex(s) // only for its files
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			x.closeLocked()
		}()
	} else if err := x.write(); err != nil {
		return err
	}
	return x.sync()
}
