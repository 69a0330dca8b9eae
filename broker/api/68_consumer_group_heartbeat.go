package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// ConsumerGroupHeartbeat, versions 0-1 (KIP-848). v1: regular expressions, and member ids that clients make up (KIP-1082).
//
// Errors: INVALID_REQUEST, UNSUPPORTED_ASSIGNOR, GROUP_ID_NOT_FOUND, UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID,
// FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED, INVALID_REGULAR_EXPRESSION, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
func consumerGroupHeartbeat(a *API, c *wire.Call, req *kmsg.ConsumerGroupHeartbeatRequest, resp *kmsg.ConsumerGroupHeartbeatResponse) error {
	*resp = *a.Groups.ConsumerHeartbeat(c.Context(), client(c), req.Version, req)
	return nil
}
