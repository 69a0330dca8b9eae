package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/txn"
	"ottla/wire"
)

// AddPartitionsToTxn, versions 0-5. v2: PRODUCER_FENCED. v3: flexible. v4: for brokers, several transactions, verify only, or added for a
// producer of a transaction of version 2 (KIP-890). v5: TRANSACTION_ABORTABLE is understood.
//
// All partitions are added or none. Errors, per partition: UNKNOWN_TOPIC_OR_PARTITION, TOPIC_AUTHORIZATION_FAILED for internal topics below
// version 4, and OPERATION_NOT_ATTEMPTED for its neighbours;
// INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (INVALID_PRODUCER_EPOCH below version 2), CONCURRENT_TRANSACTIONS,
// TRANSACTION_ABORTABLE when only verifying, and the coordinator's.
func addPartitionsToTxn(a *API, c *wire.Call, req *kmsg.AddPartitionsToTxnRequest, resp *kmsg.AddPartitionsToTxnResponse) error {
	if req.Version >= 4 {
		for i := range req.Transactions {
			t := &req.Transactions[i]
			codes := a.addTransaction(c, t, false)
			rt := kmsg.AddPartitionsToTxnResponseTransaction{TransactionalID: t.TransactionalID}
			for _, topic := range t.Topics {
				out := kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: topic.Topic}
				for _, p := range topic.Partitions {
					out.Partitions = append(out.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: p, ErrorCode: codes[0]})
					codes = codes[1:]
				}
				rt.Topics = append(rt.Topics, out)
			}
			resp.Transactions = append(resp.Transactions, rt)
		}
		return nil
	}
	t := kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch}
	for _, rt := range req.Topics {
		t.Topics = append(t.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: rt.Topic, Partitions: rt.Partitions})
	}
	codes := a.addTransaction(c, &t, true)
	for _, topic := range t.Topics {
		out := kmsg.AddPartitionsToTxnResponseTopic{Topic: topic.Topic}
		for _, p := range topic.Partitions {
			out.Partitions = append(out.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p, ErrorCode: oldTxnCode(codes[0], req.Version)})
			codes = codes[1:]
		}
		resp.Topics = append(resp.Topics, out)
	}
	return nil
}

// addTransaction adds or verifies the partitions of one transaction and returns a code for each, in the order of the request. Clients
// may not add internal topics.
func (a *API) addTransaction(c *wire.Call, t *kmsg.AddPartitionsToTxnRequestTransaction, fromClient bool) (codes []int16) {
	s := a.Cache.Load()
	var tps []txn.TopicPartition
	refused := false
	for _, rt := range t.Topics {
		for _, p := range rt.Partitions {
			code := kerr.OperationNotAttempted.Code
			if fromClient && isInternal(rt.Topic) {
				code, refused = kerr.TopicAuthorizationFailed.Code, true
			} else if _, ok := s.Partition(rt.Topic, p); !ok {
				code, refused = kerr.UnknownTopicOrPartition.Code, true
			}
			tps, codes = append(tps, txn.TopicPartition{Topic: rt.Topic, Partition: p}), append(codes, code)
		}
	}
	switch {
	case refused:
		return codes
	case t.VerifyOnly:
		return a.Txns.VerifyPartitions(c.Context(), t.TransactionalID, t.ProducerID, t.ProducerEpoch, tps)
	}
	version := txn.V2
	if fromClient {
		version = txn.V0
	}
	code := a.Txns.AddPartitions(c.Context(), t.TransactionalID, t.ProducerID, t.ProducerEpoch, tps, version)
	return slices.Repeat([]int16{code}, len(tps))
}

// oldTxnCode is what clients before version 2 of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn know instead of PRODUCER_FENCED (KIP-588).
func oldTxnCode(code, version int16) int16 {
	if version < 2 && code == kerr.ProducerFenced.Code {
		return kerr.InvalidProducerEpoch.Code
	}
	return code
}
