package api

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/coordinator/txn"
	"ottla/storage"
	"ottla/wire"
	"ottla/wire/batch"
)

// verification is what is known of the partitions of a transactional Produce.
type verification struct {
	required   bool
	partitions []verified // in the order of the request
}

// verified is what is known of one partition.
type verified struct {
	topic     string // of the request
	partition int32
	guard     *storage.VerificationGuard // nil if the transaction is open in the log already
	err       error
}

// verifyProduce asks the transaction's coordinator about those partitions of a Produce whose logs do not know the transaction yet, all
// in one request. The result holds nothing about a partition whose append will fail for another reason.
func (a *API) verifyProduce(c *wire.Call, req *kmsg.ProduceRequest) verification {
	op := operationOf(req.Version, 11, 12)
	if req.TransactionID == nil || op != addToTxn && !config.Get(a.Config.Snapshot(), config.TransactionPartitionVerificationEnable) {
		return verification{}
	}
	var known verification
	untilAdded(c.Context(), op, func() (concurrent bool) {
		known, concurrent = a.verifyOnce(c, req, op)
		return concurrent
	})
	return known
}

func (a *API) verifyOnce(c *wire.Call, req *kmsg.ProduceRequest, op operation) (_ verification, concurrent bool) {
	var known []verified
	var ask []int // elements of known that are to be asked about
	producerID, epoch := int64(-1), int16(-1)
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			v, ok := transactionalBatch(t.Partitions[j].Records)
			if !ok {
				continue
			}
			if producerID >= 0 && v.ProducerID() != producerID {
				return failAll(req, fail(kerr.InvalidProducerIDMapping, "Transactional records contained more than one producer ID")), false
			}
			producerID, epoch = v.ProducerID(), v.ProducerEpoch()
			p, err := a.Replication.LeaderPartition(t.Topic, t.Partitions[j].Partition)
			if err != nil {
				continue
			}
			k := verified{topic: t.Topic, partition: t.Partitions[j].Partition}
			k.guard, k.err = p.Log().StartVerification(producerID, epoch, v.BaseSequence(), op == addToTxn)
			if k.guard != nil {
				ask = append(ask, len(known))
			}
			known = append(known, k)
		}
	}
	if len(ask) == 0 {
		return verification{true, known}, false
	}
	tps := make([]txn.TopicPartition, len(ask))
	for i, k := range ask {
		tps[i] = txn.TopicPartition{Topic: known[k].topic, Partition: known[k].partition}
	}
	for i, code := range a.askTransaction(c.Context(), strings.Clone(*req.TransactionID), producerID, epoch, tps, op) {
		known[ask[i]].err = verificationError(code)
		concurrent = concurrent || code == kerr.ConcurrentTransactions.Code
	}
	return verification{true, known}, concurrent
}

// verificationError is what a producer is told (ReplicaManager.handleProduceAppend): what lies with the coordinator is retried without
// asking for metadata.
func verificationError(code int16) error {
	switch code {
	case kerr.InvalidTxnState.Code:
		return fail(kerr.InvalidTxnState, "Partition was not added to the transaction")
	case kerr.ConcurrentTransactions.Code, kerr.NetworkException.Code, kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code,
		kerr.NotCoordinator.Code:
		name := strings.ToUpper(kerr.TypedErrorForCode(code).Message)
		return fail(kerr.NotEnoughReplicas, "Unable to verify the partition has been added to the transaction. Underlying error: "+name)
	}
	return kerr.ErrorForCode(code)
}

// transactionalBatch returns the batch if it is one of a transaction.
func transactionalBatch(records []byte) (batch.View, bool) {
	v, _, err := batch.Next(records)
	if err != nil || v.Magic() != 2 || !v.IsTransactional() || v.ProducerID() < 0 {
		return nil, false
	}
	return v, true
}

func failAll(req *kmsg.ProduceRequest, err error) verification {
	var all []verified
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			all = append(all, verified{topic: t.Topic, partition: p.Partition, err: err})
		}
	}
	return verification{true, all}
}

// options is what the append to a partition carries. Partitions are asked for in the order of the request.
func (v *verification) options(topic string, partition int32) (storage.AppendOptions, error) {
	for i, k := range v.partitions {
		if k.partition == partition && k.topic == topic {
			v.partitions = v.partitions[i+1:]
			return storage.AppendOptions{Guard: k.guard, RequireVerified: true}, k.err
		}
	}
	return storage.AppendOptions{RequireVerified: v.required}, nil
}
