package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// DeleteGroups, versions 0-2 (KIP-229). v2: flexible.
//
// Errors, per group: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
func deleteGroups(a *API, c *wire.Call, req *kmsg.DeleteGroupsRequest, resp *kmsg.DeleteGroupsResponse) error {
	*resp = *a.Groups.Delete(c.Context(), client(c), req.Version, req)
	return nil
}
