package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// DescribeTransactions, version 0 (KIP-664).
//
// Errors, per transactional id: INVALID_REQUEST, TRANSACTIONAL_ID_NOT_FOUND, and the coordinator's.
func describeTransactions(a *API, c *wire.Call, req *kmsg.DescribeTransactionsRequest, resp *kmsg.DescribeTransactionsResponse) error {
	for _, id := range req.TransactionalIDs {
		resp.TransactionStates = append(resp.TransactionStates, a.Txns.Describe(c.Context(), id))
	}
	return nil
}
