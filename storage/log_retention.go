package storage

import (
	"slices"
	"time"
)

// retain deletes the oldest segments that retention.ms, retention.bytes and the log start let go, in that order, and says how
// many. The first segment kept ends it; nothing above the high watermark goes. If all go, the log rolls first, so that the
// active segment expires too (UnifiedLog.deleteOldSegments).
func (l *Log) retain(now time.Time) (deleted int, err error) {
	cfg := l.cfg.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return 0, err
	}
	rules := []retentionRule{l.belowStart}
	if cfg.Delete {
		rules = []retentionRule{l.olderThan(now.UnixMilli(), cfg.RetentionMs), l.overSize(cfg.RetentionBytes), l.belowStart}
	}
	for _, rule := range rules {
		n, err := l.deletableLocked(rule)
		if err != nil {
			return deleted, l.failed("retention", err)
		}
		if n == 0 {
			continue
		}
		if err := l.deleteOldestLocked(n, cfg, l.deleteDelay()); err != nil {
			return deleted, err
		}
		deleted += n
	}
	return deleted, nil
}

// retentionRule says whether a segment may go; next is the base of the one after it, noOffset for the active one.
type retentionRule func(s *segment, next int64) (bool, error)

func (l *Log) olderThan(nowMs, limitMs int64) retentionRule {
	return func(s *segment, _ int64) (bool, error) {
		if limitMs < 0 || s.size.Load() == 0 && s == l.active() {
			return false, nil
		}
		largest, err := s.largestTimestamp(true)
		return err == nil && nowMs-largest > limitMs, err
	}
}

func (l *Log) overSize(limit int64) retentionRule {
	excess := l.Size() - limit
	return func(s *segment, _ int64) (bool, error) {
		if limit < 0 || excess < s.size.Load() {
			return false, nil
		}
		excess -= s.size.Load()
		return true, nil
	}
}

func (l *Log) belowStart(_ *segment, next int64) (bool, error) { return next <= l.start.Load(), nil }

// deletableLocked counts the segments, from the oldest on, that a rule lets go.
func (l *Log) deletableLocked(rule retentionRule) (n int, err error) {
	segs := l.segmentList()
	hw, end := l.hw.Load(), l.EndOffset()
	for i, s := range segs {
		next, upper := int64(noOffset), end
		if i+1 < len(segs) {
			next, upper = segs[i+1].base, segs[i+1].base
		}
		if hw < upper || next == noOffset && s.size.Load() == 0 {
			break
		}
		ok, err := rule(s, next)
		if err != nil || !ok {
			return n, err
		}
		n++
	}
	return n, nil
}

// atOnce is a delay of files that nobody reads: they are not renamed first.
const atOnce = -1

// retainBelowStart deletes the segments of a copy that lie below its start, at once: nobody reads them.
func (l *Log) retainBelowStart() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.deletableLocked(l.belowStart)
	if err != nil || n == 0 {
		return err
	}
	return l.deleteOldestLocked(n, l.cfg.Load(), atOnce)
}

// deleteOldestLocked takes the n oldest segments off the log. Their files are renamed now and removed after a delay, or removed at once without one.
func (l *Log) deleteOldestLocked(n int, cfg *LogConfig, delay time.Duration) error {
	segs := l.segmentList()
	if n == len(segs) {
		if _, err := l.rollLocked(l.EndOffset(), cfg); err != nil {
			return err
		}
		segs = l.segmentList()
	}
	if err := l.advanceStartLocked(segs[n].base); err != nil {
		return err
	}
	gone := segs[:n]
	l.setSegments(slices.Clone(segs[n:]))
	l.generation.Add(2)
	l.logger().Info().Int("segments", n).Int64("log_start_offset", l.start.Load()).Msg("deleting old segments")
	if err := l.discardLocked(gone, delay); err != nil {
		return l.failed("delete segments", err)
	}
	first := l.segmentList()[0].base
	newest := l.snapshots[max(0, len(l.snapshots)-1):]
	err := l.dropSnapshotsLocked(func(off int64) bool { return off < first && !slices.Contains(newest, off) })
	if err != nil {
		return l.failed("delete producer snapshots", err)
	}
	return nil
}

// discardLocked renames the files of segments that are no longer part of the log, and removes them later.
func (l *Log) discardLocked(gone []*segment, delay time.Duration) error {
	d := l.dir()
	for _, s := range gone {
		if delay == atOnce {
			if err := s.remove(); err != nil {
				return err
			}
			continue
		}
		if err := s.rename(deletedSuffix); err != nil {
			return err
		}
		l.m.remover.after(delay, func() error {
			if l.closed.Load() || l.dir() != d || d.offline() != nil {
				return nil // the next start removes them, or they went with the directory
			}
			return s.remove()
		}, d)
	}
	return nil
}
