package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// InitProducerId, versions 0-5. v2: flexible. v3: producer id and epoch (KIP-360). v4: PRODUCER_FENCED. v5: as v4 (KIP-890).
//
// Without a transactional id every broker answers with a new producer id and epoch 0; with one its transaction coordinator does.
//
// Errors: INVALID_REQUEST, COORDINATOR_LOAD_IN_PROGRESS while the controller does not answer with a block of ids; with a transactional
// id INVALID_TRANSACTION_TIMEOUT, CONCURRENT_TRANSACTIONS, PRODUCER_FENCED (INVALID_PRODUCER_EPOCH below version 4), and the coordinator's.
func initProducerID(a *API, c *wire.Call, req *kmsg.InitProducerIDRequest, resp *kmsg.InitProducerIDResponse) error {
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return nil
	}
	if req.TransactionalID != nil {
		resp.ProducerID, resp.ProducerEpoch, resp.ErrorCode = a.Txns.InitProducerID(
			c.Context(), *req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch)
		if req.Version < 4 && resp.ErrorCode == kerr.ProducerFenced.Code {
			resp.ErrorCode = kerr.InvalidProducerEpoch.Code
		}
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
