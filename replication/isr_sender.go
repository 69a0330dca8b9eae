package replication

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// isrSender sends ISR changes to the controller: one request in flight, and everything proposed meanwhile in the next (AlterPartitionManager).
type isrSender struct {
	m    *Manager
	wake chan struct{}

	mu      sync.Mutex
	waiting map[*Partition]struct{}
}

func newISRSender(m *Manager) *isrSender {
	return &isrSender{m: m, wake: make(chan struct{}, 1), waiting: map[*Partition]struct{}{}}
}

// submit queues partitions with a pending change.
func (s *isrSender) submit(ps ...*Partition) {
	if len(ps) == 0 {
		return
	}
	s.mu.Lock()
	for _, p := range ps {
		s.waiting[p] = struct{}{}
	}
	s.mu.Unlock()
	s.signal()
}

func (s *isrSender) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// kick looks for lagging followers now.
func (s *isrSender) kick() {
	s.m.shrinkAll()
	s.signal()
}

// proposal is one partition's part of a request.
type proposal struct {
	p           *Partition
	topicID     [16]byte
	change      *isrChange
	leaderEpoch int32
	epoch       int32 // partition epoch
}

// take empties the queue. Partitions whose change is no longer pending drop out.
func (s *isrSender) take() (ps []proposal) {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = map[*Partition]struct{}{}
	s.mu.Unlock()
	for p := range waiting {
		if r := p.role.Load(); r.leader && r.pending != nil {
			ps = append(ps, proposal{p, p.TopicID(), r.pending, r.leaderEpoch, r.partitionEpoch})
		}
	}
	return ps
}

func (s *isrSender) run() {
	for {
		select {
		case <-s.m.ctx.Done():
			return
		case <-s.wake:
		}
		if s.m.frozen.Load() {
			continue // the thaw wakes again
		}
		if retry := s.send(s.take()); len(retry) > 0 {
			if !sleep(s.m.ctx, s.m.cfg.AlterPartitionRetry) {
				return
			}
			s.submit(retry...)
		}
	}
}

// send sends one request and applies its answer. It returns what is to be sent again.
func (s *isrSender) send(ps []proposal) (retry []*Partition) {
	if len(ps) == 0 {
		return nil
	}
	req := s.request(ps)
	resp, err := s.m.deps.AlterPartition(s.m.ctx, req)
	if err == nil && resp.ErrorCode != 0 {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		if s.m.ctx.Err() == nil {
			s.m.log.Warn().Err(err).Int("partitions", len(ps)).Msg("isr changes not accepted by the controller, sending them again")
		}
		for _, q := range ps {
			retry = append(retry, q.p)
		}
		return retry
	}
	for _, q := range ps {
		if s.answered(q, findAnswer(resp, q)) {
			retry = append(retry, q.p)
		}
	}
	return retry
}

// request is version 3, or 1 if some topic has no id.
func (s *isrSender) request(ps []proposal) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = 3
	req.BrokerID, req.BrokerEpoch = s.m.cfg.BrokerID, s.m.deps.BrokerEpoch()
	slices.SortStableFunc(ps, func(a, b proposal) int { return compareTopicPartition(a.p.tp, b.p.tp) })
	for i, q := range ps {
		if q.topicID == ([16]byte{}) {
			req.Version = 1
		}
		if i == 0 || ps[i-1].p.tp.Topic != q.p.tp.Topic {
			t := kmsg.NewAlterPartitionRequestTopic()
			t.Topic, t.TopicID = q.p.tp.Topic, q.topicID
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		rp := kmsg.NewAlterPartitionRequestTopicPartition()
		rp.Partition, rp.LeaderEpoch, rp.PartitionEpoch = q.p.tp.Partition, q.leaderEpoch, q.epoch
		rp.NewISR = q.change.isr
		for _, id := range q.change.isr {
			e := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
			e.BrokerID, e.BrokerEpoch = id, -1 // no broker epochs with ZooKeeper
			rp.NewEpochISR = append(rp.NewEpochISR, e)
		}
		t.Partitions = append(t.Partitions, rp)
	}
	return req
}

func findAnswer(resp *kmsg.AlterPartitionResponse, q proposal) *kmsg.AlterPartitionResponseTopicPartition {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if resp.Version >= 2 && t.TopidID != q.topicID || resp.Version < 2 && t.Topic != q.p.tp.Topic {
			continue
		}
		for j := range t.Partitions {
			if t.Partitions[j].Partition == q.p.tp.Partition {
				return &t.Partitions[j]
			}
		}
	}
	return nil
}

// answered applies the controller's answer to one partition. It reports whether the change is to be sent again.
func (s *isrSender) answered(q proposal, a *kmsg.AlterPartitionResponseTopicPartition) (again bool) {
	if a == nil {
		q.p.logger().Error().Msg("the controller's answer to isr changes lacks the partition, sending it again")
		return true
	}
	switch a.ErrorCode {
	case 0:
		q.p.isrConfirmed(a.LeaderEpoch, a.ISR, a.PartitionEpoch, a.LeaderRecoveryState == 1)
		return false
	case kerr.IneligibleReplica.Code, kerr.OperationNotAttempted.Code:
		q.p.logger().Info().Ints32("proposed", q.change.isr).Msg("isr change refused: a replica is not eligible")
		q.p.isrRefused(q.change)
		return false
	case kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code, kerr.FencedLeaderEpoch.Code, kerr.InvalidUpdateVersion.Code, kerr.InvalidRequest.Code:
		// The controller knows more than this broker: LeaderAndIsr is on its way.
		q.p.logger().Info().Err(kerr.ErrorForCode(a.ErrorCode)).Ints32("proposed", q.change.isr).Msg("isr change refused, waiting for the controller")
		return false
	}
	q.p.logger().Warn().Err(kerr.ErrorForCode(a.ErrorCode)).Ints32("proposed", q.change.isr).Msg("isr change failed, sending it again")
	return true
}
