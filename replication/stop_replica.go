package replication

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"ottla/storage"
)

// Leader epochs of StopReplica that skip the epoch check (LeaderAndIsr.scala).
const (
	noEpoch           int32 = -1 // a request older than version 3
	epochDuringDelete int32 = -2 // the topic is being deleted
)

// StopReplica stops leading or following partitions and deletes those the controller says (inter-broker.md §3.3). It keeps nothing of req.
//
// Errors: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH; per partition FENCED_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
func (m *Manager) StopReplica(req *kmsg.StopReplicaRequest) *kmsg.StopReplicaResponse {
	resp := req.ResponseKind().(*kmsg.StopReplicaResponse)
	m.stateMu.Lock()
	defer m.stateMu.Unlock()
	if err := m.checkControllerLocked(req.ControllerEpoch, req.BrokerEpoch, req.Version >= 1); err != nil {
		m.log.Warn().Err(err).Int32("controller", req.ControllerID).Msg("stop replica request refused")
		resp.ErrorCode = codeOf(err)
		return resp
	}
	stops := stopsOf(req)
	var changes []LeaderChange
	var removed []*Partition
	for i := range stops {
		s := &stops[i]
		s.check(m.table.get(s.tp.Topic, s.tp.Partition))
		if !s.stop {
			continue
		}
		m.fetchers.remove(s.p)
		epoch := s.p.role.Load().leaderEpoch
		if s.p.resign(s.delete) {
			changes = append(changes, LeaderChange{s.p.tp, false, epoch})
		}
		if s.delete {
			s.p.gone.Store(true)
			removed = append(removed, s.p)
		}
	}
	m.table.update(nil, removed)
	m.tellLeadership(changes)
	m.deleteLogs(stops)
	for i := range stops {
		s := &stops[i]
		rp := kmsg.NewStopReplicaResponsePartition()
		rp.Topic, rp.Partition, rp.ErrorCode = s.tp.Topic, s.tp.Partition, s.code
		resp.Partitions = append(resp.Partitions, rp)
	}
	return resp
}

// stopping is one partition of a StopReplica request.
type stopping struct {
	tp     storage.TopicPartition
	epoch  int32
	delete bool
	p      *Partition
	stop   bool
	code   int16
}

func stopsOf(req *kmsg.StopReplicaRequest) []stopping {
	var stops []stopping
	add := func(topic string, partition, epoch int32, del bool) {
		stops = append(stops, stopping{tp: storage.TopicPartition{Topic: topic, Partition: partition}, epoch: epoch, delete: del})
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		topic := strings.Clone(t.Topic)
		if req.Version == 0 {
			add(topic, t.Partition, noEpoch, req.DeletePartitions)
		}
		for _, id := range t.Partitions {
			add(topic, id, noEpoch, req.DeletePartitions)
		}
		for j := range t.PartitionStates {
			s := &t.PartitionStates[j]
			add(topic, s.Partition, s.LeaderEpoch, s.Delete)
		}
	}
	return stops
}

func (s *stopping) check(p *Partition) {
	if p == nil {
		return // not an error; a leftover directory is deleted if asked
	}
	s.p = p
	r := p.role.Load()
	switch {
	case r.offline:
		s.code = kerr.KafkaStorageError.Code
	case s.epoch != noEpoch && s.epoch != epochDuringDelete && s.epoch < r.leaderEpoch:
		s.code = kerr.FencedLeaderEpoch.Code
	default:
		s.stop = true
	}
}

// deleteLogs deletes what stopped and has no error, also directories that no partition was known for.
func (m *Manager) deleteLogs(stops []stopping) {
	var g errgroup.Group
	g.SetLimit(parallelLogs)
	for i := range stops {
		s := &stops[i]
		if !s.delete || s.code != 0 || m.deps.Logs.Log(s.tp) == nil {
			continue
		}
		g.Go(func() error {
			if err := m.deps.Logs.Delete(s.tp); err != nil {
				m.log.Error().Err(err).Stringer("partition", s.tp).Msg("replica cannot be deleted")
				s.code = kerr.KafkaStorageError.Code
			}
			return nil
		})
	}
	_ = g.Wait() // errors are in the elements
}
