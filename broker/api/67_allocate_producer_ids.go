package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// AllocateProducerIds, version 0, from a broker to the controller (KIP-730).
//
// Errors: NOT_CONTROLLER, STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED.
func allocateProducerIDs(a *API, c *wire.Call, req *kmsg.AllocateProducerIDsRequest, resp *kmsg.AllocateProducerIDsResponse) error {
	return a.allocateProducerIDs(c.Context(), req, resp)
}

func (a *API) allocateProducerIDs(ctx context.Context, req *kmsg.AllocateProducerIDsRequest, resp *kmsg.AllocateProducerIDsResponse) error {
	start, n, err := a.Controller.AllocateProducerIDs(ctx, req.BrokerID, req.BrokerEpoch)
	resp.ProducerIDStart, resp.ProducerIDLen, resp.ErrorCode = start, n, a.code(err)
	return nil
}
