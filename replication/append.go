package replication

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

// Appended is what an append leaves behind to wait for. It holds nothing of the request.
type Appended struct {
	storage.AppendInfo
	Partition   *Partition
	LeaderEpoch int32
	// Required is the high watermark at which the records are committed: the offset after the last one, of a duplicate the original's.
	Required int64
	acks     int16
	tenure   int64
}

// AppendOptions are the less usual demands on an append.
type AppendOptions struct {
	Acks int16 // -1: refused while the ISR is smaller than min.insync.replicas
	// AnyEpoch or LeaderEpoch: with a LeaderEpoch the append is refused with NOT_LEADER_OR_FOLLOWER unless the partition is still led in that epoch.
	AnyEpoch    bool
	LeaderEpoch int32
	// Log is passed on to the log; the leader epoch in it is filled in here.
	Log storage.AppendOptions
}

// AppendAsLeader assigns offsets to the batches in records, in place, and writes them to the log. It keeps nothing of records.
// With acks 0 that is all; otherwise WaitCommitted says when the records can be acknowledged: with -1 when they are committed, with 1 at
// once or, where flush.messages=1, when they are on this broker's disk.
//
// Errors: NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR, NOT_ENOUGH_REPLICAS, and those of storage.Log.AppendAsLeader.
func (p *Partition) AppendAsLeader(records []byte, acks int16, origin storage.Origin) (Appended, error) {
	return p.Append(records, AppendOptions{Acks: acks, AnyEpoch: true, Log: storage.AppendOptions{Origin: origin}})
}

// Append is AppendAsLeader with all options.
func (p *Partition) Append(records []byte, o AppendOptions) (Appended, error) {
	a, ev, err := p.append(records, &o)
	if err != nil {
		return Appended{}, err
	}
	if !a.Duplicate {
		p.waits.appended(int64(a.Bytes))
	}
	p.publish(ev)
	return a, nil
}

func (p *Partition) append(records []byte, o *AppendOptions) (Appended, hwEvent, error) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	r := p.role.Load()
	if !r.leader {
		return Appended{}, hwEvent{}, p.notLeading(r)
	}
	if !o.AnyEpoch && o.LeaderEpoch != r.leaderEpoch {
		return Appended{}, hwEvent{}, fmt.Errorf("append to %s in leader epoch %d, it is %d: %w",
			p.tp, o.LeaderEpoch, r.leaderEpoch, kerr.NotLeaderForPartition)
	}
	l := p.Log()
	if o.Acks == -1 && len(r.followers) > 0 {
		if need := l.Config().MinInsyncReplicas; r.underMinISR(need) {
			return Appended{}, hwEvent{}, fmt.Errorf("append to %s: %d replicas in sync, %d needed: %w", p.tp, len(r.isr), need, kerr.NotEnoughReplicas)
		}
	}
	o.Log.LeaderEpoch = r.leaderEpoch
	info, err := l.AppendAsLeader(records, o.Log)
	if err != nil {
		return Appended{}, hwEvent{}, err
	}
	p.mu.Lock()
	ev := p.advanceLocked(p.role.Load(), l)
	p.mu.Unlock()
	return Appended{AppendInfo: info, Partition: p, LeaderEpoch: r.leaderEpoch, Required: info.LastOffset + 1, acks: o.Acks, tenure: r.tenure}, ev, nil
}
