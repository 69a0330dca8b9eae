package replication

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

// hwEvent is one step of the high watermark of a leader or a follower, to be published with no lock held. The zero value is no step.
type hwEvent struct {
	moved  bool
	hw     int64
	tenure int64
	code   int16 // for produce requests that the step completes
	log    *storage.Log
}

// advanceLocked moves the leader's high watermark to the lowest log end offset of the maximal ISR and of the replicas that are caught up
// and may join it (Partition.maybeIncrementLeaderHW). It stands still while the ISR is below min.insync.replicas. Needs mu.
func (p *Partition) advanceLocked(r *role, l *storage.Log) hwEvent {
	if !r.leader {
		return hwEvent{}
	}
	end := l.DurableEndOffset()
	hw := end
	if len(r.followers) > 0 {
		if r.underMinISR(l.Config().MinInsyncReplicas) || !p.mayAcknowledge(r, l) {
			return hwEvent{}
		}
		var now time.Duration
		for _, f := range r.followers {
			if f.leo >= hw || plantedEarlyHighWatermark {
				continue
			}
			if !r.inMaximalISR(f.id) {
				if now == 0 {
					now = p.m.now()
				}
				if !f.caughtUp(end, now, p.m.cfg.LagTimeMax) || !p.m.deps.Metadata.Alive(f.id) {
					continue
				}
			}
			hw = f.leo
		}
	}
	if hw <= l.HighWatermark() {
		return hwEvent{}
	}
	return p.committedLocked(r, l, l.SetHighWatermark(hw))
}

// committedLocked is the event of a high watermark just set. Needs mu.
func (p *Partition) committedLocked(r *role, l *storage.Log, hw int64) hwEvent {
	ev := hwEvent{moved: true, hw: hw, tenure: r.tenure, log: l}
	if len(r.followers) > 0 && len(r.maximalISR) < min(int(l.Config().MinInsyncReplicas), len(r.followers)+1) {
		ev.code = kerr.NotEnoughReplicasAfterAppend.Code
	}
	return ev
}

// publish completes what waited for the step and calls the hooks. No lock may be held.
func (p *Partition) publish(ev hwEvent) {
	if !ev.moved {
		return
	}
	p.waits.committed(ev, p.m.cfg.NewsDelay)
	if hooks := p.hooks.Load(); hooks != nil {
		for _, h := range *hooks {
			h.f(ev.hw)
		}
	}
}

// advance moves the high watermark if what is known by now allows it: after the log became durable, or the configuration changed.
func (p *Partition) advance() {
	l := p.Log()
	if l == nil {
		return
	}
	p.mu.Lock()
	r := p.role.Load()
	ev := p.advanceLocked(r, l)
	durable := l.DurableEndOffset()
	p.mu.Unlock()
	if r.leader {
		p.waits.synced(durable, r.tenure)
	}
	p.publish(ev)
}

type hook struct{ f func(hw int64) }

// OnHighWatermark has f called each time the high watermark moves, from any goroutine and with no lock held; f must not block.
// Calls may overtake each other, so the largest value counts. cancel ends it; one call may still be under way then.
func (p *Partition) OnHighWatermark(f func(hw int64)) (cancel func()) {
	h := &hook{f}
	p.changeHooks(func(hooks []*hook) []*hook { return append(hooks, h) })
	return func() {
		p.changeHooks(func(hooks []*hook) []*hook {
			return slices.DeleteFunc(hooks, func(other *hook) bool { return other == h })
		})
	}
}

func (p *Partition) changeHooks(change func([]*hook) []*hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var hooks []*hook
	if old := p.hooks.Load(); old != nil {
		hooks = slices.Clone(*old)
	}
	if hooks = change(hooks); len(hooks) == 0 {
		p.hooks.Store(nil)
		return
	}
	p.hooks.Store(&hooks)
}
