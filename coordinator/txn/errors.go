package txn

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator"
)

// Codes of this package's answers, by their names.
var (
	codeInvalidRequest     = kerr.InvalidRequest.Code
	codeInvalidTimeout     = kerr.InvalidTransactionTimeout.Code
	codeInvalidMapping     = kerr.InvalidProducerIDMapping.Code
	codeInvalidTxnState    = kerr.InvalidTxnState.Code
	codeFenced             = kerr.ProducerFenced.Code
	codeConcurrent         = kerr.ConcurrentTransactions.Code
	codeAbortable          = kerr.TransactionAbortable.Code
	codeNotFound           = kerr.TransactionalIDNotFound.Code
	codeNotAvailable       = kerr.CoordinatorNotAvailable.Code
	codeNotCoordinator     = kerr.NotCoordinator.Code
	codeUnknownServerError = kerr.UnknownServerError.Code
)

// code is what a client is told when a record was not written or not committed (TransactionStateManager.appendTransactionToLog).
func code(err error) int16 {
	if err == nil {
		return 0
	}
	e := coordinator.AsKerr(err)
	if e == nil {
		return codeUnknownServerError
	}
	switch e.Code {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code, kerr.RequestTimedOut.Code:
		return codeNotAvailable
	case kerr.NotLeaderForPartition.Code, kerr.KafkaStorageError.Code, kerr.FencedLeaderEpoch.Code, kerr.UnknownLeaderEpoch.Code:
		return codeNotCoordinator
	case kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code:
		return codeUnknownServerError
	}
	return e.Code
}
