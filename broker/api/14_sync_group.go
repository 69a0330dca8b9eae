package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// SyncGroup, versions 0-5. v3: group instance id (KIP-345). v4: flexible. v5: protocol type and name (KIP-559). The call waits for the leader's assignment.
//
// Errors: UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, INCONSISTENT_GROUP_PROTOCOL, FENCED_INSTANCE_ID,
// INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
func syncGroup(a *API, c *wire.Call, req *kmsg.SyncGroupRequest, resp *kmsg.SyncGroupResponse) error {
	*resp = *a.Groups.Sync(c.Context(), client(c), req.Version, req)
	return nil
}
