package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/coordinator"
	"ottla/coordinator/txn"
	"ottla/wire"
)

// AddOffsetsToTxn, versions 0-4. v2: PRODUCER_FENCED. v3: flexible. v4: as v3. It adds the group's partition of __consumer_offsets.
//
// Errors: those of AddPartitionsToTxn.
func addOffsetsToTxn(a *API, c *wire.Call, req *kmsg.AddOffsetsToTxnRequest, resp *kmsg.AddOffsetsToTxnResponse) error {
	n := config.Get(a.Config.Snapshot(), config.OffsetsTopicNumPartitions)
	if t := a.Cache.Load().Topics[offsetsTopic]; t != nil {
		n = int32(len(t.Partitions))
	}
	tps := []txn.TopicPartition{{Topic: offsetsTopic, Partition: coordinator.PartitionFor(req.Group, n)}}
	code := a.Txns.AddPartitions(c.Context(), req.TransactionalID, req.ProducerID, req.ProducerEpoch, tps, txn.V0)
	resp.ErrorCode = oldTxnCode(code, req.Version)
	return nil
}
