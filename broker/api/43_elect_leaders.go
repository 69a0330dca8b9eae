package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// ElectLeaders, versions 0-2, to the controller (KIP-183, KIP-460). v1: election type. v2: flexible.
//
// Errors: NOT_CONTROLLER; per partition ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE,
// UNKNOWN_TOPIC_OR_PARTITION.
func electLeaders(a *API, c *wire.Call, req *kmsg.ElectLeadersRequest, resp *kmsg.ElectLeadersResponse) error {
	*resp = *a.Controller.ElectLeaders(c.Context(), req)
	return nil
}
