package storage

import (
	"context"
	"time"
)

// idleSweepInterval is how often files and indexes that nobody used are closed, and producerExpiryInterval how often producers are
// looked at (producer.id.expiration.check.interval.ms).
const (
	idleSweepInterval      = 30 * time.Second
	producerExpiryInterval = 10 * time.Minute
)

// startTasks starts the background work.
func (m *Manager) startTasks() {
	ms := func(n int64) time.Duration { return time.Duration(min(n, int64(1)<<42)) * time.Millisecond }
	initial := ms(m.cfg.InitialTaskDelayMs)
	m.every(initial, ms(m.cfg.RetentionCheckMs), m.Retain)
	m.every(ms(m.cfg.FlushSchedulerMs), ms(m.cfg.FlushSchedulerMs), m.flushOld)
	m.every(ms(m.cfg.FlushCheckpointMs), ms(m.cfg.FlushCheckpointMs), func() {
		for _, d := range m.onlineDirs() {
			// An error takes the directory offline and is logged there.
			_ = d.syncRecovered()
			_ = d.checkpointRecoveryPoints()
		}
	})
	m.every(ms(m.cfg.StartOffsetCheckpointMs), ms(m.cfg.StartOffsetCheckpointMs), func() {
		for _, d := range m.onlineDirs() {
			if d.startChanged.Load() {
				_ = d.checkpointStarts()
			}
		}
	})
	m.every(ms(m.cfg.HWCheckpointMs), ms(m.cfg.HWCheckpointMs), func() {
		for _, d := range m.onlineDirs() {
			if d.hwChanged.Load() {
				_ = d.checkpointHighWatermarks()
			}
		}
	})
	m.every(idleSweepInterval, idleSweepInterval, m.closeIdle)
	m.every(producerExpiryInterval, producerExpiryInterval, func() { m.logs.each((*Log).expireProducers) })
	m.tasks.Go(func() { m.remover.run(m.ctx) })
}

// every runs f again and again until the manager stops.
func (m *Manager) every(first, period time.Duration, f func()) {
	m.tasks.Go(func() {
		timer := time.NewTimer(first)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				f()
				timer.Reset(period)
			case <-m.ctx.Done():
				return
			}
		}
	})
}

// flushOld flushes the logs that have unflushed records for longer than flush.ms.
func (m *Manager) flushOld() {
	now := time.Now().UnixMilli()
	m.logs.each(func(l *Log) {
		if limit := l.cfg.Load().FlushMs; l.recoveryPoint.Load() < l.EndOffset() && now-l.lastFlushMs.Load() >= limit {
			l.dir().flusher.flush(l)
		}
	})
}

// closeIdle closes what no reader or writer used since the last call: files, indexes, the memory of recent batches.
func (m *Manager) closeIdle() {
	m.logs.each(func(l *Log) {
		for _, x := range []*Log{l, l.future.Load()} {
			if x == nil || x.closed.Load() || x.dir().offline() != nil {
				continue
			}
			if err := x.closeIdle(); err != nil {
				x.logger().Error().Err(err).Msg("cannot write the index of an idle segment")
			}
		}
	})
}

func (l *Log) closeIdle() error {
	if !l.mu.TryLock() {
		return nil // in use
	}
	defer l.mu.Unlock()
	segs := l.segmentList()
	for i, s := range segs {
		if s.data.ref.Load() == nil && s.index.Load() == nil {
			continue
		}
		s.mu.Lock()
		s.data.closeIfIdleLocked()
		idle := s.data.ref.Load() == nil
		if x := s.index.Load(); x != nil && !idle {
			x.closeIfIdleLocked()
		}
		s.mu.Unlock()
		if !idle {
			continue
		}
		x := s.index.Load()
		if x == nil {
			continue
		}
		if err := x.writeAll(); err != nil {
			return l.failed("write the index", err)
		}
		if i == len(segs)-1 {
			x.hold()
			l.recent.Store(nil)
		}
		s.dropIndexes()
	}
	return nil
}

// syncRecovered makes durable what recovery found and made, once, so that the next recovery need not read it again.
func (d *logDir) syncRecovered() error {
	if !d.recovered.Swap(false) {
		return nil
	}
	type target struct {
		log        *Log
		end        int64
		generation uint32
	}
	var targets []target
	var failed error
	d.m.logs.each(func(l *Log) {
		if l.dir() != d || l.recoveryPoint.Load() >= l.EndOffset() {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range l.segmentList() {
			if x := s.index.Load(); x != nil {
				if err := x.write(); err != nil && failed == nil {
					failed = l.failed("write the index", err)
				}
			}
		}
		targets = append(targets, target{l, l.EndOffset(), l.generation.Load()})
	})
	if failed != nil {
		return failed
	}
	if err := d.m.cfg.FS.SyncAll(d.path); err != nil {
		err = &storageError{"sync " + d.path, err}
		d.fail(err)
		return err
	}
	for _, t := range targets {
		t.log.flushMu.Lock()
		if t.log.generation.Load() == t.generation {
			t.log.recoveryPoint.Store(max(t.log.recoveryPoint.Load(), t.end))
			t.log.raiseDurable(t.end)()
		}
		t.log.flushMu.Unlock()
	}
	return nil
}

// Close stops the background work and closes all logs cleanly: everything flushed, snapshots and checkpoints written, the clean
// shutdown marker last. Directories that are offline are left as they are; so is one that ctx does not leave time for, and both
// are recovered at the next start.
func (m *Manager) Close(ctx context.Context) error {
	m.createMu.Lock()
	if m.closed {
		m.createMu.Unlock()
		return nil
	}
	m.closed = true
	m.createMu.Unlock()
	return m.closeDirs(ctx)
}
