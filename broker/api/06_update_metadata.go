package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// UpdateMetadata, versions 0-8, from the controller. v5: by topic, broker epoch. v6: flexible. v7: topic ids.
//
// Errors: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH.
func updateMetadata(a *API, _ *wire.Call, req *kmsg.UpdateMetadataRequest, resp *kmsg.UpdateMetadataResponse) error {
	err := a.checkBrokerEpoch(req.BrokerEpoch, req.Version >= 5)
	if err == nil {
		err = a.Replication.CheckControllerEpoch(req.ControllerEpoch)
	}
	if err != nil {
		resp.ErrorCode = a.code(err)
		return nil
	}
	deleted, brokerGone := a.Cache.Update(req)
	if len(deleted) > 0 {
		a.Topics.Forget(deleted)
		a.Groups.OnTopicsDeleted(deleted)
	}
	if brokerGone {
		a.Replication.BrokerGone()
	}
	if req.Version >= 5 && req.BrokerEpoch != -1 {
		a.metadataEpoch.Store(req.BrokerEpoch)
	} else {
		a.metadataEpoch.Store(a.BrokerEpoch())
	}
	return nil
}
