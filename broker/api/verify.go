package api

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/metadata"
	"ottla/coordinator/txn"
)

// operation is what a producer's version of the protocol has the transaction's coordinator be asked (TransactionSupportedOperation).
type operation int8

const (
	verifyOld operation = iota // whether the partition is part of the transaction; the client does not know TRANSACTION_ABORTABLE
	verify                     // as before, it does
	addToTxn                   // to make it part of the transaction, which is of version 2
)

// operationOf is that of a request whose versions know TRANSACTION_ABORTABLE, and add to the transaction, from these on.
func operationOf(version, abortable, adds int16) operation {
	switch {
	case version >= adds:
		return addToTxn
	case version >= abortable:
		return verify
	}
	return verifyOld
}

// How long an addition waits for the producer's last transaction to be completed, and how often it asks (add.partitions.to.txn.retry.backoff.*
// of Kafka 4). A producer that was told the end of a transaction begins the next one while its markers are being written.
const (
	addRetryFor   = 100 * time.Millisecond
	addRetryEvery = 5 * time.Millisecond
)

// untilAdded repeats what asks the coordinator while it says that the last transaction is not completed. try is the whole of it, beginning with
// Log.StartVerification: the last transaction's marker comes meanwhile, and ends what was begun before it.
func untilAdded(ctx context.Context, op operation, try func() (concurrent bool)) {
	for end := time.Now().Add(addRetryFor); try() && op == addToTxn && time.Now().Before(end); {
		select {
		case <-time.After(addRetryEvery):
		case <-ctx.Done():
			return
		}
	}
}

// askTransaction asks the transaction's coordinator, which may be this broker, whether partitions are part of it, or to add them (KIP-890).
// There is a code for each (AddPartitionsToTxnManager).
func (a *API) askTransaction(ctx context.Context, id string, producerID int64, epoch int16, tps []txn.TopicPartition, op operation) []int16 {
	all := func(code int16) []int16 { return slices.Repeat([]int16{code}, len(tps)) }
	p, ok := a.Cache.Load().Partition(txn.Topic, a.Txns.PartitionFor(id))
	if !ok || p.Leader == metadata.NoLeader {
		return all(kerr.CoordinatorNotAvailable.Code)
	}
	var codes []int16
	switch {
	case p.Leader == a.BrokerID && op == addToTxn:
		codes = all(a.Txns.AddPartitions(ctx, id, producerID, epoch, tps, txn.V2))
	case p.Leader == a.BrokerID:
		codes = a.Txns.VerifyPartitions(ctx, id, producerID, epoch, tps)
	default:
		resp, err := a.AskCoordinator(ctx, p.Leader, coordinatorRequest(id, producerID, epoch, tps, op != addToTxn))
		switch {
		case err != nil:
			a.Log.Debug().Err(err).Str("transactional_id", id).Msg("transaction could not be verified")
			return all(kerr.NetworkException.Code)
		case resp == nil && op == addToTxn:
			return all(kerr.InvalidTxnState.Code) // a Kafka before 3.8 cannot add for a producer
		case resp == nil:
			return all(0) // nor say
		}
		codes = verifiedCodes(resp, tps)
	}
	for i, c := range codes {
		switch {
		case c == kerr.ProducerFenced.Code:
			codes[i] = kerr.InvalidProducerEpoch.Code
		case c == kerr.TransactionAbortable.Code && op == verifyOld:
			codes[i] = kerr.InvalidTxnState.Code
		}
	}
	return codes
}

func coordinatorRequest(id string, producerID int64, epoch int16, tps []txn.TopicPartition, verifyOnly bool) *kmsg.AddPartitionsToTxnRequest {
	t := kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: id, ProducerID: producerID, ProducerEpoch: epoch, VerifyOnly: verifyOnly}
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
