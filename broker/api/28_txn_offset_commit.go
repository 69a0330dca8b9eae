package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/coordinator/group"
	"ottla/coordinator/txn"
	"ottla/storage"
	"ottla/wire"
)

// TxnOffsetCommit, versions 0-5. v2: leader epoch. v3: flexible; member, generation and group instance id (KIP-447). v4:
// TRANSACTION_ABORTABLE is understood. v5: makes the offsets part of the transaction (KIP-890).
//
// Errors, per partition: those of OffsetCommit; INVALID_TXN_STATE, from version 4 TRANSACTION_ABORTABLE, if AddOffsetsToTxn did not
// come before; INVALID_PRODUCER_EPOCH; INVALID_PRODUCER_ID_MAPPING.
func txnOffsetCommit(a *API, c *wire.Call, req *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) error {
	var verify func(int32) (*storage.VerificationGuard, error)
	if req.Version >= 5 || config.Get(a.Config.Snapshot(), config.TransactionPartitionVerificationEnable) {
		verify = func(partition int32) (*storage.VerificationGuard, error) { return a.verifyOffsets(c, req, partition) }
	}
	*resp = *a.Groups.TxnCommitOffsets(c.Context(), client(c), req.Version, req, verify)
	return nil
}

// verifyOffsets asks whether the group's partition of __consumer_offsets is part of the transaction, or adds it, unless the log says that it
// is open.
func (a *API) verifyOffsets(c *wire.Call, req *kmsg.TxnOffsetCommitRequest, partition int32) (*storage.VerificationGuard, error) {
	p, err := a.Replication.LeaderPartition(group.Topic, partition)
	if err != nil {
		return nil, err
	}
	op := operationOf(req.Version, 4, 5)
	tps := []txn.TopicPartition{{Topic: group.Topic, Partition: partition}}
	var guard *storage.VerificationGuard
	untilAdded(c.Context(), op, func() (concurrent bool) {
		if guard, err = p.Log().StartVerification(req.ProducerID, req.ProducerEpoch, -1, op == addToTxn); guard == nil {
			return false
		}
		code := a.askTransaction(c.Context(), req.TransactionalID, req.ProducerID, req.ProducerEpoch, tps, op)[0]
		if concurrent = code == kerr.ConcurrentTransactions.Code; concurrent && op == addToTxn {
			code = kerr.CoordinatorLoadInProgress.Code // which every client waits on
		}
		if code != 0 {
			err = fmt.Errorf("offsets of group %q in the transaction of %q: %w", req.Group, req.TransactionalID, kerr.ErrorForCode(code))
		}
		return concurrent
	})
	return guard, err
}
