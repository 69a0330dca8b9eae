package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/txn"
	"ottla/wire"
)

// EndTxn, versions 0-5. v2: PRODUCER_FENCED. v3: flexible. v4: as v3. v5: a transaction of version 2, each end raises the epoch (KIP-890). The
// answer comes when the outcome is stored; the markers follow.
//
// Errors: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (INVALID_PRODUCER_EPOCH below version 2), INVALID_TXN_STATE,
// CONCURRENT_TRANSACTIONS, and the coordinator's.
func endTxn(a *API, c *wire.Call, req *kmsg.EndTxnRequest, resp *kmsg.EndTxnResponse) error {
	version := txn.V0
	if req.Version >= 5 {
		version = txn.V2
	}
	id, epoch, code := a.Txns.End(c.Context(), req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit, version)
	resp.ProducerID, resp.ProducerEpoch, resp.ErrorCode = id, epoch, oldTxnCode(code, req.Version)
	return nil
}
