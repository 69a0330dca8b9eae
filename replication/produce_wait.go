package replication

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ProduceWait is a produce that waits until its records are committed (acks=all) or on disk (acks=1). Each partition's result is written by the event that
// decides it and never looked up later: leadership lost and regained in between does not acknowledge records that were truncated.
type ProduceWait struct {
	left     atomic.Int32
	done     chan struct{}
	deadline time.Time
	codes    []int16
	entries  []produceEntry

	oneCode  [1]int16 // for the usual case of one partition
	oneEntry [1]produceEntry
}

// produceEntry is one partition of a ProduceWait. Links and result belong to the partition's waitList.mu.
type produceEntry struct {
	wait       *ProduceWait
	index      int
	p          *Partition
	offset     int64 // high watermark, or end of what is on disk, that completes it
	disk       bool
	tenure     int64
	prev, next *produceEntry
	linked     bool
}

// WaitCommitted waits, without a goroutine, until what was appended can be acknowledged. It is nil if all can be now.
// Elements without a Partition are taken as done: those whose append failed.
func (m *Manager) WaitCommitted(apps []Appended, timeout time.Duration) *ProduceWait {
	var w *ProduceWait
	for i := range apps {
		a := &apps[i]
		if a.Partition == nil || w == nil && a.committed() {
			continue
		}
		if w == nil {
			w = newProduceWait(len(apps), timeout)
		}
		e := &w.entries[i]
		*e = produceEntry{wait: w, index: i, p: a.Partition, offset: a.Required, disk: a.acks == 1, tenure: a.tenure}
		w.left.Add(1)
		a.Partition.register(e)
	}
	if w != nil && w.left.Add(-1) == 0 { // newProduceWait counted one, so that no event closes done before all are registered
		close(w.done)
	}
	return w
}

// committed says that the records can be acknowledged without a further look.
func (a *Appended) committed() bool {
	p := a.Partition
	l := p.Log()
	switch {
	case a.acks == 0 || a.acks == 1 && l.DurableEndOffset() >= a.Required:
		return true
	case a.acks == 1 || l.HighWatermark() < a.Required:
		return false
	}
	r := p.role.Load()
	if !r.leader || r.tenure != a.tenure {
		return false
	}
	return len(r.followers) == 0 || len(r.maximalISR) >= int(l.Config().MinInsyncReplicas)
}

func newProduceWait(n int, timeout time.Duration) *ProduceWait {
	w := &ProduceWait{done: make(chan struct{}), deadline: time.Now().Add(timeout)}
	if n == 1 {
		w.codes, w.entries = w.oneCode[:], w.oneEntry[:]
	} else {
		w.codes, w.entries = make([]int16, n), make([]produceEntry, n)
	}
	w.left.Store(1)
	return w
}

// register links e and then looks whether what it waits for has happened.
func (p *Partition) register(e *produceEntry) {
	p.waits.produces.Add(1)
	l := p.Log()
	p.waits.mu.Lock()
	defer p.waits.mu.Unlock()
	p.waits.listOf(e).insert(e)
	r := p.role.Load()
	if !r.leader || r.tenure != e.tenure {
		code := kerr.NotLeaderForPartition.Code
		if r.offline {
			code = kerr.KafkaStorageError.Code
		}
		p.waits.completeLocked(e, code)
		return
	}
	if !e.disk && l.HighWatermark() < e.offset || e.disk && l.DurableEndOffset() < e.offset {
		return
	}
	if now := p.role.Load(); !now.leader || now.tenure != e.tenure {
		return // the role changed under the look: fail() follows it and completes the entry
	}
	var code int16
	if !e.disk && len(r.followers) > 0 && len(r.maximalISR) < min(int(l.Config().MinInsyncReplicas), len(r.followers)+1) {
		code = kerr.NotEnoughReplicasAfterAppend.Code
	}
	p.waits.completeLocked(e, code)
}

// Done is closed when every partition's result is known.
func (w *ProduceWait) Done() <-chan struct{} { return w.done }

// Deadline is when the wait ends with REQUEST_TIMED_OUT for what is not committed by then.
func (w *ProduceWait) Deadline() time.Time { return w.deadline }

// Errors ends the wait and returns Kafka's code for each element given to WaitCommitted: 0, REQUEST_TIMED_OUT, NOT_LEADER_OR_FOLLOWER,
// NOT_ENOUGH_REPLICAS_AFTER_APPEND or KAFKA_STORAGE_ERROR. It is called once, after Done or when the request is given up.
func (w *ProduceWait) Errors() []int16 {
	for i := range w.entries {
		e := &w.entries[i]
		if e.p == nil {
			continue
		}
		e.p.waits.mu.Lock()
		if e.linked {
			e.p.waits.completeLocked(e, kerr.RequestTimedOut.Code)
		}
		e.p.waits.mu.Unlock()
	}
	return w.codes
}
