package group

import "sync/atomic"

// Stats are the numbers behind Kafka's kafka.coordinator.group:type=GroupMetadataManager gauges and the group-coordinator-metrics.
type Stats struct {
	groups              [stable + 1]atomic.Int64
	consumerGroups      atomic.Int64
	offsets             atomic.Int64
	commits             atomic.Int64
	expirations         atomic.Int64
	deletions           atomic.Int64
	completedRebalances atomic.Int64
	consumerRebalances  atomic.Int64
}

// Snapshot is a copy of the numbers at one time.
type Snapshot struct {
	Groups                    int64 // groups coordinated here
	GroupsEmpty               int64
	GroupsPreparingRebalance  int64
	GroupsCompletingRebalance int64
	GroupsStable              int64
	ConsumerGroups            int64 // those of the new protocol, in whatever state
	Offsets                   int64 // committed offsets held
	OffsetCommits             int64 // offsets committed since the start
	OffsetExpirations         int64
	OffsetDeletions           int64
	CompletedRebalances       int64
	ConsumerRebalances        int64 // group epochs of consumer groups that heartbeats began
}

// Stats returns the numbers as they are now.
func (c *Coordinator) Stats() Snapshot {
	s := &c.stats
	n := Snapshot{
		GroupsEmpty:               s.groups[empty].Load(),
		GroupsPreparingRebalance:  s.groups[preparingRebalance].Load(),
		GroupsCompletingRebalance: s.groups[completingRebalance].Load(),
		GroupsStable:              s.groups[stable].Load(),
		ConsumerGroups:            s.consumerGroups.Load(),
		Offsets:                   s.offsets.Load(),
		OffsetCommits:             s.commits.Load(),
		OffsetExpirations:         s.expirations.Load(),
		OffsetDeletions:           s.deletions.Load(),
		CompletedRebalances:       s.completedRebalances.Load(),
		ConsumerRebalances:        s.consumerRebalances.Load(),
	}
	n.Groups = n.GroupsEmpty + n.GroupsPreparingRebalance + n.GroupsCompletingRebalance + n.GroupsStable + n.ConsumerGroups
	return n
}
