package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// LeaveGroup, versions 0-5. v3: several members (KIP-345). v4: flexible. v5: reason (KIP-800).
//
// Errors: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, INVALID_GROUP_ID, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
func leaveGroup(a *API, c *wire.Call, req *kmsg.LeaveGroupRequest, resp *kmsg.LeaveGroupResponse) error {
	*resp = *a.Groups.Leave(c.Context(), client(c), req.Version, req)
	return nil
}
