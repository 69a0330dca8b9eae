package consumer

import (
	"maps"

	"ottla/coordinator/group/assignor"
)

// reported is what a member says that it has in a heartbeat; nil if it said nothing.
type reported []TopicPartitions

// TopicPartitions is partitions of a topic.
type TopicPartitions struct {
	Topic      TopicID
	Partitions []int32
}

// within tells whether all of it is among o; saying nothing is not enough.
func (r reported) within(o Owned) bool {
	if r == nil {
		return false
	}
	for _, tp := range r {
		for _, p := range tp.Partitions {
			if !o.Has(tp.Topic, p) {
				return false
			}
		}
	}
	return true
}

// has tells whether the member may still have something of o.
func (r reported) has(o Owned) bool {
	if r == nil {
		return true
	}
	for _, tp := range r {
		for _, p := range tp.Partitions {
			if o.Has(tp.Topic, p) {
				return true
			}
		}
	}
	return false
}

// reconciliation leads one member towards its target (org.apache.kafka.coordinator.group.modern.consumer.CurrentAssignmentBuilder).
type reconciliation struct {
	member      *Member
	targetEpoch int32
	target      assignor.Assignment
	subscribed  map[TopicID]struct{}
	changed     bool // the member's subscription has just changed
	reported    reported
	owner       func(t TopicID, p int32) string
}

// next is the member after one step; the same one if there is nothing to do.
func (r *reconciliation) next() *Member {
	m := r.member
	switch m.State {
	case Stable:
		switch {
		case m.Epoch != r.targetEpoch:
			return r.advance()
		case r.changed:
			return r.unsubscribe()
		}
		return m
	case UnrevokedPartitions:
		if r.reported.has(m.Revoking) {
			if r.changed {
				return r.unsubscribe()
			}
			return m
		}
	}
	return r.advance()
}

// unsubscribe takes back what the member does not want any more, without waiting for a new target.
func (r *reconciliation) unsubscribe() *Member {
	m := r.member
	assigned, revoking := Owned{}, Owned{}
	for t, ps := range m.Revoking {
		revoking[t] = maps.Clone(ps)
	}
	taken := false
	for t, ps := range m.Assigned {
		if _, ok := r.subscribed[t]; ok {
			assigned[t] = ps
			continue
		}
		taken = true
		for p, e := range ps {
			revoking.put(t, p, e)
		}
	}
	if !taken {
		return m
	}
	next := m.atEpoch(m.Epoch)
	next.Assigned = assigned
	if r.reported.has(revoking) {
		next.State, next.Revoking = UnrevokedPartitions, revoking
	}
	return &next
}

// advance computes the next assignment: first the member gives up what is not in its target and stays in its epoch; then it reaches the
// epoch of the target and is given what nobody else has.
func (r *reconciliation) advance() *Member {
	m := r.member
	assigned, revoking, added := Owned{}, Owned{}, Owned{}
	unreleased := false
	wanted := func(t TopicID, p int32) bool {
		_, ok := r.subscribed[t]
		return ok && r.target.Has(t, p)
	}
	for t, ps := range m.Assigned {
		for p, e := range ps {
			if wanted(t, p) {
				assigned.put(t, p, e)
			} else {
				revoking.put(t, p, e)
			}
		}
	}
	for t, ps := range r.target {
		for _, p := range ps {
			switch {
			case !wanted(t, p), assigned.Has(t, p):
			case r.owner(t, p) == "", m.Revoking.Has(t, p):
				added.put(t, p, r.targetEpoch)
			default:
				unreleased = true
			}
		}
	}
	if len(revoking) > 0 && r.reported.has(revoking) {
		next := m.atEpoch(m.Epoch)
		next.State, next.Assigned, next.Revoking = UnrevokedPartitions, assigned, revoking
		return &next
	}
	next := m.atEpoch(r.targetEpoch)
	for t, ps := range added {
		for p, e := range ps {
			assigned.put(t, p, e)
		}
	}
	next.State, next.Assigned, next.Revoking = Stable, assigned, Owned{}
	if unreleased {
		next.State = UnreleasedPartitions
	}
	return &next
}
