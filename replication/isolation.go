package replication

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ottla/storage"
)

// A leader that no follower fetches from cannot commit anything, and cannot tell whether they are dead, slow, cut off from it, or follow a
// leader that was elected without its knowledge. Kafka's leader keeps its office until somebody reaches it. Here it gives the office up, so
// that a member of the ISR takes over. docs/failover.md has the reasons.

// isolationChecks is how often in replica.lag.time.max.ms a broker looks whether it is isolated.
const isolationChecks = 8

// hearing remembers when each other broker fetched last, as a follower of any partition.
type hearing struct{ at sync.Map } // broker id (int32) to *atomic.Int64, a time on the Manager's clock

func (h *hearing) note(broker int32, now time.Duration) {
	v, ok := h.at.Load(broker)
	if !ok {
		v, _ = h.at.LoadOrStore(broker, new(atomic.Int64))
	}
	v.(*atomic.Int64).Store(int64(now))
}

func (h *hearing) last(broker int32) time.Duration {
	v, ok := h.at.Load(broker)
	if !ok {
		return longAgo
	}
	return time.Duration(v.(*atomic.Int64).Load())
}

// unheard is how long nothing came from a follower: no fetch, and no beginning of this leadership, from which on it is waited for.
func (m *Manager) unheard(f *follower, now time.Duration) time.Duration {
	return now - max(m.heard.last(f.id), f.lastCaughtUp)
}

// isolationLoop looks whether this broker is isolated, and tells it to who can give the leaderships up.
func (m *Manager) isolationLoop() {
	if m.deps.OnIsolated == nil {
		return
	}
	t := time.NewTicker(max(m.cfg.LagTimeMax/isolationChecks, time.Millisecond))
	defer t.Stop()
	for before := false; ; {
		select {
		case <-m.ctx.Done():
			return
		case <-t.C:
		}
		// Twice in a row: a process that was paused has fetches to answer first.
		now := m.isolated(m.now())
		if before && now {
			m.deps.OnIsolated()
		}
		before = now
	}
}

// isolated says that no member of the ISR of any partition led here has been heard for replica.lag.time.max.ms, that somebody else could lead one of
// them, and that taking the silent ones out of the ISR is no way to go on.
func (m *Manager) isolated(now time.Duration) bool {
	stuck := false
	for _, p := range m.table.all() {
		if r := p.role.Load(); !r.leader || len(r.isr) < 2 {
			continue
		}
		alone, helpless := p.isolated(now)
		if !alone {
			return false
		}
		stuck = stuck || helpless
	}
	return stuck
}

// Shared lists the partitions that this broker leads and another member of the ISR could.
func (m *Manager) Shared() (tps []storage.TopicPartition) {
	for _, p := range m.table.all() {
		if r := p.role.Load(); r.leader && len(r.isr) > 1 {
			tps = append(tps, p.tp)
		}
	}
	return tps
}

// isolated says whether the ISR has other members and none was heard, and whether a smaller ISR would not help.
func (p *Partition) isolated(now time.Duration) (alone, helpless bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, l := p.role.Load(), p.Log()
	if !r.leader || len(r.isr) < 2 {
		return true, false
	}
	alive := false
	for _, id := range r.isr {
		f := r.follower(id)
		if f == nil {
			continue
		}
		if p.m.unheard(f, now) <= p.m.cfg.LagTimeMax {
			return false, false
		}
		alive = alive || p.m.deps.Metadata.Alive(id)
	}
	refused := r.pending != nil && now-r.pending.since > p.m.cfg.Patience
	return true, alive && (p.m.frozen.Load() || refused || r.belowMinISR(1, l.Config().MinInsyncReplicas))
}

// deferShrinkLocked says that an ISR should not be shrunk to kept yet: nothing could be committed with that ISR, and if this broker turns out
// to be isolated, those that would be taken out are the ones that can succeed it. Needs mu.
func (p *Partition) deferShrinkLocked(r *role, l *storage.Log, kept []int32, now time.Duration) bool {
	if p.m.deps.OnIsolated == nil || !r.belowMinISR(len(kept), l.Config().MinInsyncReplicas) {
		return false
	}
	lag := p.m.cfg.LagTimeMax
	return slices.ContainsFunc(r.isr, func(id int32) bool {
		f := r.follower(id)
		if f == nil || slices.Contains(kept, id) || !p.m.deps.Metadata.Alive(id) {
			return false
		}
		unheard := p.m.unheard(f, now)
		return unheard > lag/2 && unheard < lag+lag/2
	})
}

// mayAcknowledge is false for a leader that is alone in its ISR while it cannot know whether it still leads: where unclean
// elections are allowed, another replica may have been made leader without what would be committed now.
func (p *Partition) mayAcknowledge(r *role, l *storage.Log) bool {
	return len(r.isr) > 1 || !p.m.unsure.Load() || !l.Config().UncleanLeaderElection
}
