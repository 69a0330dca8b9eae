package controller

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// alterPartition serves AlterPartition, versions 0-3: the leader of partitions wants another ISR. v2: topic
// ids. v3: ISR members come with their broker epochs (-1 in ZooKeeper mode).
//
// Errors: NOT_CONTROLLER, STALE_BROKER_EPOCH; per partition UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION,
// NOT_CONTROLLER, FENCED_LEADER_EPOCH, INVALID_UPDATE_VERSION, INVALID_REQUEST, INELIGIBLE_REPLICA
// (OPERATION_NOT_ATTEMPTED before v2).
func (m *Machine) alterPartition(ev AlterPartition) error {
	req := ev.Request
	resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
	if m.term == nil {
		resp.ErrorCode = kerr.NotController.Code
		ev.Reply(resp)
		return nil
	}
	if b := m.term.brokers[req.BrokerID]; b == nil || b.epoch != req.BrokerEpoch {
		resp.ErrorCode = kerr.StaleBrokerEpoch.Code
		ev.Reply(resp)
		return nil
	}
	changes, err := m.writeISRs(req, resp)
	if err != nil {
		resp.ErrorCode, resp.Topics = kerr.NotController.Code, nil
		ev.Reply(resp)
		return err
	}
	ev.Reply(resp)
	if len(changes) == 0 {
		return nil
	}
	b := m.newBatch()
	for _, p := range changes {
		b.tellAll(p)
	}
	b.flush()
	return m.continueReassignments(changes)
}

// writeISRs writes what passes the checks and fills the response.
func (m *Machine) writeISRs(req *kmsg.AlterPartitionRequest, resp *kmsg.AlterPartitionResponse) ([]*partition, error) {
	type change struct {
		p      *partition
		state  partitionState
		answer *kmsg.AlterPartitionResponseTopicPartition
	}
	var changes []change
	var reqs []Request
	seen := map[*partition]bool{}
	resp.Topics = make([]kmsg.AlterPartitionResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		rt := &resp.Topics[i]
		rt.Topic, rt.TopidID = t.Topic, t.TopicID
		rt.Partitions = make([]kmsg.AlterPartitionResponseTopicPartition, len(t.Partitions))
		topic, unknown := m.term.topics[t.Topic], kerr.UnknownTopicOrPartition
		if req.Version >= 2 {
			topic, unknown = m.term.byID[t.TopicID], kerr.UnknownTopicID
		}
		for j, tp := range t.Partitions {
			a := &rt.Partitions[j]
			a.Partition = tp.Partition
			if topic == nil || topic.deleting() {
				a.ErrorCode = unknown.Code
				continue
			}
			p := topic.partition(tp.Partition)
			if p == nil || !p.written {
				a.ErrorCode = kerr.UnknownTopicOrPartition.Code
				continue
			}
			s, code := m.wantedISR(req, tp, p)
			switch {
			case code != nil:
				a.ErrorCode = code.Code
			case s == nil:
				fillState(a, p)
			case seen[p]:
				a.ErrorCode = kerr.InvalidRequest.Code
			default:
				seen[p] = true
				changes = append(changes, change{p, *s, a})
				reqs = append(reqs, m.fenced(zkmeta.SetOp(statePath(p), encodeState(*s), p.version)))
			}
		}
	}
	results, err := m.do(reqs...)
	if err != nil {
		return nil, err
	}
	var written, stale []*partition
	for i, r := range results {
		c := changes[i]
		switch {
		case r.Err == nil:
			c.p.state, c.p.version = c.state, r.Written[0].Stat.Version
			fillState(c.answer, c.p)
			written = append(written, c.p)
		case errors.Is(r.Err, zkmeta.ErrBadVersion):
			c.answer.ErrorCode = kerr.InvalidUpdateVersion.Code
			stale = append(stale, c.p)
		default:
			m.log.Error().Err(r.Err).Str("topic", c.p.topic.name).Int32("partition", c.p.id).Msg("ISR could not be written")
			c.answer.ErrorCode = kerr.UnknownServerError.Code
		}
	}
	if err := m.reread(stale); err != nil {
		return nil, fmt.Errorf("after a version conflict: %w", err)
	}
	slices.SortFunc(written, (*partition).compare)
	return written, nil
}

// wantedISR checks one partition of an AlterPartition, in Kafka's order. It answers the state to write, or
// nil if the partition has it already.
func (m *Machine) wantedISR(req *kmsg.AlterPartitionRequest, tp kmsg.AlterPartitionRequestTopicPartition, p *partition) (*partitionState, *kerr.Error) {
	isr := tp.NewISR
	if req.Version >= 3 {
		isr = make([]int32, len(tp.NewEpochISR))
		for i, e := range tp.NewEpochISR {
			isr[i] = e.BrokerID
		}
	}
	recovering := tp.LeaderRecoveryState == 1
	cur := p.state
	switch {
	case tp.PartitionEpoch > p.version || tp.LeaderEpoch > cur.leaderEpoch:
		// The leader knows more than we do, so we are the ones who are out of date.
		return nil, kerr.NotController
	case tp.LeaderEpoch < cur.leaderEpoch:
		return nil, kerr.FencedLeaderEpoch
	case cur.leader == req.BrokerID && sameSet(isr, cur.isr) && recovering == cur.recovering:
		return nil, nil
	case tp.PartitionEpoch < p.version:
		return nil, kerr.InvalidUpdateVersion
	case tp.LeaderRecoveryState < 0 || tp.LeaderRecoveryState > 1,
		recovering && len(isr) > 1,
		recovering && !cur.recovering,
		cur.leader != req.BrokerID, // an honest broker with this leader epoch is the leader
		!slices.Contains(isr, cur.leader),
		hasDuplicates(isr),
		len(without(isr, p.replicas)) > 0:
		return nil, kerr.InvalidRequest
	case len(without(isr, m.term.liveIDs())) > 0:
		if req.Version < 2 {
			return nil, kerr.OperationNotAttempted
		}
		return nil, kerr.IneligibleReplica
	}
	return &partitionState{leader: cur.leader, leaderEpoch: cur.leaderEpoch, isr: slices.Clone(isr),
		recovering: recovering, controllerEpoch: m.term.epoch}, nil
}

func hasDuplicates(ids []int32) bool {
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return true
		}
	}
	return false
}

func fillState(a *kmsg.AlterPartitionResponseTopicPartition, p *partition) {
	a.LeaderID, a.LeaderEpoch, a.ISR, a.PartitionEpoch = p.state.leader, p.state.leaderEpoch, p.state.isr, p.version
	if p.state.recovering {
		a.LeaderRecoveryState = 1
	}
}
