package api

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage"
	"ottla/wire"
)

// DeleteRecords, versions 0-2 (KIP-107). v2: flexible. Offset -1 means the high watermark. Waits until the followers' logs start
// there, too.
//
// Errors, per partition: INVALID_TOPIC_EXCEPTION for internal topics, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE, POLICY_VIOLATION for a topic whose
// cleanup.policy does not delete, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR.
func deleteRecords(a *API, c *wire.Call, req *kmsg.DeleteRecordsRequest, resp *kmsg.DeleteRecordsResponse) error {
	ctx, stop := context.WithTimeout(c.Context(), time.Duration(req.TimeoutMillis)*time.Millisecond)
	defer stop()
	var wg sync.WaitGroup
	resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		resp.Topics[i].Topic = t.Topic
		resp.Topics[i].Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			r := &resp.Topics[i].Partitions[j]
			wg.Go(func() {
				low, err := int64(-1), error(kerr.InvalidTopicException)
				if !isInternal(t.Topic) {
					low, err = a.Replication.DeleteRecords(ctx, storage.TopicPartition{Topic: t.Topic, Partition: p.Partition}, p.Offset)
				}
				r.Partition, r.LowWatermark, r.ErrorCode = p.Partition, low, a.code(err)
				if err != nil {
					r.LowWatermark = -1
				}
			})
		}
	}
	wg.Wait()
	return nil
}
