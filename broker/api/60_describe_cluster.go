package api

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// DescribeCluster, versions 0-1 (KIP-700). v1: endpoint type (KIP-919); only brokers have endpoints here.
//
// Errors: MISMATCHED_ENDPOINT_TYPE, UNSUPPORTED_ENDPOINT_TYPE.
func describeCluster(a *API, c *wire.Call, req *kmsg.DescribeClusterRequest, resp *kmsg.DescribeClusterResponse) error {
	resp.EndpointType = 1
	resp.ControllerID = -1
	resp.ClusterAuthorizedOperations = operationsNotAsked
	if req.Version >= 1 {
		switch req.EndpointType {
		case 1:
		case 2:
			text := "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
			resp.ErrorCode, resp.ErrorMessage = kerr.MismatchedEndpointType.Code, &text
			return nil
		default:
			text := "Unsupported endpoint type " + itoa(int(req.EndpointType))
			resp.ErrorCode, resp.ErrorMessage = kerr.UnsupportedEndpointType.Code, &text
			return nil
		}
	}
	s := a.Cache.Load()
	resp.ClusterID = a.ClusterID
	for _, id := range slices.Sorted(maps.Keys(s.Brokers)) {
		if e, ok := s.Endpoint(id, c.Conn.Listener()); ok {
			resp.Brokers = append(resp.Brokers, kmsg.DescribeClusterResponseBroker{NodeID: id, Host: e.Host, Port: e.Port, Rack: s.Brokers[id].Rack})
			if id == s.Controller {
				resp.ControllerID = id
			}
		}
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return nil
}
