package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// InitProducerId, versions 0-5. v2: flexible. v3: producer id and epoch (KIP-360). v5: as v4 (KIP-890).
//
// Without a transactional id every broker answers with a new producer id and epoch 0. A transactional id is refused with
// INVALID_REQUEST: there is no transaction coordinator in this broker.
//
// Errors: INVALID_REQUEST, COORDINATOR_LOAD_IN_PROGRESS while the controller does not answer with a block of ids.
func initProducerID(a *API, c *wire.Call, req *kmsg.InitProducerIDRequest, resp *kmsg.InitProducerIDResponse) error {
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil || req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return nil
	}
	id, err := a.ProducerIDs.Next(c.Context())
	if err != nil {
		resp.ErrorCode = a.code(err)
		return nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return nil
}
