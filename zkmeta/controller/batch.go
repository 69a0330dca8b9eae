package controller

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of the requests to brokers: those of Kafka 3.9 (inter.broker.protocol.version 3.9), which sends
// them without asking the receiver.
const (
	leaderAndISRVersion   = 7
	updateMetadataVersion = 8
	stopReplicaVersion    = 4
)

// A batch gathers what brokers have to be told after a change. Its order on each connection is Kafka's:
// LeaderAndIsr, UpdateMetadata, StopReplica (ControllerBrokerRequestBatch.sendRequestsToBrokers).
//
// A batch holds partitions, not copies of their state: flush takes the state of that moment.
type batch struct {
	m *Machine
	// leaderAndISR is by receiver; the value tells whether the replica is new.
	leaderAndISR map[int32]map[*partition]bool
	// metadata are the partitions of UpdateMetadata, which goes to every broker.
	metadata map[*partition]struct{}
	// brokersChanged asks for UpdateMetadata even without partitions.
	brokersChanged bool
	// stop is by receiver.
	stop map[int32]map[*partition]stopReplica
}

type stopReplica struct {
	leaderEpoch int32
	delete      bool
}

func (m *Machine) newBatch() *batch {
	return &batch{
		m:            m,
		leaderAndISR: map[int32]map[*partition]bool{},
		metadata:     map[*partition]struct{}{},
		stop:         map[int32]map[*partition]stopReplica{},
	}
}

// tellReplicas sends p's state to those of the given brokers that are registered, and its metadata to all.
func (b *batch) tellReplicas(p *partition, ids []int32, isNew func(id int32) bool) {
	for _, id := range ids {
		if !b.m.term.registered(id) {
			continue
		}
		ps := b.leaderAndISR[id]
		if ps == nil {
			ps = map[*partition]bool{}
			b.leaderAndISR[id] = ps
		}
		ps[p] = ps[p] || isNew(id)
	}
	b.tellAll(p)
}

// tellAll sends p's metadata to every broker.
func (b *batch) tellAll(p *partition) { b.metadata[p] = struct{}{} }

// stopReplica asks broker id to stop its replica of p, and to delete it if del is set.
func (b *batch) stopReplica(p *partition, id int32, del bool) {
	if !b.m.term.registered(id) {
		return
	}
	epoch := noEpoch
	switch {
	case p.topic.deleting():
		epoch = epochDuringDelete
	case p.written:
		epoch = p.state.leaderEpoch
	}
	ps := b.stop[id]
	if ps == nil {
		ps = map[*partition]stopReplica{}
		b.stop[id] = ps
	}
	ps[p] = stopReplica{leaderEpoch: epoch, delete: del || ps[p].delete}
}

func isOld(int32) bool { return false }
func isNew(int32) bool { return true }

// flush hands the requests to the channels.
func (b *batch) flush() {
	c := b.m.term
	for _, id := range slices.Sorted(maps.Keys(b.leaderAndISR)) {
		b.m.send(id, b.m.leaderAndISRRequest(c.brokers[id], b.leaderAndISR[id]))
	}
	if len(b.metadata) > 0 || b.brokersChanged {
		b.m.sendMetadata(c.brokerIDs(), b.metadata)
	}
	for _, id := range slices.Sorted(maps.Keys(b.stop)) {
		b.m.send(id, b.m.stopReplicaRequest(c.brokers[id], b.stop[id]))
	}
}

// sendMetadata sends UpdateMetadata with the given partitions, and all brokers, to the given brokers.
func (m *Machine) sendMetadata(ids []int32, ps map[*partition]struct{}) {
	if len(ids) == 0 {
		return
	}
	topics := m.metadataTopics(ps)
	brokers := m.metadataBrokers()
	for _, id := range ids {
		req := kmsg.NewPtrUpdateMetadataRequest()
		req.Version = updateMetadataVersion
		req.ControllerID = m.cfg.BrokerID
		req.ControllerEpoch = m.term.epoch
		req.BrokerEpoch = m.term.brokers[id].epoch
		req.TopicStates = topics
		req.LiveBrokers = brokers
		m.send(id, req)
	}
}

