package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// ConsumerGroupDescribe, versions 0-1 (KIP-848). v1: types of members.
//
// Errors, per group: GROUP_ID_NOT_FOUND (of classic groups too), INVALID_GROUP_ID, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
func consumerGroupDescribe(a *API, c *wire.Call, req *kmsg.ConsumerGroupDescribeRequest, resp *kmsg.ConsumerGroupDescribeResponse) error {
	*resp = *a.Groups.DescribeConsumers(c.Context(), client(c), req.Version, req)
	for i := range resp.Groups {
		resp.Groups[i].AuthorizedOperations = operationsNotAsked
		if req.IncludeAuthorizedOperations && resp.Groups[i].ErrorCode == 0 {
			resp.Groups[i].AuthorizedOperations = groupOperations
		}
	}
	return nil
}
