package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// ListGroups, versions 0-5: the groups that this broker coordinates. v3: flexible. v4: states filter (KIP-518). v5: types filter
// (KIP-848).
//
// Errors: COORDINATOR_LOAD_IN_PROGRESS with the groups that are loaded.
func listGroups(a *API, c *wire.Call, req *kmsg.ListGroupsRequest, resp *kmsg.ListGroupsResponse) error {
	*resp = *a.Groups.List(c.Context(), client(c), req.Version, req)
	return nil
}
