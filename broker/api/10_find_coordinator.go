package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/wire"
)

// Coordinator types of FindCoordinator.
const (
	groupCoordinator       = 0
	transactionCoordinator = 1
	shareCoordinator       = 2
)

// FindCoordinator, versions 0-6. v1: coordinator type. v3: flexible. v4: many keys (KIP-699). v5, v6: as v4.
//
// The first request creates __consumer_offsets or __transaction_state and is answered COORDINATOR_NOT_AVAILABLE; clients ask again.
//
// Errors: COORDINATOR_NOT_AVAILABLE, INVALID_REQUEST for a type that is not served, INVALID_GROUP_ID.
func findCoordinator(a *API, c *wire.Call, req *kmsg.FindCoordinatorRequest, resp *kmsg.FindCoordinatorResponse) error {
	if err := a.outOfCluster(); err != nil {
		return err
	}
	kind := req.CoordinatorType
	if req.Version == 0 {
		kind = groupCoordinator
	}
	if req.Version >= 4 {
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, a.coordinatorOf(c, kind, key))
		}
		return nil
	}
	found := a.coordinatorOf(c, kind, req.CoordinatorKey)
	resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = found.ErrorCode, found.NodeID, found.Host, found.Port
	resp.ErrorMessage = found.ErrorMessage
	if found.ErrorCode == 0 {
		none := "NONE" // what Kafka says on success in these versions
		resp.ErrorMessage = &none
	}
	return nil
}

func (a *API) coordinatorOf(c *wire.Call, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	r := kmsg.FindCoordinatorResponseCoordinator{Key: key, NodeID: -1, Port: -1, ErrorMessage: new(string)}
	id, host, port, err := a.findCoordinator(c, kind, key)
	if err != nil {
		r.ErrorCode, r.ErrorMessage = a.codeAndMessage(err)
		if r.ErrorCode == kerr.CoordinatorNotAvailable.Code { // Kafka sends an empty text with that one
			r.ErrorMessage = new(string)
		}
		return r
	}
	r.NodeID, r.Host, r.Port = id, host, port
	return r
}

func (a *API) findCoordinator(c *wire.Call, kind int8, key string) (id int32, host string, port int32, err error) {
	topic := offsetsTopic
	switch kind {
	case groupCoordinator:
	case transactionCoordinator:
		topic = transactionsTopic
	case shareCoordinator:
		if c.Header.Version >= 6 {
			return 0, "", 0, kerr.CoordinatorNotAvailable // there is none without KRaft
		}
		if c.Header.Version >= 4 {
			return 0, "", 0, fail(kerr.InvalidRequest, "")
		}
		return 0, "", 0, fail(kerr.InvalidRequest, invalidRequestText)
	default:
		return 0, "", 0, fail(kerr.InvalidRequest, invalidRequestText)
	}
	s := a.Cache.Load()
	t := s.Topics[topic]
	if t == nil {
		if err := a.autoCreate(c, topic); a.code(err) != kerr.LeaderNotAvailable.Code {
			a.Log.Warn().Err(err).Str("topic", topic).
				Msg("cannot create the coordinator's topic; see offsets.topic.replication.factor and transaction.state.log.replication.factor")
		}
		return 0, "", 0, kerr.CoordinatorNotAvailable
	}
	p, ok := s.Partition(topic, coordinator.PartitionFor(key, int32(len(t.Partitions))))
	if !ok {
		return 0, "", 0, kerr.CoordinatorNotAvailable
	}
	e, ok := s.Endpoint(p.Leader, c.Conn.Listener())
	if !ok {
		return 0, "", 0, kerr.CoordinatorNotAvailable
	}
	return p.Leader, e.Host, e.Port, nil
}
