package replication

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"ottla/storage"
)

// parallelLogs is how many logs of one request are created or given an epoch at a time; their fsyncs overlap.
const parallelLogs = 16

// decision is one partition of a LeaderAndIsr request.
type decision struct {
	tp      storage.TopicPartition
	topicID [16]byte
	state   *kmsg.LeaderAndISRRequestTopicPartition
	p       *Partition
	code    int16
	apply   bool
	changed *LeaderChange
}

// LeaderAndISR makes this broker leader and follower as the controller says (inter-broker.md §3.1, ReplicaManager.becomeLeaderOrFollower).
// It keeps nothing of req.
//
// Errors: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH; per partition STALE_CONTROLLER_EPOCH (leader epoch not newer), KAFKA_STORAGE_ERROR,
// INCONSISTENT_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION (this broker is no replica).
func (m *Manager) LeaderAndISR(req *kmsg.LeaderAndISRRequest) *kmsg.LeaderAndISRResponse {
	resp := req.ResponseKind().(*kmsg.LeaderAndISRResponse)
	m.stateMu.Lock()
	defer m.stateMu.Unlock()
	if err := m.checkControllerLocked(req.ControllerEpoch, req.BrokerEpoch, req.Version >= 2); err != nil {
		m.log.Warn().Err(err).Int32("controller", req.ControllerID).Msg("leader and isr request refused")
		resp.ErrorCode = codeOf(err)
		return resp
	}
	ds := decisionsOf(req)
	var added []*Partition
	for i := range ds {
		if m.accept(&ds[i]) {
			added = append(added, ds[i].p)
		}
	}
	m.openLogs(ds)
	m.table.update(added, nil)
	for _, leading := range []bool{true, false} {
		var g errgroup.Group
		g.SetLimit(parallelLogs)
		for i := range ds {
			if d := &ds[i]; d.apply && (d.state.Leader == m.cfg.BrokerID) == leading {
				g.Go(func() error { m.apply(d, leading); return nil })
			}
		}
		_ = g.Wait() // apply reports in the decision
	}
	m.fetchers.start()
	var changes []LeaderChange
	for i := range ds {
		if c := ds[i].changed; c != nil {
			changes = append(changes, *c)
		}
	}
	m.tellLeadership(changes)
	fillLeaderAndISR(resp, ds)
	return resp
}

func (m *Manager) checkControllerLocked(controllerEpoch int32, brokerEpoch int64, hasBrokerEpoch bool) error {
	if own := m.deps.BrokerEpoch(); hasBrokerEpoch && brokerEpoch != -1 && brokerEpoch < own {
		return fmt.Errorf("broker epoch %d is older than %d: %w", brokerEpoch, own, kerr.StaleBrokerEpoch)
	}
	return m.checkControllerEpochLocked(controllerEpoch)
}

func decisionsOf(req *kmsg.LeaderAndISRRequest) []decision {
	var ds []decision
	for i := range req.PartitionStates { // versions 0 and 1
		s := &req.PartitionStates[i]
		ds = append(ds, decision{tp: storage.TopicPartition{Topic: s.Topic, Partition: s.Partition}, state: s})
	}
	for i := range req.TopicStates {
		t := &req.TopicStates[i]
		for j := range t.PartitionStates {
			s := &t.PartitionStates[j]
			ds = append(ds, decision{tp: storage.TopicPartition{Topic: t.Topic, Partition: s.Partition}, topicID: t.TopicID, state: s})
		}
	}
	return ds
}

// accept checks a decision against what is known. It reports whether d.p is new here.
func (m *Manager) accept(d *decision) (added bool) {
	d.p = m.table.get(d.tp.Topic, d.tp.Partition)
	r := noRole
	if d.p != nil {
		r = d.p.role.Load()
	}
	var known [16]byte
	if d.p != nil {
		known = d.p.TopicID()
	} else if l := m.deps.Logs.Log(d.tp); l != nil {
		known = l.TopicID()
	}
	logger := m.log.With().Stringer("partition", d.tp).Int32("leader_epoch", d.state.LeaderEpoch).Int32("known_epoch", r.leaderEpoch).Logger()
	switch {
	case r.offline:
		d.code = kerr.KafkaStorageError.Code
	case d.topicID != [16]byte{} && known != [16]byte{} && d.topicID != known:
		logger.Error().Hex("topic_id", d.topicID[:]).Hex("known_id", known[:]).Msg("decision is about another topic of that name")
		d.code = kerr.InconsistentTopicID.Code
	case d.state.LeaderEpoch > r.leaderEpoch:
		if !slices.Contains(d.state.Replicas, m.cfg.BrokerID) {
			logger.Warn().Ints32("replicas", d.state.Replicas).Msg("decision ignored: this broker is not a replica")
			d.code = kerr.UnknownTopicOrPartition.Code
			return false
		}
		if d.state.ZKVersion < r.partitionEpoch {
			return false // an older state of the same partition: nothing to do, no error
		}
		d.apply = true
		if d.p == nil {
			d.tp.Topic = strings.Clone(d.tp.Topic)
			d.p = newPartition(m, d.tp)
			return true
		}
		d.tp = d.p.tp
	case d.state.LeaderEpoch == r.leaderEpoch && d.topicID != [16]byte{} && known == [16]byte{} && d.p != nil && d.p.Log() != nil:
		if err := d.p.Log().SetTopicID(d.topicID); err != nil {
			logger.Error().Err(err).Msg("topic id not stored")
			d.code = codeOf(err)
		}
	default:
		logger.Debug().Msg("decision ignored: its leader epoch is not newer")
		d.code = kerr.StaleControllerEpoch.Code
	}
	return false
}

