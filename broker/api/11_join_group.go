package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// JoinGroup, versions 0-9. v1: rebalance timeout. v4: MEMBER_ID_REQUIRED (KIP-394). v5: group instance id (KIP-345). v6: flexible. v7: protocol type
// (KIP-559). v8: reason (KIP-800). v9: skip assignment (KIP-814). The call waits until the rebalance is through.
//
// Errors: INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, UNKNOWN_MEMBER_ID, MEMBER_ID_REQUIRED, INCONSISTENT_GROUP_PROTOCOL,
// GROUP_MAX_SIZE_REACHED, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
func joinGroup(a *API, c *wire.Call, req *kmsg.JoinGroupRequest, resp *kmsg.JoinGroupResponse) error {
	*resp = *a.Groups.Join(c.Context(), client(c), req.Version, req)
	return nil
}
