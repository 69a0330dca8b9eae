package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// StopReplica, versions 0-4, from the controller. v1: broker epoch. v2: flexible. v3: leader epoch and delete flag per partition.
//
// Errors: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH; per partition FENCED_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
func stopReplica(a *API) wire.Handler {
	return func(c *wire.Call) wire.Reply {
		// Decoded by wire, because kmsg has two fields of version 4 in the wrong order.
		r, err := wire.ReadRequest(c.Header.Key, c.Header.Version, c.Body, false)
		if err != nil {
			return unreadable(c, err)
		}
		return wire.Reply{Response: a.stopReplica(r.(*kmsg.StopReplicaRequest))}
	}
}

func (a *API) stopReplica(req *kmsg.StopReplicaRequest) *kmsg.StopReplicaResponse {
	if err := a.checkBrokerEpoch(req.BrokerEpoch, req.Version >= 1); err != nil {
		resp := req.ResponseKind().(*kmsg.StopReplicaResponse)
		resp.ErrorCode = a.code(err)
		return resp
	}
	return a.Replication.StopReplica(req)
}
