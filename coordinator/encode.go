package coordinator

import (
	"fmt"
	"sync"

	"ottla/wire/batch"
)

var builders = sync.Pool{New: func() any { return new(batch.Builder) }}

// encodeBatch appends one batch with the records to dst. Its offsets count from 0; the log assigns them. Like Kafka's coordinators it gives
// transactional batches base sequence 0: the log does not check sequences of its coordinators.
func encodeBatch(dst []byte, records []KeyValue, nowMs int64, codec batch.Codec, txn *Transaction) ([]byte, error) {
	if codec < batch.None || codec > batch.Zstd {
		return nil, fmt.Errorf("encode coordinator batch: unknown %v", codec)
	}
	opt := batch.NewBuilderOptions(0)
	opt.Codec = codec
	if txn != nil {
		opt.ProducerID, opt.Epoch, opt.Sequence, opt.Transactional = txn.ProducerID, txn.ProducerEpoch, 0, true
	}
	b := builders.Get().(*batch.Builder)
	defer builders.Put(b)
	b.Reset(opt)
	for _, r := range records {
		b.Add(nowMs, r.Key, r.Value, nil)
	}
	return b.AppendTo(dst), nil
}

// markerOf tells what the control record with this key ends; NoMarker for a kind that does not concern coordinators.
func markerOf(key []byte) (Marker, error) {
	kind, err := batch.ParseControl(key)
	if err != nil {
		return NoMarker, err
	}
	switch kind {
	case batch.ControlCommit:
		return CommitMarker, nil
	case batch.ControlAbort:
		return AbortMarker, nil
	}
	return NoMarker, nil
}
