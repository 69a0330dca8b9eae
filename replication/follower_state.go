package replication

import (
	"cmp"
	"slices"
	"time"

	"ottla/storage"
)

// followerFetched records what a follower's fetch says: it has everything below the fetch offset. The high watermark may move and the
// follower may be proposed for the ISR (Partition.updateFollowerFetchState).
func (p *Partition) followerFetched(r *role, f *follower, l *storage.Log, fp *FetchPartition, brokerEpoch int64, now time.Duration) {
	end := l.EndOffset()
	p.mu.Lock()
	if p.role.Load().leaderEpoch != r.leaderEpoch {
		p.mu.Unlock()
		return
	}
	r = p.role.Load() // the ISR may have changed
	switch {
	case fp.FetchOffset >= end:
		f.lastCaughtUp = max(f.lastCaughtUp, now)
	case fp.FetchOffset >= f.lastFetchLEO && f.lastFetchLEO >= 0:
		f.lastCaughtUp = max(f.lastCaughtUp, f.lastFetch)
	}
	moved := f.leo != fp.FetchOffset
	movedStart := f.logStart != fp.LogStartOffset
	f.leo, f.logStart, f.brokerEpoch = fp.FetchOffset, fp.LogStartOffset, brokerEpoch
	f.lastFetch, f.lastFetchLEO = now, end
	expand := p.expandLocked(r, f, l)
	var ev hwEvent
	if moved {
		ev = p.advanceLocked(p.role.Load(), l)
	}
	p.mu.Unlock()
	if expand {
		p.m.isr.submit(p)
	}
	p.publish(ev)
	if movedStart {
		p.checkDeletes()
	}
}

// preferredReplica names the in-sync replica in the client's rack that it should read from, -1 if that is the leader or there is none
// (KIP-392, RackAwareReplicaSelector). Only a replica that has the offset is named, the most caught up one.
func (p *Partition) preferredReplica(r *role, l *storage.Log, rack string, offset int64) int32 {
	if p.m.cfg.Rack == rack {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *follower
	for _, f := range r.followers {
		if !slices.Contains(r.isr, f.id) || f.leo < offset || f.logStart < 0 || f.logStart > offset || offset < l.StartOffset() {
			continue
		}
		if _, _, at, ok := p.m.deps.Metadata.Endpoint(f.id); !ok || at != rack {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(f.leo, best.leo), cmp.Compare(f.lastCaughtUp, best.lastCaughtUp)) > 0 {
			best = f
		}
	}
	if best == nil {
		return -1
	}
	return best.id
}

// ReplicaState is what a leader knows of a replica, for metrics and tools.
type ReplicaState struct {
	Broker       int32
	LogEndOffset int64         // -1 unknown
	LogStart     int64         // -1 unknown
	Behind       time.Duration // since it was caught up last
	InSync       bool
}

// ReplicaStates lists the other replicas; nil unless this broker leads.
func (p *Partition) ReplicaStates() []ReplicaState {
	now := p.m.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.role.Load()
	if len(r.followers) == 0 {
		return nil
	}
	states := make([]ReplicaState, 0, len(r.followers))
	for _, f := range r.followers {
		states = append(states, ReplicaState{f.id, f.leo, f.logStart, now - f.lastCaughtUp, slices.Contains(r.isr, f.id)})
	}
	return states
}