func (m *Machine) leaderAndISRRequest(b *broker, ps map[*partition]bool) *kmsg.LeaderAndISRRequest {
	req := kmsg.NewPtrLeaderAndISRRequest()
	req.Version = leaderAndISRVersion
	req.ControllerID = m.cfg.BrokerID
	req.ControllerEpoch = m.term.epoch
	req.BrokerEpoch = b.epoch
	leaders := map[int32]struct{}{}
	var last *topic
	for _, p := range slices.SortedFunc(maps.Keys(ps), (*partition).compare) {
		if p.topic != last {
			t := kmsg.NewLeaderAndISRRequestTopicState()
			t.Topic, t.TopicID = p.topic.name, p.topic.id
			req.TopicStates = append(req.TopicStates, t)
			last = p.topic
		}
		s := kmsg.NewLeaderAndISRRequestTopicPartition()
		s.Partition = p.id
		s.ControllerEpoch = p.state.controllerEpoch
		s.Leader = p.state.leader
		s.LeaderEpoch = p.state.leaderEpoch
		s.ISR = p.state.isr
		s.ZKVersion = p.version
		s.Replicas = p.replicas
		s.AddingReplicas = p.adding
		s.RemovingReplicas = p.removing
		s.IsNew = ps[p]
		if p.state.recovering {
			s.LeaderRecoveryState = 1
		}
		t := &req.TopicStates[len(req.TopicStates)-1]
		t.PartitionStates = append(t.PartitionStates, s)
		leaders[p.state.leader] = struct{}{}
	}
	for _, id := range slices.Sorted(maps.Keys(leaders)) {
		leader := m.term.brokers[id]
		if leader == nil {
			continue
		}
		ep, ok := leader.info.Endpoint(m.cfg.InterBrokerListener)
		if !ok {
			continue
		}
		l := kmsg.NewLeaderAndISRRequestLiveLeader()
		l.BrokerID, l.Host, l.Port = id, ep.Host, ep.Port
		req.LiveLeaders = append(req.LiveLeaders, l)
	}
	return req
}

func (m *Machine) metadataTopics(ps map[*partition]struct{}) []kmsg.UpdateMetadataRequestTopicState {
	var topics []kmsg.UpdateMetadataRequestTopicState
	var last *topic
	for _, p := range slices.SortedFunc(maps.Keys(ps), (*partition).compare) {
		if !p.written && !p.topic.deleting() {
			continue // nothing is known yet
		}
		if p.topic != last {
			t := kmsg.NewUpdateMetadataRequestTopicState()
			t.Topic, t.TopicID = p.topic.name, p.topic.id
			topics = append(topics, t)
			last = p.topic
		}
		s := kmsg.NewUpdateMetadataRequestTopicPartition()
		s.Partition = p.id
		s.ControllerEpoch = p.state.controllerEpoch
		s.Leader = p.state.leader
		s.LeaderEpoch = p.state.leaderEpoch
		s.ISR = p.state.isr
		s.ZKVersion = p.version
		s.Replicas = p.replicas
		s.OfflineReplicas = filter(p.replicas, func(id int32) bool { return !m.term.reachable(p, id) })
		if p.topic.deleting() {
			s.Leader = leaderDuringDelete
			s.ControllerEpoch = m.term.epoch
		}
		t := &topics[len(topics)-1]
		t.PartitionStates = append(t.PartitionStates, s)
	}
	return topics
}

func (m *Machine) metadataBrokers() []kmsg.UpdateMetadataRequestLiveBroker {
	brokers := make([]kmsg.UpdateMetadataRequestLiveBroker, 0, len(m.term.brokers))
	for _, id := range m.term.brokerIDs() {
		info := m.term.brokers[id].info
		lb := kmsg.NewUpdateMetadataRequestLiveBroker()
		lb.ID = id
		if info.Rack != "" {
			lb.Rack = &info.Rack
		}
		for _, ep := range info.Endpoints {
			e := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			e.Host, e.Port, e.ListenerName = ep.Host, ep.Port, ep.Listener
			e.SecurityProtocol = securityProtocolID(ep.Protocol)
			lb.Endpoints = append(lb.Endpoints, e)
		}
		brokers = append(brokers, lb)
	}
	return brokers
}

func (m *Machine) stopReplicaRequest(b *broker, ps map[*partition]stopReplica) *kmsg.StopReplicaRequest {
	req := kmsg.NewPtrStopReplicaRequest()
	req.Version = stopReplicaVersion
	req.ControllerID = m.cfg.BrokerID
	req.ControllerEpoch = m.term.epoch
	req.BrokerEpoch = b.epoch
	var last *topic
	for _, p := range slices.SortedFunc(maps.Keys(ps), (*partition).compare) {
		if p.topic != last {
			t := kmsg.NewStopReplicaRequestTopic()
			t.Topic = p.topic.name
			req.Topics = append(req.Topics, t)
			last = p.topic
		}
		s := kmsg.NewStopReplicaRequestTopicPartitionState()
		s.Partition, s.LeaderEpoch, s.Delete = p.id, ps[p].leaderEpoch, ps[p].delete
		t := &req.Topics[len(req.Topics)-1]
		t.PartitionStates = append(t.PartitionStates, s)
	}
	return req
}

// securityProtocolID is the number of Kafka's SecurityProtocol enum; unknown names count as PLAINTEXT.
func securityProtocolID(name string) int16 {
	switch name {
	case "SSL":
		return 1
	case "SASL_PLAINTEXT":
		return 2
	case "SASL_SSL":
		return 3
	}
	return 0
}
