package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator"
	"ottla/replication"
	"ottla/storage"
)

// coordinatorLog is an internal topic as its coordinator sees it. It implements coordinator.Log.
type coordinatorLog struct {
	topic       string
	replication *replication.Manager
}

func (l *coordinatorLog) leader(partition int32) (*replication.Partition, error) {
	return l.replication.LeaderPartition(l.topic, partition)
}

// Append writes one batch as the leader of that epoch and returns the log end offset after it.
func (l *coordinatorLog) Append(partition, leaderEpoch int32, batch []byte, txn *coordinator.Transaction) (end int64, err error) {
	p, err := l.leader(partition)
	if err != nil {
		return 0, err
	}
	o := storage.AppendOptions{Origin: storage.OriginCoordinator}
	if txn != nil && txn.Verified {
		o.RequireVerified, o.Guard = true, txn.Guard
	}
	app, err := p.Append(batch, replication.AppendOptions{Acks: -1, LeaderEpoch: leaderEpoch, Log: o})
	if err != nil {
		return 0, err
	}
	return app.LastOffset + 1, nil
}

// Read returns whole batches from an offset, up to the log end, in fresh memory. It is empty at the end.
func (l *coordinatorLog) Read(partition int32, from int64, maxBytes int) ([]byte, error) {
	p, err := l.leader(partition)
	if err != nil {
		return nil, err
	}
	log := p.Log()
	r, err := log.Read(from, maxBytes, log.EndOffset(), true)
	if err != nil || r == nil {
		return nil, err
	}
	return l.bytes(partition, from, r)
}

// Salvage is Read past what is no batch.
func (l *coordinatorLog) Salvage(partition int32, from int64, maxBytes int) (records []byte, damage, err error) {
	p, err := l.leader(partition)
	if err != nil {
		return nil, nil, err
	}
	r, corruption, err := p.Log().Salvage(from, maxBytes)
	if corruption != nil {
		damage = corruption
	}
	if err != nil || r == nil {
		return nil, damage, err
	}
	records, err = l.bytes(partition, from, r)
	return records, damage, err
}

// bytes copies a range and releases it.
func (l *coordinatorLog) bytes(partition int32, from int64, r *storage.Range) ([]byte, error) {
	defer r.Release()
	records := make([]byte, r.Len())
	if n, err := r.ReadAt(records, 0); n < len(records) {
		return nil, fmt.Errorf("read %s-%d at offset %d: %d of %d bytes: %w", l.topic, partition, from, n, len(records), errOr(err, kerr.KafkaStorageError))
	}
	return records, nil
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// Bounds returns log start, log end and high watermark.
func (l *coordinatorLog) Bounds(partition int32) (start, end, hw int64, err error) {
	p, err := l.leader(partition)
	if err != nil {
		return 0, 0, 0, err
	}
	return p.Log().StartOffset(), p.Log().EndOffset(), p.HighWatermark(), nil
}

// OnHighWatermark calls f each time the high watermark advances.
func (l *coordinatorLog) OnHighWatermark(partition int32, f func(hw int64)) (cancel func()) {
	p := l.replication.Partition(l.topic, partition)
	if p == nil {
		return func() {}
	}
	return p.OnHighWatermark(f)
}
