package replication

import (
	"context"
	"slices"
	"time"

	"ottla/storage"
)

// expandLocked proposes a follower for the ISR if it is out of it, alive and has all that is committed and all of the leader's earlier
// epochs. It reports whether it did. Needs mu.
func (p *Partition) expandLocked(r *role, f *follower, l *storage.Log) bool {
	if !r.leader || r.pending != nil || f.leo < l.HighWatermark() || f.leo < r.epochStart || slices.Contains(r.isr, f.id) {
		return false
	}
	if p.m.frozen.Load() || !p.m.deps.Metadata.Alive(f.id) {
		return false
	}
	next := *r
	next.maximalISR = append(slices.Clone(r.isr), f.id)
	next.pending = &isrChange{isr: next.maximalISR, expand: true, since: p.m.now()}
	p.role.Store(&next)
	return true
}

// shrink proposes to take the followers that lag for too long out of the ISR, all at once. It reports whether it did.
func (p *Partition) shrink(now, lag time.Duration) bool {
	if r := p.role.Load(); !r.leader || len(r.isr) < 2 || r.pending != nil {
		return false
	}
	l := p.Log()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.role.Load()
	if !r.leader || r.pending != nil {
		return false
	}
	end := l.EndOffset()
	kept := slices.DeleteFunc(slices.Clone(r.isr), func(id int32) bool {
		f := r.follower(id)
		return f != nil && !f.caughtUp(end, now, lag)
	})
	if len(kept) == len(r.isr) || p.deferShrinkLocked(r, l, kept, now) {
		return false
	}
	next := *r
	next.pending = &isrChange{isr: kept, since: now}
	p.role.Store(&next)
	p.logger().Info().Ints32("isr", r.isr).Ints32("proposed", kept).Int64("log_end_offset", end).Int64("high_watermark", l.HighWatermark()).
		Msg("followers are too far behind, shrinking the isr")
	return true
}

// shrinkLoop looks for lagging followers every half of replica.lag.time.max.ms.
func (m *Manager) shrinkLoop() {
	t := time.NewTicker(max(m.cfg.LagTimeMax/2, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
			m.shrinkAll()
		}
	}
}

func (m *Manager) shrinkAll() {
	if m.frozen.Load() {
		return
	}
	now := m.now()
	var shrunk []*Partition
	for _, p := range m.table.all() {
		if p.shrink(now, m.cfg.LagTimeMax) {
			shrunk = append(shrunk, p)
		}
	}
	m.isr.submit(shrunk...)
}

// isrConfirmed makes the controller's answer the partition's state. An answer to an earlier epoch, or older than what is known, is dropped.
func (p *Partition) isrConfirmed(leaderEpoch int32, isr []int32, partitionEpoch int32, recovering bool) {
	l := p.Log()
	p.mu.Lock()
	r := p.role.Load()
	if !r.leader || r.leaderEpoch != leaderEpoch || partitionEpoch < r.partitionEpoch {
		p.mu.Unlock()
		return
	}
	next := *r
	next.isr = slices.Clone(isr)
	next.maximalISR, next.pending, next.partitionEpoch, next.recovering = next.isr, nil, partitionEpoch, recovering
	p.role.Store(&next)
	ev := p.advanceLocked(&next, l)
	p.mu.Unlock()
	p.logger().Info().Ints32("isr", next.isr).Ints32("was", r.isr).Int32("partition_epoch", partitionEpoch).Msg("isr changed")
	p.publish(ev)
}

// isrRefused goes back to the committed ISR, if change is still the one proposed.
func (p *Partition) isrRefused(change *isrChange) {
	l := p.Log()
	p.mu.Lock()
	r := p.role.Load()
	if r.pending != change {
		p.mu.Unlock()
		return
	}
	next := *r
	next.pending, next.maximalISR = nil, r.isr
	p.role.Store(&next)
	ev := p.advanceLocked(&next, l)
	p.mu.Unlock()
	p.publish(ev)
}

// sleep waits or returns false when ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
