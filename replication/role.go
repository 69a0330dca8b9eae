package replication

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// longAgo is a time on the Manager's clock before everything, far enough from the limits to subtract.
const longAgo = time.Duration(math.MinInt64 / 4)

// role is what a broker is to a partition at one moment. A role is immutable: Partition publishes a new one, readers load it without
// a lock. leader, leaderEpoch, epochStart, tenure and followers change only with Partition.roleMu held for writing.
type role struct {
	leader         bool
	offline        bool  // the log directory failed: every request gets KAFKA_STORAGE_ERROR
	stopped        bool  // neither leader nor follower: before the first LeaderAndIsr, after StopReplica
	leaderID       int32 // -1: the partition has no leader
	leaderEpoch    int32 // -1 before the first LeaderAndIsr
	partitionEpoch int32 // version of the partition's state znode
	epochStart     int64 // leaders: log end offset when the epoch began
	// tenure counts the times that this broker began to lead the partition. Unlike the epoch it stays the same when a leader is confirmed
	// with a higher epoch, so what waits for the high watermark goes on waiting: nothing was truncated in between.
	tenure     int64
	since      int32 // leaders: the first leader epoch from which on no other broker can have led
	replicas   []int32
	adding     []int32
	removing   []int32
	isr        []int32 // committed by the controller
	maximalISR []int32 // isr, and the member that a pending change would add
	pending    *isrChange
	recovering bool        // after an unclean election, until the ISR is confirmed (KIP-704)
	followers  []*follower // leaders: one per other replica
}

// noRole is the role before the first LeaderAndIsr.
var noRole = &role{stopped: true, leaderID: -1, leaderEpoch: -1, partitionEpoch: -1}

func (r *role) inMaximalISR(broker int32) bool { return slices.Contains(r.maximalISR, broker) }

func (r *role) follower(broker int32) *follower {
	for _, f := range r.followers {
		if f.id == broker {
			return f
		}
	}
	return nil
}

// underMinISR says that the committed ISR is smaller than min.insync.replicas, which counts no more than the replicas there are.
func (r *role) underMinISR(minInsync int32) bool { return r.belowMinISR(len(r.isr), minInsync) }

// belowMinISR is underMinISR for an ISR with n members.
func (r *role) belowMinISR(n int, minInsync int32) bool {
	return n < min(int(minInsync), len(r.followers)+1)
}

// isrChange is a change of ISR that the controller has not confirmed yet.
type isrChange struct {
	isr    []int32 // proposed
	expand bool
	since  time.Duration // on Manager's clock
}

// follower is what a leader knows of a replica elsewhere. Guarded by Partition.mu but for told.
type follower struct {
	id           int32
	leo          int64 // log end offset: its last fetch offset; -1 unknown
	logStart     int64 // -1 unknown
	brokerEpoch  int64
	lastCaughtUp time.Duration // on Manager's clock; longAgo: never
	lastFetch    time.Duration
	lastFetchLEO int64 // the leader's log end offset at lastFetch
	// told and toldStart are high watermark and log start of the last answer to it, updated without a lock.
	told, toldStart atomic.Int64
}

// caughtUp says that the follower had all of the leader's log within the last lag (ReplicaState.isCaughtUp).
func (f *follower) caughtUp(leaderLEO int64, now, lag time.Duration) bool {
	return f.leo == leaderLEO || now-f.lastCaughtUp <= lag
}
