package controller

import (
	"maps"
	"slices"
)

// A reassignment (KIP-455) has two phases, and all that is known of it is in the topic znode, so any
// controller can go on with it.
//
//	A. The topic znode holds target and removed replicas, and who is adding and removing. The leader epoch
//	   goes up, so that the leader learns of the new replicas, and these are started.
//	B. When all target replicas are in sync: the removed ones leave the ISR (and the leadership), are
//	   stopped and deleted; then the topic znode holds the target replicas alone.

// A reassignment is the wish to have partition p on the replicas target.
type reassignment struct {
	p      *partition
	target []int32
}

// reassignTo turns p's assignment into one that leads to target. What is being added now and is not part
// of target is dropped; what is being removed and is part of it stays.
func (p *partition) reassignTo(target []int32) (replicas, adding, removing []int32) {
	origin := p.origin()
	replicas = append(slices.Clone(target), without(origin, target)...)
	return replicas, without(replicas, origin), without(replicas, target)
}

// startReassignments begins, changes or cancels reassignments. It answers with the topics whose assignment
// could not be written, and why; nothing has changed for their partitions.
func (m *Machine) startReassignments(rs []reassignment) (failed map[*topic]error, err error) {
	type before struct{ replicas, adding, removing []int32 }
	old := map[*partition]before{}
	var topics []*topic
	var ps []*partition
	for _, r := range rs {
		p := r.p
		replicas, adding, removing := p.reassignTo(r.target)
		ps = append(ps, p)
		if p.completing == nil && slices.Equal(replicas, p.replicas) && slices.Equal(adding, p.adding) && slices.Equal(removing, p.removing) {
			continue
		}
		old[p] = before{p.replicas, p.adding, p.removing}
		p.completing = nil // what it waited for is overtaken
		p.replicas, p.adding, p.removing = replicas, adding, removing
		if !slices.Contains(topics, p.topic) {
			topics = append(topics, p.topic)
		}
	}
	added, failed, err := m.writeTopics(topics)
	if err != nil {
		return nil, err
	}
	for p, b := range old {
		if failed[p.topic] != nil { // not written, so it does not count
			p.replicas, p.adding, p.removing = b.replicas, b.adding, b.removing
			delete(old, p)
		}
	}
	ps = slices.DeleteFunc(ps, func(p *partition) bool { return failed[p.topic] != nil })
	// Replicas that an earlier reassignment was adding and this one does not want.
	unneeded := map[*partition][]int32{}
	for p, b := range old {
		if ids := without(b.replicas, p.replicas); len(ids) > 0 {
			unneeded[p] = ids
		}
	}
	if err := m.stopRemoved(unneeded); err != nil {
		return nil, err
	}
	for _, p := range ps {
		m.term.reassigning[p] = struct{}{}
		m.log.Info().Str("topic", p.topic.name).Int32("partition", p.id).Ints32("target", p.target()).
			Ints32("adding", p.adding).Ints32("removing", p.removing).Msg("reassigning partition")
	}
	if err := m.reassign(ps); err != nil {
		return nil, err
	}
	return failed, m.createPartitions(added)
}

// stopRemoved takes replicas that are no longer in the assignment out of the ISR, and deletes them.
func (m *Machine) stopRemoved(removed map[*partition][]int32) error {
	ps := slices.SortedFunc(maps.Keys(removed), (*partition).compare)
	changed, err := m.update(ps, func(p *partition) (partitionState, bool) {
		if !p.written || !slices.ContainsFunc(p.state.isr, func(id int32) bool { return slices.Contains(removed[p], id) }) {
			return p.state, false
		}
		isr := without(p.state.isr, removed[p])
		s := m.term.next(p)
		if slices.Contains(removed[p], s.leader) {
			s.leader = noLeader
			for _, id := range p.replicas {
				if slices.Contains(isr, id) && m.term.online(p, id) {
					s.leader = id
					break
				}
			}
		}
		if len(isr) == 0 {
			return p.state, false // the last one with the data stays until another has it
		}
		s.isr = isr
		return s, true
	})
	if err != nil {
		return err
	}
	b := m.newBatch()
	for _, p := range changed {
		b.tellReplicas(p, m.onlineReplicas(p), isOld)
	}
	for _, p := range ps {
		for _, id := range removed[p] {
			b.stopReplica(p, id, true)
		}
	}
	b.flush()
	return nil
}

