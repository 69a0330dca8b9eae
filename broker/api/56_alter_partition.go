package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// AlterPartition, versions 0-3, from a leader to the controller (KIP-497). v1: recovery state. v2: topic ids. v3: ISR with broker
// epochs (KIP-903).
//
// Errors: NOT_CONTROLLER, STALE_BROKER_EPOCH; per partition INVALID_UPDATE_VERSION, FENCED_LEADER_EPOCH, INELIGIBLE_REPLICA,
// UNKNOWN_TOPIC_ID and others.
func alterPartition(a *API, c *wire.Call, req *kmsg.AlterPartitionRequest, resp *kmsg.AlterPartitionResponse) error {
	*resp = *a.Controller.AlterPartition(c.Context(), req)
	return nil
}
