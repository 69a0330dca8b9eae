package replication

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage"
)

// Partition is this broker's replica of one partition.
type Partition struct {
	m  *Manager
	tp storage.TopicPartition

	// roleMu is held for reading while a leader or a follower appends, and for writing while the role changes: an append that has
	// begun ends in the role that it began in, and none begins in a role that is over.
	roleMu sync.RWMutex
	// mu guards what followers are known to have, ISR decisions and the steps of the high watermark. Never held over I/O.
	mu      sync.Mutex
	role    atomic.Pointer[role]
	storage atomic.Pointer[storage.Log] // nil until the first LeaderAndIsr made it

	waits waitList
	gone  atomic.Bool // deleted: to be looked up anew by who remembers it
	hooks atomic.Pointer[[]*hook]
}

func newPartition(m *Manager, tp storage.TopicPartition) *Partition {
	p := &Partition{m: m, tp: tp}
	p.role.Store(noRole)
	return p
}

// Topic is the partition's topic.
func (p *Partition) Topic() string { return p.tp.Topic }

// ID is the partition's number.
func (p *Partition) ID() int32 { return p.tp.Partition }

// TopicPartition is both.
func (p *Partition) TopicPartition() storage.TopicPartition { return p.tp }

// TopicID is the topic's id, zero if it has none.
func (p *Partition) TopicID() [16]byte {
	if l := p.Log(); l != nil {
		return l.TopicID()
	}
	return [16]byte{}
}

// Log is the partition's log; nil if its directory failed before it was opened.
func (p *Partition) Log() *storage.Log { return p.storage.Load() }

// Leader is the leader that the controller named last, -1 if none, and its epoch.
func (p *Partition) Leader() (broker, epoch int32) {
	r := p.role.Load()
	return r.leaderID, r.leaderEpoch
}

// IsLeader says that this broker leads.
func (p *Partition) IsLeader() bool { return p.role.Load().leader }

// Offline says that the partition's log directory failed.
func (p *Partition) Offline() bool { return p.role.Load().offline }

// ISR is the committed in-sync replica set; on a follower the one of the last LeaderAndIsr. The caller must not change it.
func (p *Partition) ISR() []int32 { return p.role.Load().isr }

// Replicas is the assignment. The caller must not change it.
func (p *Partition) Replicas() []int32 { return p.role.Load().replicas }

// UnderMinISR says that this broker leads and the ISR is below min.insync.replicas.
func (p *Partition) UnderMinISR() bool {
	r, l := p.role.Load(), p.Log()
	return r.leader && l != nil && r.underMinISR(l.Config().MinInsyncReplicas)
}

// HighWatermark is the first offset that consumers may not read; 0 without a log.
func (p *Partition) HighWatermark() int64 {
	if l := p.Log(); l != nil {
		return l.HighWatermark()
	}
	return 0
}

// LastStableOffset is the first offset that read_committed consumers may not read; 0 without a log.
func (p *Partition) LastStableOffset() int64 {
	if l := p.Log(); l != nil {
		return l.LastStableOffset()
	}
	return 0
}

func (p *Partition) logger() *zerolog.Logger {
	l := p.m.log.With().Str("topic", p.tp.Topic).Int32("partition", p.tp.Partition).Logger()
	return &l
}

// notLeading is the error of a request that needs the leader.
func (p *Partition) notLeading(r *role) error {
	if r.offline {
		return storageError(p.tp)
	}
	return fmt.Errorf("%s is led by broker %d in epoch %d: %w", p.tp, r.leaderID, r.leaderEpoch, kerr.NotLeaderForPartition)
}

// checkEpoch compares the leader epoch of a request, -1 for none, with the known one (KIP-320).
// Errors: FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
func (p *Partition) checkEpoch(r *role, epoch int32) error {
	switch {
	case epoch == -1 || epoch == r.leaderEpoch:
		return nil
	case epoch < r.leaderEpoch:
		return fmt.Errorf("%s: leader epoch %d is older than %d: %w", p.tp, epoch, r.leaderEpoch, kerr.FencedLeaderEpoch)
	}
	return fmt.Errorf("%s: leader epoch %d is newer than %d: %w", p.tp, epoch, r.leaderEpoch, kerr.UnknownLeaderEpoch)
}

// readable returns the log if a request with that leader epoch may read it, from the leader only or from any replica.
func (p *Partition) readable(r *role, epoch int32, leaderOnly bool) (*storage.Log, error) {
	l := p.Log()
	if r.offline || l == nil && !r.stopped {
		return nil, storageError(p.tp)
	}
	if err := p.checkEpoch(r, epoch); err != nil {
		return nil, err
	}
	if r.stopped || leaderOnly && !r.leader {
		return nil, p.notLeading(r)
	}
	return l, nil
}

