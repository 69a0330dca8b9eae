package api

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/coordinator/txn"
	"ottla/replication"
	"ottla/storage"
	"ottla/wire"
	"ottla/wire/batch"
)

// WriteTxnMarkers, versions 0-2. v1: flexible. v2: version of the transaction. From a transaction coordinator, or an admin that aborts a hanging transaction: a marker is
// appended to each partition, and answered when it is committed and, for __consumer_offsets, the group coordinator knows.
//
// Errors, per partition: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED,
// NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR.
func writeTxnMarkers(a *API, c *wire.Call, req *kmsg.WriteTxnMarkersRequest, resp *kmsg.WriteTxnMarkersResponse) error {
	*resp = *a.WriteTxnMarkers(c.Context(), req)
	return nil
}

// WriteTxnMarkers serves the request of a connection or of the transaction coordinator in this broker.
func (a *API) WriteTxnMarkers(ctx context.Context, req *kmsg.WriteTxnMarkersRequest) *kmsg.WriteTxnMarkersResponse {
	resp := &kmsg.WriteTxnMarkersResponse{Version: req.Version, Markers: make([]kmsg.WriteTxnMarkersResponseMarker, len(req.Markers))}
	var apps []replication.Appended
	var at []*kmsg.WriteTxnMarkersResponseMarkerTopicPartition
	nowMs := time.Now().UnixMilli()
	var one []byte // the marker as the next partition gets it
	for i := range req.Markers {
		m, rm := &req.Markers[i], &resp.Markers[i]
		rm.ProducerID = m.ProducerID
		marker := batch.ControlBatch(batch.ControlOptions{
			Type: controlType(m.Committed), ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch,
			CoordinatorEpoch: m.CoordinatorEpoch, TimestampMs: nowMs,
		})
		rm.Topics = make([]kmsg.WriteTxnMarkersResponseMarkerTopic, len(m.Topics))
		for j := range m.Topics {
			t, rt := &m.Topics[j], &rm.Topics[j]
			rt.Topic = t.Topic
			rt.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(t.Partitions))
			for k, n := range t.Partitions {
				rp := &rt.Partitions[k]
				rp.Partition = n
				one = append(one[:0], marker...) // an append edits what it is given
				app, err := a.appendMarker(t.Topic, n, one, txn.Version(m.TransactionVersion) >= txn.V2)
				if rp.ErrorCode = a.code(err); err == nil {
					apps, at = append(apps, app), append(at, rp)
				}
			}
		}
	}
	timeout := time.Duration(config.Get(a.Config.Snapshot(), config.RequestTimeoutMs)) * time.Millisecond
	if w := a.Replication.WaitCommitted(apps, timeout); w != nil {
		timer := time.NewTimer(timeout)
		select {
		case <-w.Done():
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		for i, code := range w.Errors() {
			at[i].ErrorCode = code
		}
	}
	for i := range resp.Markers {
		for _, t := range resp.Markers[i].Topics {
			if t.Topic != offsetsTopic {
				continue
			}
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 {
					a.Groups.CompleteTxn(p.Partition, req.Markers[i].ProducerID, req.Markers[i].Committed)
				}
			}
		}
	}
	resp.Markers = slices.DeleteFunc(resp.Markers, func(m kmsg.WriteTxnMarkersResponseMarker) bool {
		return !slices.ContainsFunc(m.Topics, func(t kmsg.WriteTxnMarkersResponseMarkerTopic) bool { return len(t.Partitions) > 0 })
	}) // Kafka says nothing about them
	return resp
}

func controlType(commit bool) batch.ControlType {
	if commit {
		return batch.ControlCommit
	}
	return batch.ControlAbort
}

func (a *API) appendMarker(topic string, partition int32, marker []byte, raisesEpoch bool) (replication.Appended, error) {
	if a.Replication.Partition(topic, partition) == nil { // unlike other requests this one does not look at the metadata
		return replication.Appended{}, kerr.UnknownTopicOrPartition
	}
	p, err := a.Replication.LeaderPartition(topic, partition)
	if err != nil {
		return replication.Appended{}, err
	}
	return p.Append(marker, replication.AppendOptions{
		Acks: -1, AnyEpoch: true, Log: storage.AppendOptions{Origin: storage.OriginTxnMarker, RaisesEpoch: raisesEpoch},
	})
}
