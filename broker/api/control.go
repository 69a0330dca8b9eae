package api

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ControlRequest serves a request of a controller that runs in this broker, without a connection.
func (a *API) ControlRequest(req kmsg.Request) (kmsg.Response, error) {
	switch r := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		resp := r.ResponseKind().(*kmsg.LeaderAndISRResponse)
		return resp, leaderAndISR(a, nil, r, resp)
	case *kmsg.UpdateMetadataRequest:
		resp := r.ResponseKind().(*kmsg.UpdateMetadataResponse)
		return resp, updateMetadata(a, nil, r, resp)
	case *kmsg.StopReplicaRequest:
		return a.stopReplica(r), nil
	}
	return nil, fmt.Errorf("%s is no request of a controller", kmsg.NameForKey(req.Key()))
}

// ControllerRequest serves a request of this broker to a controller that runs in it, without a connection.
func (a *API) ControllerRequest(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	switch r := req.(type) {
	case *kmsg.AlterPartitionRequest:
		return a.Controller.AlterPartition(ctx, r), nil
	case *kmsg.AllocateProducerIDsRequest:
		resp := r.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		return resp, a.allocateProducerIDs(ctx, r, resp)
	case *kmsg.ControlledShutdownRequest:
		resp := r.ResponseKind().(*kmsg.ControlledShutdownResponse)
		return resp, a.controlledShutdown(ctx, r, resp)
	}
	return nil, fmt.Errorf("%s is no request to a controller", kmsg.NameForKey(req.Key()))
}