// becomeLeader makes the log's next epoch ours. The log exists. Needs Manager.stateMu. It reports whether leading is new.
func (p *Partition) becomeLeader(next *role) (began bool, err error) {
	l := p.Log()
	p.roleMu.Lock()
	old := p.role.Load()
	next.leader = true
	next.epochStart = l.EndOffset()
	// In an epoch that was skipped another broker may have led, and followers may have truncated to its log: what they had is unknown then,
	// and consumers with such an epoch are fenced.
	unbroken := old.leader && next.leaderEpoch <= old.leaderEpoch+1
	next.tenure, next.since = old.tenure, next.leaderEpoch
	if !old.leader {
		next.tenure++
	}
	if unbroken {
		next.since = old.since
	}
	if next.leaderEpoch > old.leaderEpoch || !old.leader {
		if err := l.AssignEpoch(next.leaderEpoch, next.epochStart); err != nil {
			p.roleMu.Unlock()
			return false, err
		}
	}
	now := p.m.now()
	for _, id := range next.replicas {
		if id == p.m.cfg.BrokerID {
			continue
		}
		f := &follower{id: id, leo: -1, logStart: -1, brokerEpoch: -1, lastCaughtUp: longAgo, lastFetch: longAgo, lastFetchLEO: -1}
		f.told.Store(-1)
		f.toldStart.Store(-1)
		if slices.Contains(next.isr, id) {
			f.lastCaughtUp = now
		}
		if known := old.follower(id); known != nil && unbroken {
			f.lastFetch, f.lastFetchLEO = f.lastCaughtUp, next.epochStart
			p.mu.Lock()
			f.leo, f.logStart, f.brokerEpoch = known.leo, known.logStart, known.brokerEpoch
			p.mu.Unlock()
			f.told.Store(known.told.Load())
			f.toldStart.Store(known.toldStart.Load())
		}
		next.followers = append(next.followers, f)
	}
	p.mu.Lock()
	p.role.Store(next)
	ev := p.advanceLocked(next, l)
	p.mu.Unlock()
	p.roleMu.Unlock()

	// Fetches that wait were told the old epoch. Followers' must see the new one; consumers' are read again and go on waiting.
	p.waits.wakeFetches()
	p.publish(ev)
	p.checkDeletes()
	return !old.leader, nil
}

// becomeFollower stops leading, if this broker led, and publishes the new role. What waited is completed with NOT_LEADER_OR_FOLLOWER.
// It reports whether this broker led.
func (p *Partition) becomeFollower(next *role) (ended bool) {
	next.leader = false
	return p.setRole(next, kerr.NotLeaderForPartition.Code)
}

// resign ends leading or following. With forget the next LeaderAndIsr is accepted whatever its epoch.
func (p *Partition) resign(forget bool) (ended bool) {
	old := p.role.Load()
	next := *old
	next.leader, next.stopped, next.followers, next.pending = false, true, nil, nil
	if forget {
		next.leaderID, next.leaderEpoch, next.partitionEpoch = -1, -1, -1
	}
	if old.offline {
		next.stopped = old.stopped
	}
	return p.setRole(&next, kerr.NotLeaderForPartition.Code)
}

// goOffline is the end of a partition whose log directory failed, until the broker starts again.
func (p *Partition) goOffline() (ended bool) {
	next := *p.role.Load()
	next.leader, next.offline, next.followers, next.pending = false, true, nil, nil
	return p.setRole(&next, kerr.KafkaStorageError.Code)
}

func (p *Partition) setRole(next *role, waiting int16) (ended bool) {
	p.roleMu.Lock()
	p.mu.Lock()
	old := p.role.Load()
	next.tenure = old.tenure
	p.role.Store(next)
	p.mu.Unlock()
	p.roleMu.Unlock()
	p.waits.fail(waiting)
	p.waits.wakeFetches()
	return old.leader
}

// codeOf is Kafka's error code in err, UNKNOWN_SERVER_ERROR if there is none.
func codeOf(err error) int16 {
	if err == nil {
		return 0
	}
	var k *kerr.Error
	if errors.As(err, &k) {
		return k.Code
	}
	return kerr.UnknownServerError.Code
}

// attach gives the partition its log.
func (p *Partition) attach(l *storage.Log) {
	size := l.Size()
	p.waits.mu.Lock()
	p.waits.bytes.Store(size)
	p.waits.mark = byteMark{offset: l.EndOffset(), bytes: size}
	p.waits.mu.Unlock()
	p.storage.Store(l)
	l.OnDurable(p.advance)
}