// openLogs creates or finds the logs of the accepted decisions.
func (m *Manager) openLogs(ds []decision) {
	var g errgroup.Group
	g.SetLimit(parallelLogs)
	for i := range ds {
		if d := &ds[i]; d.apply && d.p.Log() == nil {
			g.Go(func() error { m.openLog(d); return nil })
		}
	}
	_ = g.Wait() // openLog reports in the decision
}

func (m *Manager) openLog(d *decision) {
	l, err := m.deps.Logs.Create(d.tp, d.topicID, d.state.IsNew)
	if err == nil && l.TopicID() == ([16]byte{}) && d.topicID != ([16]byte{}) {
		err = l.SetTopicID(d.topicID)
	}
	if err != nil {
		d.apply = false
		d.code = codeOf(err)
		m.log.Error().Err(err).Stringer("partition", d.tp).Msg("replica cannot be opened")
		if d.code != kerr.InconsistentTopicID.Code {
			d.code = kerr.KafkaStorageError.Code
			d.p.goOffline()
		}
		return
	}
	if hw, ok := m.deps.Logs.CheckpointedHighWatermark(d.tp); ok && hw > l.HighWatermark() {
		l.SetHighWatermark(hw)
	}
	d.p.attach(l)
}

// apply makes the decision's role the partition's.
func (m *Manager) apply(d *decision, leading bool) {
	p, s := d.p, d.state
	next := &role{
		leaderID: s.Leader, leaderEpoch: s.LeaderEpoch, partitionEpoch: s.ZKVersion, recovering: s.LeaderRecoveryState == 1,
		replicas: slices.Clone(s.Replicas), adding: slices.Clone(s.AddingReplicas), removing: slices.Clone(s.RemovingReplicas), isr: slices.Clone(s.ISR),
	}
	next.maximalISR = next.isr
	m.fetchers.remove(p)
	if !leading {
		if p.becomeFollower(next) {
			d.changed = &LeaderChange{p.tp, false, s.LeaderEpoch}
		}
		if s.Leader >= 0 && !m.stopping {
			m.fetchers.add(p, s.Leader, s.LeaderEpoch)
		}
		m.logRole(p, next, "became follower")
		return
	}
	if _, err := p.becomeLeader(next); err != nil {
		m.log.Error().Err(err).Stringer("partition", p.tp).Msg("leader epoch not stored")
		d.code = kerr.KafkaStorageError.Code
		if p.goOffline() {
			d.changed = &LeaderChange{p.tp, false, s.LeaderEpoch}
		}
		return
	}
	d.changed = &LeaderChange{p.tp, true, s.LeaderEpoch}
	m.logRole(p, next, "became leader")
}

func (m *Manager) logRole(p *Partition, r *role, what string) {
	if e := m.log.Info(); e.Enabled() {
		l := p.Log()
		e.Str("topic", p.tp.Topic).Int32("partition", p.tp.Partition).Int32("leader", r.leaderID).Int32("leader_epoch", r.leaderEpoch).
			Int64("log_end_offset", l.EndOffset()).Int64("high_watermark", l.HighWatermark()).Ints32("isr", r.isr).Msg(what)
	}
}

func fillLeaderAndISR(resp *kmsg.LeaderAndISRResponse, ds []decision) {
	for i := range ds {
		d := &ds[i]
		rp := kmsg.NewLeaderAndISRResponseTopicPartition()
		rp.Topic, rp.Partition, rp.ErrorCode = d.tp.Topic, d.tp.Partition, d.code
		if resp.Version < 5 {
			resp.Partitions = append(resp.Partitions, rp)
			continue
		}
		if n := len(resp.Topics); n == 0 || ds[i-1].tp.Topic != d.tp.Topic {
			t := kmsg.NewLeaderAndISRResponseTopic()
			t.TopicID = d.topicID
			resp.Topics = append(resp.Topics, t)
		}
		t := &resp.Topics[len(resp.Topics)-1]
		t.Partitions = append(t.Partitions, rp)
	}
}
