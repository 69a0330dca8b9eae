package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/txn"
	"ottla/wire"
)

// TransactionVersion is the feature by which clients decide how they use transactions (KIP-890).
const TransactionVersion = "transaction.version"

// Features is what the cluster offers beyond versions of requests.
type Features struct {
	// Epoch grows with each change of the brokers, and is the same on all of them. Clients keep what has the highest.
	Epoch int64
	// TransactionV2 says that every registered broker knows transactions of version 2. They are served in any case: a client that was told
	// of them while they were offered ends what it has begun.
	TransactionV2 bool
}

// answer adds the features to an ApiVersions. Version 3 cannot say that a feature has version 0.
func (f Features) answer(resp *kmsg.ApiVersionsResponse, supported bool) {
	resp.FinalizedFeaturesEpoch = f.Epoch
	if supported && resp.Version >= 4 {
		resp.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{{Name: TransactionVersion, MaxVersion: int16(txn.V2)}}
	}
	if f.TransactionV2 {
		resp.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{
			{Name: TransactionVersion, MaxVersionLevel: int16(txn.V2), MinVersionLevel: int16(txn.V2)},
		}
	}
}

// firstV2 are the first versions that belong to transactions of version 2: of Produce (with a transactional id), EndTxn and TxnOffsetCommit.
var firstV2 = map[int16]int16{0: 12, 26: 5, 28: 5}

// untilWithdrawn closes the connection of a client that goes on with transactions of version 2 when they are not offered any more: it asks
// for the features when it connects again.
func (a *API) untilWithdrawn(first int16, h wire.Handler) wire.Handler {
	return func(c *wire.Call) wire.Reply {
		r := h(c)
		if c.Header.Version < first || c.Conn.FeaturesEpoch() == 0 {
			return r
		}
		if s, ok := c.Conn.Scratch.(*produceScratch); ok && c.Header.Key == 0 && s.req.TransactionID == nil {
			return r
		}
		if f := a.Features(); !f.TransactionV2 && c.Conn.FeaturesEpoch() < f.Epoch && !r.Close {
			r.Close, r.CloseReason = true, "transactions of version 2 are not offered any more"
		}
		return r
	}
}
