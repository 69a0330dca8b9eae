package replication

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ottla/storage"
)

// unlimited is a rate that holds up nobody.
const unlimited = math.MaxInt64

// replicaQuota is one direction of the replication throttle (KIP-73): the bytes of throttled replicas that are not in sync. What has passed
// may leave a debt, which is waited for; what was not used is kept for a second.
type replicaQuota struct {
	rate atomic.Int64 // bytes per second

	mu   sync.Mutex
	left float64 // bytes that may pass now; negative: debt
	at   time.Duration
}

// set changes the rate. What was saved up with the former one is gone, and so is a debt.
func (q *replicaQuota) set(bytesPerSec int64) {
	if q.rate.Swap(bytesPerSec) == bytesPerSec {
		return
	}
	q.mu.Lock()
	q.left = 0
	q.mu.Unlock()
}

func (q *replicaQuota) limited() bool { return q.rate.Load() != unlimited }

// allowed is how many bytes may pass at now, and if none, how long until some may.
func (q *replicaQuota) allowed(now time.Duration) (bytes int64, wait time.Duration) {
	rate := q.rate.Load()
	if rate == unlimited {
		return unlimited, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if now > q.at {
		q.left = min(float64(rate), q.left+float64(rate)*(now-q.at).Seconds())
		q.at = now
	}
	if q.left >= 1 {
		return int64(q.left), 0
	}
	if rate == 0 {
		return 0, maxQuotaWait
	}
	return 0, min(maxQuotaWait, time.Millisecond+time.Duration((1-q.left)/float64(rate)*float64(time.Second)))
}

// maxQuotaWait is after how long a rate that holds up everything is looked at again.
const maxQuotaWait = time.Second

func (q *replicaQuota) passed(bytes int) {
	if bytes == 0 || !q.limited() {
		return
	}
	q.mu.Lock()
	q.left -= float64(bytes)
	q.mu.Unlock()
}

// SetReplicationThrottles sets leader.replication.throttled.rate and follower.replication.throttled.rate, bytes per second.
func (m *Manager) SetReplicationThrottles(leader, follower int64) {
	m.leaderQuota.set(leader)
	m.followerQuota.set(follower)
}

// throttledAtLeader says that the leader here sends a follower of the partition at a limited rate: throttled and not in sync.
func (p *Partition) throttledAtLeader(r *role, l *storage.Log, follower int32) bool {
	return p.m.leaderQuota.limited() && throttled(l.Config().LeaderThrottledReplicas, p.tp.Partition, p.m.cfg.BrokerID) && !slices.Contains(r.isr, follower)
}

// throttledAtFollower says that the partition here is fetched at a limited rate while it is not in sync.
func (p *Partition) throttledAtFollower() bool {
	if !p.m.followerQuota.limited() {
		return false
	}
	l := p.Log()
	return l != nil && throttled(l.Config().FollowerThrottledReplicas, p.tp.Partition, p.m.cfg.BrokerID)
}

// throttled looks for a replica in a list of partition:broker, separated by commas, or * for all.
func throttled(list string, partition, broker int32) bool {
	if list == "" || list == "*" {
		return list == "*"
	}
	var buf [24]byte
	want := strconv.AppendInt(append(strconv.AppendInt(buf[:0], int64(partition), 10), ':'), int64(broker), 10)
	for entry := range strings.SplitSeq(list, ",") {
		if entry == string(want) {
			return true
		}
	}
	return false
}
