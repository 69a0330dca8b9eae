package replication

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

// deleteWait is a DeleteRecords that waits for the low watermark. Guarded by waitList.mu until done is closed.
type deleteWait struct {
	offset int64
	low    int64
	code   int16
	done   chan struct{}
}

// DeleteRecords moves the log start offset to offset, -1 for the high watermark, and waits until every live replica has done so.
// It returns the low watermark: the lowest log start offset of the live replicas.
//
// Errors: NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION, OFFSET_OUT_OF_RANGE beyond the high watermark, POLICY_VIOLATION without
// cleanup.policy=delete, KAFKA_STORAGE_ERROR, REQUEST_TIMED_OUT if ctx ends first.
func (m *Manager) DeleteRecords(ctx context.Context, tp storage.TopicPartition, offset int64) (lowWatermark int64, err error) {
	p, err := m.LeaderPartition(tp.Topic, tp.Partition)
	if err != nil {
		return -1, err
	}
	d, err := p.deleteRecords(offset)
	if err != nil {
		return -1, err
	}
	select {
	case <-d.done:
	case <-ctx.Done():
		p.waits.mu.Lock()
		p.waits.deletes = slices.DeleteFunc(p.waits.deletes, func(o *deleteWait) bool { return o == d })
		p.waits.mu.Unlock()
	}
	select {
	case <-d.done:
		if d.code != 0 {
			return -1, fmt.Errorf("delete records of %s: %w", tp, kerr.TypedErrorForCode(d.code))
		}
		return d.low, nil
	default:
		return -1, fmt.Errorf("delete records of %s: replicas did not follow in time: %w", tp, kerr.RequestTimedOut)
	}
}

// deleteRecords moves the leader's log start and registers the wait.
func (p *Partition) deleteRecords(offset int64) (*deleteWait, error) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	r := p.role.Load()
	if !r.leader {
		return nil, p.notLeading(r)
	}
	l := p.Log()
	if !l.Config().Delete {
		return nil, fmt.Errorf("delete records of %s: its cleanup.policy is without delete: %w", p.tp, kerr.PolicyViolation)
	}
	hw := l.HighWatermark()
	if offset == -1 {
		offset = hw
	}
	if offset < 0 || offset > hw {
		return nil, fmt.Errorf("delete records of %s before %d: the high watermark is %d: %w", p.tp, offset, hw, kerr.OffsetOutOfRange)
	}
	if err := l.AdvanceStartOffset(offset); err != nil {
		return nil, err
	}
	d := &deleteWait{offset: offset, done: make(chan struct{})}
	p.waits.mu.Lock()
	p.waits.deletes = append(p.waits.deletes, d)
	for e := p.waits.leo.first; e != nil; e = e.next {
		e.w.news(0) // followers follow at once
	}
	p.waits.mu.Unlock()
	p.checkDeletes()
	return d, nil
}

// checkDeletes completes the deletions that the low watermark has reached: after a follower's fetch, or a change of replicas or brokers.
func (p *Partition) checkDeletes() {
	p.waits.mu.Lock()
	waiting := len(p.waits.deletes) > 0
	p.waits.mu.Unlock()
	if !waiting {
		return
	}
	low, ok := p.lowWatermark()
	if !ok {
		return
	}
	p.waits.mu.Lock()
	defer p.waits.mu.Unlock()
	p.waits.deletes = slices.DeleteFunc(p.waits.deletes, func(d *deleteWait) bool {
		if low < d.offset {
			return false
		}
		d.low = low
		close(d.done)
		return true
	})
}

// lowWatermark is the lowest log start offset of the live replicas; ok is false unless this broker leads.
func (p *Partition) lowWatermark() (low int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, l := p.role.Load(), p.Log()
	if !r.leader {
		return 0, false
	}
	low = l.StartOffset()
	for _, f := range r.followers {
		if f.logStart < low && p.m.deps.Metadata.Alive(f.id) {
			low = f.logStart
		}
	}
	return low, true
}
