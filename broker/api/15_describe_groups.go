package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// DescribeGroups, versions 0-5. v3: authorized operations (KIP-430). v4: group instance id. v5: flexible. A group that does not
// exist is Dead, without an error.
//
// Errors, per group: COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
func describeGroups(a *API, c *wire.Call, req *kmsg.DescribeGroupsRequest, resp *kmsg.DescribeGroupsResponse) error {
	*resp = *a.Groups.Describe(c.Context(), client(c), req.Version, req)
	for i := range resp.Groups {
		resp.Groups[i].AuthorizedOperations = operationsNotAsked
		if req.IncludeAuthorizedOperations && resp.Groups[i].ErrorCode == 0 {
			resp.Groups[i].AuthorizedOperations = groupOperations
		}
	}
	return nil
}
