package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/txn"
	"ottla/wire"
)

// AddPartitionsToTxn, versions 0-5. v2: PRODUCER_FENCED. v3: flexible. v4: for brokers, several transactions, verify only (KIP-890). v5:
// TRANSACTION_ABORTABLE is understood.
//
// All partitions are added or none. Errors, per partition: UNKNOWN_TOPIC_OR_PARTITION, and OPERATION_NOT_ATTEMPTED for its neighbours;
// INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (INVALID_PRODUCER_EPOCH below version 2), CONCURRENT_TRANSACTIONS,
// TRANSACTION_ABORTABLE when only verifying, and the coordinator's.
func addPartitionsToTxn(a *API, c *wire.Call, req *kmsg.AddPartitionsToTxnRequest, resp *kmsg.AddPartitionsToTxnResponse) error {
	if req.Version >= 4 {
		for i := range req.Transactions {
			t := &req.Transactions[i]
			rt := kmsg.AddPartitionsToTxnResponseTransaction{TransactionalID: t.TransactionalID}
			tps, codes := a.addTransaction(c, t)
			for k, tp := range tps {
				n := len(rt.Topics)
				if n == 0 || rt.Topics[n-1].Topic != tp.Topic {
					rt.Topics = append(rt.Topics, kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: tp.Topic})
					n++
				}
				rt.Topics[n-1].Partitions = append(rt.Topics[n-1].Partitions,
					kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: tp.Partition, ErrorCode: codes[k]})
			}
			resp.Transactions = append(resp.Transactions, rt)
		}
		return nil
	}
	t := kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch}
	for _, rt := range req.Topics {
		t.Topics = append(t.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: rt.Topic, Partitions: rt.Partitions})
	}
	tps, codes := a.addTransaction(c, &t)
	for k, tp := range tps {
		n := len(resp.Topics)
		if n == 0 || resp.Topics[n-1].Topic != tp.Topic {
			resp.Topics = append(resp.Topics, kmsg.AddPartitionsToTxnResponseTopic{Topic: tp.Topic})
			n++
		}
		resp.Topics[n-1].Partitions = append(resp.Topics[n-1].Partitions,
			kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: tp.Partition, ErrorCode: oldTxnCode(codes[k], req.Version)})
	}
	return nil
}

// addTransaction adds or verifies the partitions of one transaction.
func (a *API) addTransaction(c *wire.Call, t *kmsg.AddPartitionsToTxnRequestTransaction) (tps []txn.TopicPartition, codes []int16) {
	s := a.Cache.Load()
	unknown := false
	for _, rt := range t.Topics {
		for _, p := range rt.Partitions {
			code := kerr.OperationNotAttempted.Code
			if _, ok := s.Partition(rt.Topic, p); !ok {
				code, unknown = kerr.UnknownTopicOrPartition.Code, true
			}
			tps, codes = append(tps, txn.TopicPartition{Topic: rt.Topic, Partition: p}), append(codes, code)
		}
	}
	switch {
	case unknown:
		return tps, codes
	case t.VerifyOnly:
		return tps, a.Txns.VerifyPartitions(c.Context(), t.TransactionalID, t.ProducerID, t.ProducerEpoch, tps)
	}
	code := a.Txns.AddPartitions(c.Context(), t.TransactionalID, t.ProducerID, t.ProducerEpoch, tps)
	return tps, slices.Repeat([]int16{code}, len(tps))
}

// oldTxnCode is what clients before version 2 of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn know instead of PRODUCER_FENCED (KIP-588).
func oldTxnCode(code, version int16) int16 {
	if version < 2 && code == kerr.ProducerFenced.Code {
		return kerr.InvalidProducerEpoch.Code
	}
	return code
}
