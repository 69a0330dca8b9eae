package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// EndTxn, versions 0-4. v2: PRODUCER_FENCED. v3: flexible. v4: as v3. The answer comes when the outcome is stored; the markers follow.
//
// Errors: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (INVALID_PRODUCER_EPOCH below version 2), INVALID_TXN_STATE,
// CONCURRENT_TRANSACTIONS, and the coordinator's.
func endTxn(a *API, c *wire.Call, req *kmsg.EndTxnRequest, resp *kmsg.EndTxnResponse) error {
	resp.ErrorCode = oldTxnCode(a.Txns.End(c.Context(), req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit), req.Version)
	return nil
}
