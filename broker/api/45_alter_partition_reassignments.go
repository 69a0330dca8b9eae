package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// AlterPartitionReassignments, version 0, to the controller (KIP-455). Null replicas cancel.
//
// Errors: NOT_CONTROLLER; per partition INVALID_REPLICA_ASSIGNMENT, NO_REASSIGNMENT_IN_PROGRESS, UNKNOWN_TOPIC_OR_PARTITION.
func alterPartitionReassignments(a *API, c *wire.Call, req *kmsg.AlterPartitionAssignmentsRequest, resp *kmsg.AlterPartitionAssignmentsResponse) error {
	*resp = *a.Controller.AlterReassignments(c.Context(), req)
	if resp.ErrorCode == 0 {
		resp.ErrorMessage = new(string) // Kafka's is empty, not null
	}
	return nil
}
