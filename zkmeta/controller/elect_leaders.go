package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// Election types of ElectLeaders (KIP-460).
const (
	electPreferred int8 = 0
	electUnclean   int8 = 1
)

// electLeaders serves ElectLeaders, versions 0-2. v0: preferred elections only. v1: unclean ones (KIP-460).
// Without a list of partitions all are meant, and those that need no election are left out of the answer.
//
// Errors: NOT_CONTROLLER, INVALID_REQUEST; per partition UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION,
// ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE.
func (m *Machine) electLeaders(ev ElectLeaders) error {
	req := ev.Request
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	typ := req.ElectionType
	if req.Version == 0 {
		typ = electPreferred
	}
	fail := func(code *kerr.Error) {
		resp.ErrorCode, resp.Topics = code.Code, nil
		if req.Version == 0 { // has no error code of its own
			resp.Topics = electionErrors(req, code)
		}
		ev.Reply(resp)
	}
	switch {
	case m.term == nil:
		fail(kerr.NotController)
		return nil
	case typ != electPreferred && typ != electUnclean:
		fail(kerr.InvalidRequest)
		return nil
	}
	var named []zkmeta.TP
	if req.Topics == nil {
		for _, p := range m.term.partitionsNotDeleting(func(*partition) bool { return true }) {
			named = append(named, zkmeta.TP{Topic: p.topic.name, Partition: p.id})
		}
	}
	for _, t := range req.Topics {
		for _, id := range t.Partitions {
			named = append(named, zkmeta.TP{Topic: t.Topic, Partition: id})
		}
	}
	outcome, err := m.electNamed(named, typ)
	if err != nil {
		fail(kerr.NotController)
		return err
	}
	index := map[string]int{}
	done := map[zkmeta.TP]bool{}
	for _, tp := range named {
		e := outcome[tp]
		if done[tp] || req.Topics == nil && errors.Is(e, kerr.ElectionNotNeeded) {
			continue
		}
		done[tp] = true
		i, ok := index[tp.Topic]
		if !ok {
			i = len(resp.Topics)
			index[tp.Topic] = i
			t := kmsg.NewElectLeadersResponseTopic()
			t.Topic = tp.Topic
			resp.Topics = append(resp.Topics, t)
		}
		a := kmsg.NewElectLeadersResponseTopicPartition()
		a.Partition = tp.Partition
		if e != nil {
			a.ErrorCode, a.ErrorMessage = wireCode(e)
		}
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, a)
	}
	ev.Reply(resp)
	return nil
}

func electionErrors(req *kmsg.ElectLeadersRequest, code *kerr.Error) []kmsg.ElectLeadersResponseTopic {
	topics := make([]kmsg.ElectLeadersResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		topics[i].Topic = t.Topic
		for _, id := range t.Partitions {
			a := kmsg.NewElectLeadersResponseTopicPartition()
			a.Partition, a.ErrorCode, a.ErrorMessage = id, code.Code, &code.Description
			topics[i].Partitions = append(topics[i].Partitions, a)
		}
	}
	return topics
}

// electNamed runs an election for each of the partitions that needs one; the outcome has an error for those
// that did not get the leader asked for.
func (m *Machine) electNamed(named []zkmeta.TP, typ int8) (map[zkmeta.TP]error, error) {
	c := m.term
	outcome := make(map[zkmeta.TP]error, len(named))
	elect := map[*partition]struct{}{}
	for _, tp := range named {
		p := c.partition(tp.Topic, tp.Partition)
		switch {
		case p == nil:
			outcome[tp] = &wireError{kerr.UnknownTopicOrPartition, "The partition does not exist."}
		case p.topic.deleting():
			outcome[tp] = &wireError{kerr.InvalidTopicException, "The topic is being deleted"}
		case typ == electPreferred && p.written && p.state.leader == p.replicas[0],
			typ == electUnclean && c.leaderOnline(p):
			outcome[tp] = &wireError{kerr.ElectionNotNeeded, "Leader election not needed for topic partition."}
		default:
			elect[p] = struct{}{}
		}
	}
	ps := slices.SortedFunc(maps.Keys(elect), (*partition).compare)
	changed, err := m.electAndTell(ps, typ)
	if err != nil {
		return nil, err
	}
	for _, p := range changed {
		delete(elect, p)
	}
	for p := range elect {
		tp := zkmeta.TP{Topic: p.topic.name, Partition: p.id}
		if typ == electPreferred {
			outcome[tp] = &wireError{kerr.PreferredLeaderNotAvailable,
				fmt.Sprintf("Failed to elect leader for partition %s under strategy PreferredReplicaPartitionLeaderElectionStrategy", tp)}
		} else {
			outcome[tp] = &wireError{kerr.EligibleLeadersNotAvailable,
				fmt.Sprintf("Failed to elect leader for partition %s under strategy OfflinePartitionLeaderElectionStrategy(true)", tp)}
		}
	}
	return outcome, nil
}

