package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// Heartbeat, versions 0-4. v3: group instance id (KIP-345). v4: flexible.
//
// Errors: UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, FENCED_INSTANCE_ID, INVALID_GROUP_ID, NOT_COORDINATOR.
func heartbeat(a *API, c *wire.Call, req *kmsg.HeartbeatRequest, resp *kmsg.HeartbeatResponse) error {
	*resp = *a.Groups.Heartbeat(c.Context(), client(c), req.Version, req)
	return nil
}