// reassign does the phase that each of the partitions is in.
func (m *Machine) reassign(ps []*partition) error {
	var start, complete, finish []*partition
	for _, p := range ps {
		switch {
		case p.topic.deleting() || !p.written:
		case p.completing != nil:
			finish = append(finish, p)
		case m.targetInSync(p):
			complete = append(complete, p)
		default:
			start = append(start, p)
		}
	}
	if err := m.reassignStart(start); err != nil {
		return err
	}
	if err := m.reassignComplete(complete); err != nil {
		return err
	}
	return m.reassignFinish(finish)
}

// targetInSync tells whether all target replicas are in sync.
func (m *Machine) targetInSync(p *partition) bool {
	return !p.beingReassigned() || p.written && len(without(p.target(), p.state.isr)) == 0
}

// reassignStart is phase A.
func (m *Machine) reassignStart(ps []*partition) error {
	changed, err := m.update(ps, func(p *partition) (partitionState, bool) { return m.term.next(p), true })
	if err != nil {
		return err
	}
	b := m.newBatch()
	for _, p := range changed {
		b.tellReplicas(p, m.onlineReplicas(p), func(id int32) bool {
			return slices.Contains(p.adding, id) && !slices.Contains(p.state.isr, id)
		})
	}
	b.flush()
	return nil
}

// reassignComplete is phase B.
func (m *Machine) reassignComplete(ps []*partition) error {
	if len(ps) == 0 {
		return nil
	}
	targets := map[*partition][]int32{}
	for _, p := range ps {
		targets[p] = p.target()
	}
	changed, err := m.update(ps, func(p *partition) (partitionState, bool) {
		s, ok := m.term.reassigned(p, targets[p])
		if !ok {
			m.log.Warn().Str("topic", p.topic.name).Int32("partition", p.id).Ints32("target", targets[p]).
				Msg("reassignment waits: no target replica can lead")
		}
		return s, ok
	})
	if err != nil {
		return err
	}
	// The new assignment counts from here; the topic znode follows when the removed replicas are gone.
	b := m.newBatch()
	for _, p := range changed {
		p.completing = &completing{replicas: p.replicas, adding: p.adding, removing: p.removing, waiting: map[int32]struct{}{}}
		p.replicas, p.adding, p.removing = targets[p], nil, nil
		b.tellReplicas(p, m.onlineReplicas(p), isOld)
		for _, id := range p.completing.removing {
			if m.term.registered(id) {
				p.completing.waiting[id] = struct{}{}
				b.stopReplica(p, id, true)
			}
		}
	}
	b.flush()
	return m.reassignFinish(changed)
}

// removedReplicaGone takes note that broker id has answered that its replica of p is gone, or is gone
// itself.
func (p *partition) removedReplicaGone(id int32) bool {
	if p.completing == nil {
		return false
	}
	_, ok := p.completing.waiting[id]
	delete(p.completing.waiting, id)
	return ok
}

// reassignFinish writes the topic znodes of those partitions that wait for nobody any more.
func (m *Machine) reassignFinish(ps []*partition) error {
	var done []*partition
	var topics []*topic
	old := map[*partition]*completing{}
	for _, p := range ps {
		if p.completing == nil || len(p.completing.waiting) > 0 {
			continue
		}
		done = append(done, p)
		old[p], p.completing = p.completing, nil
		if !slices.Contains(topics, p.topic) {
			topics = append(topics, p.topic)
		}
	}
	if len(done) == 0 {
		return nil
	}
	added, failed, err := m.writeTopics(topics)
	if err != nil {
		return err
	}
	b := m.newBatch()
	for _, p := range done {
		if failed[p.topic] != nil {
			p.completing = old[p] // the next event that concerns it tries again
			continue
		}
		delete(m.term.reassigning, p)
		b.tellAll(p)
		m.log.Info().Str("topic", p.topic.name).Int32("partition", p.id).Ints32("replicas", p.replicas).Msg("partition reassigned")
	}
	b.flush()
	if err := m.createPartitions(added); err != nil {
		return err
	}
	return m.trimReassignmentZNode(func(topic string, partition int32) bool {
		p := m.term.partition(topic, partition)
		_, running := m.term.reassigning[p]
		return !running && slices.Contains(done, p)
	})
}

// continueReassignments completes those of the partitions whose reassignment can be completed, after a
// change of the ISR.
func (m *Machine) continueReassignments(ps []*partition) error {
	var done []*partition
	for _, p := range ps {
		if _, ok := m.term.reassigning[p]; ok && p.completing == nil && m.targetInSync(p) {
			done = append(done, p)
		}
	}
	return m.reassignComplete(done)
}

// resumeReassignments starts those again for which which answers true: some broker is new, or this
// controller is.
func (m *Machine) resumeReassignments(which func(*partition) bool) error {
	var ps []*partition
	for p := range m.term.reassigning {
		if which(p) {
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, (*partition).compare)
	return m.reassign(ps)
}