// electAndTell elects leaders and tells the replicas; it answers with the partitions that got one.
func (m *Machine) electAndTell(ps []*partition, typ int8) ([]*partition, error) {
	c := m.term
	changed, err := m.update(ps, func(p *partition) (partitionState, bool) {
		switch {
		case !p.written:
			return p.state, false
		case typ == electPreferred:
			return c.preferred(p)
		}
		s, ok := c.settled(p, true)
		return s, ok && s.leader != noLeader
	})
	if err != nil {
		return nil, err
	}
	b := m.newBatch()
	for _, p := range changed {
		m.logChange(p)
		b.tellReplicas(p, m.onlineReplicas(p), isOld)
	}
	b.flush()
	return changed, nil
}

// electionZNode handles /admin/preferred_replica_election, which tools older than Kafka 2.4 write.
func (m *Machine) electionZNode() error {
	const path = zkmeta.PreferredReplicaElection
	results, err := m.do(Request{Kind: ReadExists, Path: path, Watch: true})
	if err != nil {
		return err
	}
	switch {
	case results[0].Err != nil:
		return fmt.Errorf("read %s: %w", path, results[0].Err)
	case !results[0].Exists:
		return nil
	}
	results, err = m.do(Request{Kind: ReadData, Path: path})
	if err != nil {
		return err
	}
	switch err := results[0].Err; {
	case errors.Is(err, zkmeta.ErrNoNode):
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", path, err)
	}
	wanted, err := zkmeta.DecodePreferredElection(results[0].Data)
	if err != nil {
		m.log.Error().Err(err).Msg("preferred replica election znode is damaged and removed")
	} else {
		outcome, err := m.electNamed(wanted.Partitions, electPreferred)
		if err != nil {
			return err
		}
		for _, tp := range wanted.Partitions {
			if e := outcome[tp]; e != nil && !errors.Is(e, kerr.ElectionNotNeeded) {
				m.log.Warn().Err(e).Str("topic", tp.Topic).Int32("partition", tp.Partition).Msg("preferred leader was not elected")
			}
		}
	}
	return m.deleteNodes([]string{path})
}

// uncleanElectionEnabled looks for leaders for the partitions of a topic, or of all topics if it is empty,
// that have none.
func (m *Machine) uncleanElectionEnabled(topic string) error {
	if m.term == nil {
		return nil
	}
	return m.settleAndTell(m.term.partitionsNotDeleting(func(p *partition) bool {
		return (topic == "" || p.topic.name == topic) && !m.term.leaderOnline(p)
	}))
}

// rebalance gives leaderships back to the preferred replicas of brokers where too many are elsewhere
// (KafkaController.checkAndTriggerAutoLeaderRebalance).
func (m *Machine) rebalance() error {
	c := m.term
	if len(c.reassigning) > 0 {
		return nil
	}
	type share struct {
		total  int
		astray []*partition
	}
	shares := map[int32]*share{}
	for _, p := range c.partitionsNotDeleting(func(p *partition) bool { return p.written }) {
		s := shares[p.replicas[0]]
		if s == nil {
			s = &share{}
			shares[p.replicas[0]] = s
		}
		s.total++
		if p.state.leader != p.replicas[0] {
			s.astray = append(s.astray, p)
		}
	}
	var ps []*partition
	for _, id := range slices.Sorted(maps.Keys(shares)) {
		s := shares[id]
		if !c.live(id) || len(s.astray)*100 <= s.total*m.cfg.ImbalancePercent {
			continue
		}
		for _, p := range s.astray {
			if _, ok := c.preferred(p); ok {
				ps = append(ps, p)
			}
		}
	}
	changed, err := m.electAndTell(ps, electPreferred)
	if len(changed) > 0 {
		m.log.Info().Int("partitions", len(changed)).Msg("leaders moved to their preferred replicas")
	}
	return err
}
