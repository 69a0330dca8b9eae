package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// ListPartitionReassignments, version 0, to the controller (KIP-455). Null topics list every reassignment.
//
// Errors: NOT_CONTROLLER.
func listPartitionReassignments(a *API, c *wire.Call, req *kmsg.ListPartitionReassignmentsRequest, resp *kmsg.ListPartitionReassignmentsResponse) error {
	*resp = *a.Controller.ListReassignments(c.Context(), req)
	if resp.ErrorCode == 0 {
		resp.ErrorMessage = new(string) // Kafka's is empty, not null
	}
	return nil
}
