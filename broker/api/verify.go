package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/metadata"
	"ottla/coordinator/txn"
)

// verifyTransaction asks the transaction's coordinator, which may be this broker, whether partitions are part of it (KIP-890). There is a
// code for each. abortable says that the client knows TRANSACTION_ABORTABLE (AddPartitionsToTxnManager).
func (a *API) verifyTransaction(ctx context.Context, id string, producerID int64, epoch int16, tps []txn.TopicPartition, abortable bool) []int16 {
	all := func(code int16) []int16 { return slices.Repeat([]int16{code}, len(tps)) }
	p, ok := a.Cache.Load().Partition(txn.Topic, a.Txns.PartitionFor(id))
	if !ok || p.Leader == metadata.NoLeader {
		return all(kerr.CoordinatorNotAvailable.Code)
	}
	var codes []int16
	if p.Leader == a.BrokerID {
		codes = a.Txns.VerifyPartitions(ctx, id, producerID, epoch, tps)
	} else {
		resp, err := a.AskCoordinator(ctx, p.Leader, verifyRequest(id, producerID, epoch, tps))
		switch {
		case err != nil:
			a.Log.Debug().Err(err).Str("transactional_id", id).Msg("transaction could not be verified")
			return all(kerr.NetworkException.Code)
		case resp == nil:
			return all(0) // an older Kafka, which cannot say
		}
		codes = verifiedCodes(resp, tps)
	}
	for i, c := range codes {
		switch {
		case c == kerr.ProducerFenced.Code:
			codes[i] = kerr.InvalidProducerEpoch.Code
		case c == kerr.TransactionAbortable.Code && !abortable:
			codes[i] = kerr.InvalidTxnState.Code
		}
	}
	return codes
}

func verifyRequest(id string, producerID int64, epoch int16, tps []txn.TopicPartition) *kmsg.AddPartitionsToTxnRequest {
	t := kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: id, ProducerID: producerID, ProducerEpoch: epoch, VerifyOnly: true}
	for _, tp := range tps {
		n := len(t.Topics)
		if n == 0 || t.Topics[n-1].Topic != tp.Topic {
			t.Topics = append(t.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: tp.Topic})
			n++
		}
		t.Topics[n-1].Partitions = append(t.Topics[n-1].Partitions, tp.Partition)
	}
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{t}
	return req
}

// verifiedCodes finds the code of each partition; what the coordinator did not answer is taken as a failed connection.
func verifiedCodes(resp *kmsg.AddPartitionsToTxnResponse, tps []txn.TopicPartition) []int16 {
	if resp.ErrorCode == kerr.ClusterAuthorizationFailed.Code { // not for the client to know
		return slices.Repeat([]int16{kerr.InvalidTxnState.Code}, len(tps))
	}
	if resp.ErrorCode != 0 {
		return slices.Repeat([]int16{resp.ErrorCode}, len(tps))
	}
	codes := slices.Repeat([]int16{kerr.NetworkException.Code}, len(tps))
	at := make(map[txn.TopicPartition]int, len(tps))
	for i, tp := range tps {
		at[tp] = i
	}
	for i := range resp.Transactions {
		for _, t := range resp.Transactions[i].Topics {
			for _, p := range t.Partitions {
				if k, ok := at[txn.TopicPartition{Topic: t.Topic, Partition: p.Partition}]; ok {
					codes[k] = p.ErrorCode
				}
			}
		}
	}
	return codes
}
