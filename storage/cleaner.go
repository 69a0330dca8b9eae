package storage

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// cleaner compacts the logs of topics whose cleanup.policy has compact (LogCleaner): each of its threads takes the dirtiest log that is worth it,
// compacts it, and rests for the backoff when there is none. A log that cannot be compacted is left alone until the next start;
// the others go on.
type cleaner struct {
	m       *Manager
	cfg     atomic.Pointer[CleanerConfig]
	wg      sync.WaitGroup
	limiter *rate.Limiter // rate.Inf: no throttle

	mu          sync.Mutex
	started     bool
	threads     int // running
	busy        map[*Log]bool
	uncleanable map[*Log]error
}

func newCleaner(m *Manager) *cleaner {
	c := &cleaner{m: m, limiter: rate.NewLimiter(rate.Inf, 1), busy: map[*Log]bool{}, uncleanable: map[*Log]error{}}
	c.configure(m.cfg.Cleaner)
	return c
}

func (c *cleaner) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = true
	c.growLocked()
}

// configure replaces the configuration. A pass under way ends with the memory that it began with.
func (c *cleaner) configure(cfg CleanerConfig) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Store(&cfg)
	c.limiter.SetLimit(rate.Inf)
	if r := cfg.IOMaxBytesPerSec; r > 0 && r < math.MaxInt32 {
		c.limiter.SetBurst(int(max(1, r)))
		c.limiter.SetLimit(rate.Limit(r))
	}
	c.growLocked()
}

// growLocked starts the threads that are missing. Needs mu. Threads beyond the configured number end by themselves.
func (c *cleaner) growLocked() {
	cfg := c.cfg.Load()
	if !c.started || !cfg.Enable || c.m.ctx.Err() != nil {
		return
	}
	for ; c.threads < cfg.Threads; c.threads++ {
		c.wg.Go(c.run)
	}
}

// surplus says whether there are more threads than configured, and if so lets the caller be one less.
func (c *cleaner) surplus() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.threads <= c.cfg.Load().Threads {
		return false
	}
	c.threads--
	return true
}

// wait returns when all threads have ended; the manager's context is over.
func (c *cleaner) wait() {
	c.mu.Lock()
	c.started = false // so that a late configure starts no more
	c.mu.Unlock()
	c.wg.Wait()
}

func (c *cleaner) run() {
	backoff := func() time.Duration { return time.Duration(c.cfg.Load().BackoffMs) * time.Millisecond }
	timer := time.NewTimer(backoff())
	defer timer.Stop()
	for c.m.ctx.Err() == nil && !c.surplus() {
		if c.cleanOne(c.m.ctx) {
			continue
		}
		timer.Reset(backoff())
		select {
		case <-timer.C:
		case <-c.m.ctx.Done():
		}
	}
}

// throttleBytes waits until n more bytes may be read or written.
func (c *cleaner) throttleBytes(ctx context.Context, n int) error {
	for n > 0 && c.limiter.Limit() != rate.Inf {
		k := min(n, c.limiter.Burst())
		if err := c.limiter.WaitN(ctx, k); err != nil {
			return err
		}
		n -= k
	}
	return ctx.Err()
}

// cleanable is what there is to clean in a log.
type cleanable struct {
	log        *Log
	dirty, end int64
	ratio      float64
	overdue    bool // max.compaction.lag.ms has passed for some record
}

// cleanOne compacts the dirtiest log; it returns false if none is worth it.
func (c *cleaner) cleanOne(ctx context.Context) bool {
	best, ok := c.take()
	if !ok {
		return false
	}
	defer func() {
		c.mu.Lock()
		delete(c.busy, best.log)
		c.mu.Unlock()
	}()
	if err := c.clean(ctx, best); err != nil && ctx.Err() == nil && !errors.Is(err, errCleaningAborted) && best.log.usable() == nil {
		best.log.logger().Error().Err(err).Msg("the log cannot be compacted, it is left alone until the next start")
		c.mu.Lock()
		c.uncleanable[best.log] = err
		c.mu.Unlock()
	}
	return true
}

// take chooses the dirtiest log and marks it busy.
func (c *cleaner) take() (best cleanable, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.uncleanable {
		if l.closed.Load() {
			delete(c.uncleanable, l)
		}
	}
	c.m.logs.each(func(l *Log) {
		cfg := l.cfg.Load()
		if !cfg.Compact || l.usable() != nil || l.future.Load() != nil || c.busy[l] || c.uncleanable[l] != nil {
			return
		}
		g := l.generation.Load()
		x, err := l.cleanable(time.Now(), cfg)
		if err != nil && l.generation.Load() != g {
			return // the files changed under it; there will be another look
		}
		if err != nil {
			err = l.readFailed(err)
			l.logger().Error().Err(err).Msg("cannot tell whether the log needs compaction")
			c.uncleanable[l] = err
			return
		}
		if x.end <= x.dirty || !x.overdue && x.ratio <= cfg.MinCleanableDirtyRatio {
			return
		}
		if !ok || x.ratio > best.ratio {
			best, ok = x, true
		}
	})
	if ok {
		c.busy[best.log] = true
	}
	return best, ok
}

