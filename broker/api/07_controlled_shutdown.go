package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// ControlledShutdown, versions 0-3, to the controller. v2: broker epoch. v3: flexible.
//
// Errors: STALE_CONTROLLER_EPOCH from a broker that is not the controller, STALE_BROKER_EPOCH, BROKER_NOT_AVAILABLE.
func controlledShutdown(a *API, c *wire.Call, req *kmsg.ControlledShutdownRequest, resp *kmsg.ControlledShutdownResponse) error {
	return a.controlledShutdown(c.Context(), req, resp)
}

func (a *API) controlledShutdown(ctx context.Context, req *kmsg.ControlledShutdownRequest, resp *kmsg.ControlledShutdownResponse) error {
	epoch := req.BrokerEpoch
	if req.Version < 2 {
		epoch = -1
	}
	remaining, err := a.Controller.ControlledShutdown(ctx, req.BrokerID, epoch)
	resp.ErrorCode = a.code(err)
	for _, tp := range remaining {
		resp.PartitionsRemaining = append(resp.PartitionsRemaining,
			kmsg.ControlledShutdownResponsePartitionsRemaining{Topic: tp.Topic, Partition: tp.Partition})
	}
	return nil
}
