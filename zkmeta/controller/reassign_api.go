package controller

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reassignable finds a partition whose assignment can be changed.
func (m *Machine) reassignable(topic string, id int32) (*partition, error) {
	p := m.term.partition(topic, id)
	switch {
	case p == nil:
		return nil, &wireError{kerr.UnknownTopicOrPartition, "The partition does not exist."}
	case p.topic.deleting():
		return nil, &wireError{kerr.UnknownTopicOrPartition, "The partition does not exist; its topic is being deleted."}
	}
	return p, nil
}

// checkTarget checks replicas that somebody wants for p.
func (m *Machine) checkTarget(p *partition, target []int32) error {
	bad := func(format string, args ...any) error {
		return &wireError{kerr.InvalidReplicaAssignment, fmt.Sprintf(format, args...)}
	}
	if len(target) == 0 {
		return bad("Empty replica list specified in partition reassignment.")
	}
	for i, id := range target {
		switch {
		case id < 0:
			return bad("Invalid broker id %d in replica list %v.", id, target)
		case slices.Contains(target[:i], id):
			return bad("Duplicate replica ids in partition reassignment replica list: %v", target)
		}
	}
	_, adding, _ := p.reassignTo(target)
	if len(without(adding, m.term.liveIDs())) > 0 {
		return bad("Replica assignment has brokers that are not alive. Replica list: %v, live broker list: %v", adding, m.term.liveIDs())
	}
	return m.checkKeepsData(p, target)
}

// checkKeepsData refuses to leave out every replica that is in sync, which a change or cancellation could
// do once an added replica is the last one with all records. (Kafka does it and deletes them.)
func (m *Machine) checkKeepsData(p *partition, target []int32) error {
	replicas, _, _ := p.reassignTo(target)
	if !p.written || len(p.state.isr) == 0 || len(without(p.state.isr, replicas)) < len(p.state.isr) {
		return nil
	}
	return &wireError{kerr.InvalidReplicaAssignment,
		fmt.Sprintf("None of the replicas %v is in sync, only %v.", replicas, p.state.isr)}
}

// alterReassignments serves AlterPartitionReassignments.
func (m *Machine) alterReassignments(ev AlterReassignments) error {
	resp := ev.Request.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	fail := func(err error) {
		resp.ErrorCode, resp.ErrorMessage = wireCode(err)
		resp.Topics = nil
		ev.Reply(resp)
	}
	if m.term == nil {
		fail(errNotController("alter partition reassignments"))
		return nil
	}
	var rs []reassignment
	answers := map[*partition]*kmsg.AlterPartitionAssignmentsResponseTopicPartition{}
	resp.Topics = make([]kmsg.AlterPartitionAssignmentsResponseTopic, len(ev.Request.Topics))
	for i, t := range ev.Request.Topics {
		rt := &resp.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, len(t.Partitions))
		for j, tp := range t.Partitions {
			a := &rt.Partitions[j]
			a.Partition = tp.Partition
			r, err := m.wantedReassignment(t.Topic, tp)
			if err == nil && answers[r.p] != nil {
				err = &wireError{kerr.InvalidRequest, "The partition is named twice."}
			}
			if err != nil {
				a.ErrorCode, a.ErrorMessage = wireCode(err)
				continue
			}
			answers[r.p] = a
			rs = append(rs, r)
		}
	}
	failed, err := m.startReassignments(rs)
	if err != nil {
		if endsTerm(err) {
			fail(errNotController("alter partition reassignments"))
		} else {
			fail(err)
		}
		return err
	}
	for _, r := range rs {
		if err := failed[r.p.topic]; err != nil {
			a := answers[r.p]
			a.ErrorCode, a.ErrorMessage = wireCode(err)
		}
	}
	ev.Reply(resp)
	// What a cancelled reassignment has in the znode would start it again at the next failover.
	return m.trimReassignmentZNode(func(topic string, partition int32) bool {
		p := m.term.partition(topic, partition)
		_, running := m.term.reassigning[p]
		return p == nil || !running
	})
}

func (m *Machine) wantedReassignment(topic string, tp kmsg.AlterPartitionAssignmentsRequestTopicPartition) (reassignment, error) {
	p, err := m.reassignable(topic, tp.Partition)
	if err != nil {
		return reassignment{}, err
	}
	if tp.Replicas == nil {
		if !p.beingReassigned() {
			return reassignment{}, &wireError{kerr.NoReassignmentInProgress, "No partition reassignment is in progress."}
		}
		if err := m.checkKeepsData(p, p.origin()); err != nil {
			return reassignment{}, err
		}
		return reassignment{p, p.origin()}, nil
	}
	if err := m.checkTarget(p, tp.Replicas); err != nil {
		return reassignment{}, err
	}
	return reassignment{p, slices.Clone(tp.Replicas)}, nil
}

// listReassignments serves ListPartitionReassignments: all of them, or those among the named partitions.
func (m *Machine) listReassignments(ev ListReassignments) {
	resp := ev.Request.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	if m.term == nil {
		resp.ErrorCode, resp.ErrorMessage = wireCode(errNotController("list partition reassignments"))
		ev.Reply(resp)
		return
	}
	var ps []*partition
	if ev.Request.Topics == nil {
		ps = slices.Collect(maps.Keys(m.term.reassigning))
	} else {
		for _, t := range ev.Request.Topics {
			for _, id := range t.Partitions {
				if p := m.term.partition(t.Topic, id); p != nil {
					ps = append(ps, p)
				}
			}
		}
	}
	slices.SortFunc(ps, (*partition).compare)
	for _, p := range slices.Compact(ps) {
		if !p.beingReassigned() {
			continue
		}
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != p.topic.name {
			rt := kmsg.NewListPartitionReassignmentsResponseTopic()
			rt.Topic = p.topic.name
			resp.Topics = append(resp.Topics, rt)
		}
		rp := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		rp.Partition, rp.Replicas, rp.AddingReplicas, rp.RemovingReplicas = p.id, p.replicas, p.adding, p.removing
		rt := &resp.Topics[len(resp.Topics)-1]
		rt.Partitions = append(rt.Partitions, rp)
	}
	ev.Reply(resp)
}