// cleanable finds the part of a log to clean: from the first dirty offset to the last stable one, the active segment, or the first segment that is
// younger than min.compaction.lag.ms, whichever comes first.
func (l *Log) cleanable(now time.Time, cfg *LogConfig) (cleanable, error) {
	x := cleanable{log: l}
	segs := l.segmentList()
	active := segs[len(segs)-1]
	x.dirty = max(l.dir().cleanedTo(l.tp), l.start.Load())
	if x.dirty > active.base {
		x.dirty = l.start.Load() // the checkpoint is of another log
	}
	x.end = min(l.LastStableOffset(), active.base)
	nowMs := now.UnixMilli()
	var clean, dirty int64
	for i, s := range segs[:len(segs)-1] {
		next := segs[i+1].base
		if next <= x.dirty {
			clean += s.size.Load()
			continue
		}
		if s.base >= x.end {
			break
		}
		if cfg.MinCompactionLagMs > 0 {
			largest, err := s.largestTimestamp(true)
			if err != nil {
				return x, err
			}
			if largest > nowMs-cfg.MinCompactionLagMs {
				x.end = min(x.end, s.base)
				break
			}
		}
		if cfg.MaxCompactionLagMs < math.MaxInt64 {
			l.mu.Lock()
			first, err := s.firstTimestamp()
			l.mu.Unlock()
			if err != nil {
				return x, err
			}
			x.overdue = x.overdue || first >= 0 && first < nowMs-cfg.MaxCompactionLagMs
		}
		if next <= x.end {
			dirty += s.size.Load()
		}
	}
	x.end = max(x.end, x.dirty)
	if clean+dirty > 0 {
		x.ratio = float64(dirty) / float64(clean+dirty)
	}
	x.overdue = x.overdue && dirty > 0
	return x, nil
}

// clean compacts a log and writes down how far.
func (c *cleaner) clean(ctx context.Context, x cleanable) error {
	l := x.log
	start := time.Now()
	l.mu.Lock()
	truncations, moving := l.truncations, l.future.Load() != nil
	l.mu.Unlock()
	if moving {
		return errCleaningAborted
	}
	// A record gives way to a later one of its key only when that one is on disk: a power cut that took the later one would take the last
	// value of the key, though it had been flushed.
	if l.recoveryPoint.Load() < x.end {
		if err := l.Flush(); err != nil {
			return err
		}
	}
	work := cleaning{l: l, ctx: ctx, throttle: c.throttleBytes, cfg: l.cfg.Load(), truncations: truncations, dirty: x.dirty, end: x.end}
	cfg := c.cfg.Load()
	next, err := work.run(cfg.DedupeBufferSize/int64(max(1, cfg.Threads)), cfg.LoadFactor)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, errCleaningAborted) || errors.Is(err, errClosed) || l.truncatedSince(truncations) {
			return errCleaningAborted
		}
		return l.readFailed(err)
	}
	if next == x.dirty {
		next = x.end // nothing but offsets without records
	}
	if err := l.dir().setCleanedTo(l.tp, next); err != nil {
		return err
	}
	l.logger().Info().Int64("from", x.dirty).Int64("to", next).Int("keys", work.offsets.used).Int64("bytes_read", work.stats.bytesRead).
		Int64("bytes_written", work.stats.bytesWritten).Dur("took_ms", time.Since(start)).Msg("compacted a log")
	return nil
}

// abortCleaningLocked keeps a compaction under way from putting its output in place.
func (l *Log) abortCleaningLocked() { l.truncations++ }

func (l *Log) truncatedSince(n uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.truncations != n || l.closed.Load()
}

// Compact compacts the logs that are worth it, until none is. Tests and tools call it; the cleaner's threads do the same.
func (m *Manager) Compact(ctx context.Context) {
	for m.cleaner.cleanOne(ctx) {
		if ctx.Err() != nil {
			return
		}
	}
}

// cleanedTo is the first dirty offset of a log, 0 if it was never compacted.
func (d *logDir) cleanedTo(tp TopicPartition) int64 {
	d.cleanMu.Lock()
	defer d.cleanMu.Unlock()
	return d.cleaned[tp]
}

// setCleanedTo writes down the first dirty offset of a log; -1 forgets it.
func (d *logDir) setCleanedTo(tp TopicPartition, offset int64) error {
	d.cleanMu.Lock()
	defer d.cleanMu.Unlock()
	if d.cleaned == nil {
		d.cleaned = map[TopicPartition]int64{}
	}
	if offset < 0 {
		if _, ok := d.cleaned[tp]; !ok {
			return nil
		}
		delete(d.cleaned, tp)
	} else {
		d.cleaned[tp] = offset
	}
	d.ckptMu.Lock()
	defer d.ckptMu.Unlock()
	return d.writeOffsetsLocked(cleanerOffsetsFileName, d.cleaned)
}
