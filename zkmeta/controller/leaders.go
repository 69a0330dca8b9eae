package controller

import "slices"

// The decisions of this file are pure: given a partition and who is there, which state should it have?
// The rules are those of Kafka's Election.scala and PartitionLeaderElectionAlgorithms.

// next returns p's state as the start of a change by this controller: the leader epoch goes up and the
// controller epoch becomes ours.
func (c *term) next(p *partition) partitionState {
	s := p.state
	s.leaderEpoch++
	s.controllerEpoch = c.epoch
	s.isr = slices.Clone(s.isr)
	return s
}

// firstState is that of a partition without a state znode: all live replicas are in sync, the first leads.
func (c *term) firstState(p *partition) (partitionState, bool) {
	isr := filter(p.replicas, func(id int32) bool { return c.online(p, id) })
	if len(isr) == 0 {
		return partitionState{}, false
	}
	return partitionState{leader: isr[0], isr: isr, controllerEpoch: c.epoch}, true
}

// leaderOnline tells whether p is led by a broker that can do so.
func (c *term) leaderOnline(p *partition) bool {
	return p.written && p.state.leader >= 0 && c.online(p, p.state.leader)
}

// settled answers the state that p should have, given who is there, and whether that differs from the
// state it has: replicas that are gone leave the ISR, and a leader that is gone is replaced by the first
// replica that is live and in sync; if there is none and unclean is set, by the first live replica, which
// then is the whole ISR and recovering. Otherwise the partition has no leader and keeps its ISR, so that
// only a replica with everything that was acknowledged can lead it again.
func (c *term) settled(p *partition, unclean bool) (partitionState, bool) {
	isr := filter(p.state.isr, func(id int32) bool { return c.online(p, id) })
	if c.leaderOnline(p) {
		if len(isr) == len(p.state.isr) || len(isr) == 0 {
			return p.state, false
		}
		s := c.next(p)
		s.isr = isr
		return s, true
	}
	for _, id := range p.replicas {
		if slices.Contains(isr, id) {
			s := c.next(p)
			s.leader, s.isr = id, isr
			return s, true
		}
	}
	// A leader that is shutting down still serves until its registration goes.
	if p.state.leader != noLeader && c.reachable(p, p.state.leader) {
		return p.state, false
	}
	if unclean {
		for _, id := range p.replicas {
			if c.online(p, id) {
				s := c.next(p)
				s.leader, s.isr, s.recovering = id, []int32{id}, true
				return s, true
			}
		}
	}
	if p.state.leader == noLeader {
		return p.state, false
	}
	s := c.next(p)
	s.leader = noLeader
	return s, true
}

// needsUnclean tells whether only an unclean election can give p a leader, and one is possible.
func (c *term) needsUnclean(p *partition) bool {
	if !p.written || p.state.leader != noLeader && c.reachable(p, p.state.leader) {
		return false
	}
	inSync, live := false, false
	for _, id := range p.replicas {
		if c.online(p, id) {
			live = true
			inSync = inSync || slices.Contains(p.state.isr, id)
		}
	}
	return live && !inSync
}

// preferred is the election of the first replica in the assignment; the ISR stays as it is.
func (c *term) preferred(p *partition) (partitionState, bool) {
	id := p.replicas[0]
	if !c.online(p, id) || !slices.Contains(p.state.isr, id) {
		return partitionState{}, false
	}
	s := c.next(p)
	s.leader = id
	return s, true
}

// reassigned is the state at the end of a reassignment: the first of the target replicas that is live and
// in sync leads unless the leader is one of them already, and the removed replicas leave the ISR.
func (c *term) reassigned(p *partition, target []int32) (partitionState, bool) {
	s := c.next(p)
	s.isr = filter(s.isr, func(id int32) bool { return slices.Contains(target, id) })
	if slices.Contains(target, s.leader) && c.online(p, s.leader) {
		return s, true
	}
	for _, id := range target {
		if c.online(p, id) && slices.Contains(s.isr, id) {
			s.leader = id
			return s, true
		}
	}
	return partitionState{}, false
}

// handedOver is the election of a controlled shutdown: the first replica in sync whose broker stays takes
// over from the broker that leaves, and brokers that are shutting down leave the ISR.
func (c *term) handedOver(p *partition) (partitionState, bool) {
	isr := filter(p.state.isr, c.live)
	for _, id := range p.replicas {
		if c.online(p, id) && slices.Contains(isr, id) {
			s := c.next(p)
			s.leader, s.isr = id, isr
			return s, true
		}
	}
	return partitionState{}, false
}

// withoutFollower is p's state with follower id out of the ISR.
func (c *term) withoutFollower(p *partition, id int32) (partitionState, bool) {
	if p.state.leader == id || !slices.Contains(p.state.isr, id) || len(p.state.isr) == 1 {
		return p.state, false
	}
	s := c.next(p)
	s.isr = without(s.isr, []int32{id})
	return s, true
}
