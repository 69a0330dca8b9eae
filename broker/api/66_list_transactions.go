package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire"
)

// ListTransactions, versions 0-1: the transactional ids that this broker coordinates (KIP-664). v1: duration filter (KIP-994).
//
// Errors: COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
func listTransactions(a *API, c *wire.Call, req *kmsg.ListTransactionsRequest, resp *kmsg.ListTransactionsResponse) error {
	*resp = *a.Txns.List(c.Context(), req)
	return nil
}
