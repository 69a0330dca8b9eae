package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// LeaderAndIsr, versions 0-7, from the controller. v2: broker epoch. v4: flexible. v5: topic ids. v6: recovery state (KIP-704).
//
// Errors: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH; per partition KAFKA_STORAGE_ERROR, INCONSISTENT_TOPIC_ID and others.
func leaderAndISR(a *API, _ *wire.Call, req *kmsg.LeaderAndISRRequest, resp *kmsg.LeaderAndISRResponse) error {
	if err := a.checkBrokerEpoch(req.BrokerEpoch, req.Version >= 2); err != nil {
		resp.ErrorCode = a.code(err)
		return nil
	}
	*resp = *a.Replication.LeaderAndISR(req)
	return nil
}

// checkBrokerEpoch refuses requests of a controller that means an earlier life of this broker; -1 skips the check.
func (a *API) checkBrokerEpoch(epoch int64, sent bool) error {
	if own := a.BrokerEpoch(); sent && epoch != -1 && epoch < own {
		return fmt.Errorf("broker epoch %d is older than %d: %w", epoch, own, kerr.StaleBrokerEpoch)
	}
	return nil
}
