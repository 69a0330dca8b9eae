package api

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/broker/metadata"
	"ottla/wire"
)

// operationsNotAsked is what an authorized_operations field holds when the request did not ask for it (KIP-430).
const operationsNotAsked = math.MinInt32

// Operations on a resource that anybody may do while there is no authorizer, as KIP-430's bit sets:
// bit n is the operation with code n (READ 3, WRITE 4, CREATE 5, DELETE 6, ALTER 7, DESCRIBE 8, CLUSTER_ACTION 9,
// DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11, IDEMPOTENT_WRITE 12).
const (
	topicOperations   int32 = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations int32 = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	groupOperations   int32 = 1<<3 | 1<<6 | 1<<8
)

// Metadata, versions 0-12. v1: controller id, rack, null topics for all. v2: cluster id. v4: allow_auto_topic_creation. v5: offline
// replicas. v7: leader epoch. v8: authorized operations. v9: flexible. v10: topic ids in the answer. v12: topics by id.
//
// Errors, per topic: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, INVALID_TOPIC_EXCEPTION, LEADER_NOT_AVAILABLE for a topic that is
// being created, INVALID_REQUEST for a null name below v12; per partition LEADER_NOT_AVAILABLE, LISTENER_NOT_FOUND.
func describeMetadata(a *API, c *wire.Call, req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse) error {
	if err := a.outOfCluster(); err != nil {
		return err
	}
	s := a.Cache.Load()
	listener := c.Conn.Listener()
	for _, id := range slices.Sorted(maps.Keys(s.Brokers)) {
		if e, ok := s.Endpoint(id, listener); ok {
			resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: id, Host: e.Host, Port: e.Port, Rack: s.Brokers[id].Rack})
		}
	}
	resp.ClusterID = &a.ClusterID
	resp.ControllerID = s.Controller
	resp.AuthorizedOperations = operationsNotAsked
	if req.IncludeClusterAuthorizedOperations && req.Version >= 8 && req.Version <= 10 {
		resp.AuthorizedOperations = clusterOperations
	}
	ops := int32(operationsNotAsked)
	if req.IncludeTopicAuthorizedOperations && req.Version >= 8 {
		ops = topicOperations
	}
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(s.Topics))
		for _, t := range s.Topics {
			resp.Topics = append(resp.Topics, describeTopic(s, t, listener, req.Version, ops))
		}
		slices.SortFunc(resp.Topics, func(x, y kmsg.MetadataResponseTopic) int { return cmp.Compare(*x.Topic, *y.Topic) })
		return nil
	}
	create := (req.Version < 4 || req.AllowAutoTopicCreation) && config.Get(a.Config.Snapshot(), config.AutoCreateTopicsEnable)
	resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(req.Topics))
	seen := make(map[string]bool, len(req.Topics))
	for i := range req.Topics {
		rt := &req.Topics[i]
		if rt.Topic != nil && rt.TopicID == [16]byte{} {
			if seen[*rt.Topic] {
				continue // Kafka answers once for a name
			}
			seen[*rt.Topic] = true
		}
		t, err := findTopic(s, rt, req.Version)
		switch {
		case t != nil:
			resp.Topics = append(resp.Topics, describeTopic(s, t, listener, req.Version, ops))
			continue
		case err == nil && create:
			err = a.autoCreate(c, *rt.Topic)
		case err == nil:
			err = checkTopicName(*rt.Topic)
			if err == nil {
				err = kerr.UnknownTopicOrPartition
			}
		}
		none := kmsg.NewMetadataResponseTopic()
		none.ErrorCode, none.Topic, none.TopicID = a.code(err), rt.Topic, rt.TopicID
		if none.ErrorCode == kerr.UnknownTopicID.Code {
			none.Topic = nil
		}
		if rt.Topic != nil {
			none.IsInternal = isInternal(*rt.Topic)
		} else if req.Version < 12 {
			none.Topic = new(string)
		}
		resp.Topics = append(resp.Topics, none)
	}
	return nil
}

// findTopic looks a topic up by name or id. Both results are nil for a name that is not known.
func findTopic(s *metadata.Snapshot, rt *kmsg.MetadataRequestTopic, version int16) (*metadata.Topic, error) {
	switch {
	case rt.Topic != nil && rt.TopicID == [16]byte{}:
		return s.Topics[*rt.Topic], nil
	case version < 12:
		if rt.Topic != nil && version < 10 {
			return s.Topics[*rt.Topic], nil
		}
		return nil, kerr.InvalidRequest
	}
	if t := s.IDs[rt.TopicID]; t != nil {
		return t, nil
	}
	return nil, kerr.UnknownTopicID
}

func describeTopic(s *metadata.Snapshot, t *metadata.Topic, listener string, version int16, ops int32) kmsg.MetadataResponseTopic {
	r := kmsg.NewMetadataResponseTopic()
	r.Topic, r.TopicID, r.IsInternal, r.AuthorizedOperations = &t.Name, t.ID, isInternal(t.Name), ops
	r.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if p.Replicas == nil {
			continue
		}
		code, leader := leaderFor(s, p, listener, version)
		r.Partitions = append(r.Partitions, kmsg.MetadataResponseTopicPartition{
			ErrorCode: code, Partition: int32(i), Leader: leader, LeaderEpoch: p.LeaderEpoch,
			Replicas: p.Replicas, ISR: p.ISR, OfflineReplicas: offlineReplicas(s, p),
		})
	}
	return r
}

// leaderFor says whom a client of the listener is to ask: the leader, or -1 with the reason.
func leaderFor(s *metadata.Snapshot, p *metadata.Partition, listener string, version int16) (code int16, leader int32) {
	if _, ok := s.Endpoint(p.Leader, listener); ok {
		return 0, p.Leader
	}
	if s.Brokers[p.Leader] != nil && version >= 6 {
		return kerr.ListenerNotFound.Code, -1
	}
	return kerr.LeaderNotAvailable.Code, -1
}

// offlineReplicas are those on brokers that are not alive and those that the controller named.
func offlineReplicas(s *metadata.Snapshot, p *metadata.Partition) []int32 {
	offline := p.Offline
	for _, id := range p.Replicas {
		if s.Brokers[id] == nil && !slices.Contains(p.Offline, id) {
			offline = append(slices.Clip(offline), id)
		}
	}
	if offline == nil {
		return []int32{}
	}
	return offline
}
