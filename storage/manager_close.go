package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// fewFlushes is up to how many logs of a directory are synced one by one at a stop; more are synced with the whole volume.
const fewFlushes = 32

func (m *Manager) closeDirs(ctx context.Context) error {
	m.stop()
	m.tasks.Wait()
	m.cleaner.wait()
	m.mover.wait()
	var mu sync.Mutex
	var errs []error
	each(m.threads(len(m.dirs)), m.dirs, func(d *logDir) {
		failed := d.offline() != nil // reported when it failed
		if err := d.close(ctx); err != nil && !failed {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		}
	})
	m.wg.Wait()
	return errors.Join(errs...)
}

// close closes the directory's logs and marks it clean.
func (d *logDir) close(ctx context.Context) error {
	d.flusher.close()
	err := d.closeLogs(ctx)
	if err == nil {
		err = d.putCleanMarker()
	}
	var logs []*Log
	d.each(func(l *Log) { logs = append(logs, l) })
	for _, l := range logs {
		l.shut()
	}
	if err != nil {
		d.unlockKeepingFile()
		return fmt.Errorf("log directory %s was not closed cleanly: %w", d.path, err)
	}
	d.unlock()
	return nil
}

// closeLogs brings everything to disk: indexes, snapshots, records, then the checkpoints that rest on them.
func (d *logDir) closeLogs(ctx context.Context) error {
	if err := d.offline(); err != nil {
		return err
	}
	var dirty []*Log
	var mu sync.Mutex
	var errs []error
	var logs []*Log
	d.each(func(l *Log) { logs = append(logs, l) })
	each(d.m.threads(max(d.m.cfg.RecoveryThreadsPerDir, 2)), logs, func(l *Log) {
		if ctx.Err() != nil {
			return
		}
		needsSync, err := l.finish()
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, err)
		} else if needsSync {
			dirty = append(dirty, l)
		}
	})
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return err
	}
	if err := d.syncLogs(ctx, dirty); err != nil {
		return err
	}
	return errors.Join(d.checkpointHighWatermarks(), d.checkpointRecoveryPoints(), d.checkpointStarts())
}

func (d *logDir) syncLogs(ctx context.Context, dirty []*Log) error {
	if len(dirty) > fewFlushes {
		if err := d.m.cfg.FS.SyncAll(d.path); err != nil {
			return err
		}
		for _, l := range dirty {
			l.synced()
		}
		return nil
	}
	for _, l := range dirty {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// finish writes what a clean stop leaves, unsynced: complete indexes, and a producer snapshot at the log end.
func (l *Log) finish() (needsSync bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return false, err
	}
	if err := l.writePendingLocked(); err != nil {
		return false, err
	}
	s := l.active()
	defer s.closeFiles() // there may be more logs than descriptors
	if s.index.Load() != nil || s.unsyncedName || l.recoveryPoint.Load() < l.EndOffset() {
		index, err := s.indexes()
		if err == nil {
			err = index.finish()
		}
		if err == nil { // an empty log gets its files now, and the next start takes their names for durable
			err = s.touch()
			l.unsyncedDir = l.unsyncedDir || s.unsyncedName
		}
		if err != nil {
			return false, l.failed("finish the index of the active segment", err)
		}
	}
	if err := l.takeSnapshotLocked(l.EndOffset()); err != nil {
		return false, l.failed("write a producer snapshot", err)
	}
	needsSync = l.recoveryPoint.Load() < l.EndOffset() || s.unsyncedName || l.unsyncedDir || l.unsyncedName || l.unsyncedEpochs || l.unsyncedMeta
	return needsSync, nil
}

// synced notes that the whole volume was synced after finish; nothing is appended any more.
func (l *Log) synced() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recoveryPoint.Store(l.EndOffset())
	l.durable.Store(l.EndOffset())
}

// shut closes the log's files for good.
func (l *Log) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed.Store(true)
	l.generation.Add(2)
	for _, s := range l.segmentList() {
		s.close()
	}
}
