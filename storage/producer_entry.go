package storage

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/wire/batch"
)

// retainedBatches is how many batches of a producer can be recognised as duplicates: Java's and librdkafka's limit of
// max.in.flight requests for idempotent producers (ProducerStateEntry.NUM_BATCHES_TO_RETAIN).
const retainedBatches = 5

// producerBatch is what is remembered of a batch.
type producerBatch struct {
	lastSeq     int32
	offsetDelta int32 // last offset - first offset
	lastOffset  int64
	timestamp   int64
}

func (b producerBatch) firstSeq() int32 {
	// The sequence may have wrapped from 2^31-1 to 0 within the batch.
	if first := int64(b.lastSeq) - int64(b.offsetDelta); first >= 0 {
		return int32(first)
	} else {
		return int32(first + math.MaxInt32 + 1)
	}
}

// producerEntry is the state of one producer id in one partition. It is a value without pointers: copying it is enough to try
// an append out. Guarded by Log.mu.
type producerEntry struct {
	epoch            int16 // -1: no batch yet
	n                uint8
	batches          [retainedBatches]producerBatch // the n newest, oldest first
	coordinatorEpoch int32
	lastTimestamp    int64
	txnFirstOffset   int64 // of the open transaction, -1 none
}

func newProducerEntry() producerEntry {
	return producerEntry{epoch: -1, coordinatorEpoch: -1, lastTimestamp: -1, txnFirstOffset: -1}
}

// lastSeq is -1 if no batch of the epoch is known.
func (e *producerEntry) lastSeq() int32 {
	if e.n == 0 {
		return -1
	}
	return e.batches[e.n-1].lastSeq
}

// duplicate finds the batch that v repeats.
func (e *producerEntry) duplicate(v batch.View) (producerBatch, bool) {
	if v.ProducerEpoch() != e.epoch {
		return producerBatch{}, false
	}
	first, last := v.BaseSequence(), v.LastSequence()
	for _, b := range e.batches[:e.n] {
		if b.firstSeq() == first && b.lastSeq == last {
			return b, true
		}
	}
	return producerBatch{}, false
}

func (e *producerEntry) setEpoch(epoch int16) {
	if e.epoch != epoch {
		e.epoch, e.n = epoch, 0
	}
}

func (e *producerEntry) add(epoch int16, b producerBatch) {
	e.setEpoch(epoch)
	if e.n == retainedBatches {
		copy(e.batches[:], e.batches[1:])
		e.n--
	}
	e.batches[e.n] = b
	e.n++
	e.lastTimestamp = b.timestamp
}

// producerError says what is wrong with a batch of a producer.
func producerError(tp TopicPartition, v batch.View, code *kerr.Error, format string, args ...any) error {
	return fmt.Errorf("append to %s: producer %d epoch %d: %s: %w", tp, v.ProducerID(), v.ProducerEpoch(), fmt.Sprintf(format, args...), code)
}

// checkData decides whether a data batch of the producer may be appended (ProducerAppendInfo.appendDataBatch).
func (e *producerEntry) checkData(tp TopicPartition, v batch.View, origin Origin) error {
	if v.ProducerEpoch() < e.epoch {
		return producerError(tp, v, kerr.InvalidProducerEpoch, "the last seen epoch is %d", e.epoch)
	}
	if origin == OriginClient {
		if err := e.checkSequence(tp, v); err != nil {
			return err
		}
	}
	if e.txnFirstOffset >= 0 && !v.IsTransactional() {
		return producerError(tp, v, kerr.InvalidTxnState, "a write outside the transaction that is open since offset %d", e.txnFirstOffset)
	}
	return nil
}

func (e *producerEntry) checkSequence(tp TopicPartition, v batch.View) error {
	first := v.BaseSequence()
	switch {
	case e.epoch < 0:
		// Nothing is known of the producer, perhaps because retention removed it: any sequence is right (KIP-360).
	case v.ProducerEpoch() != e.epoch:
		if first != 0 {
			return producerError(tp, v, kerr.OutOfOrderSequenceNumber, "sequence %d at the start of a new epoch, the current one is %d", first, e.epoch)
		}
	default:
		if last := e.lastSeq(); int64(first) != int64(last)+1 && (first != 0 || last != math.MaxInt32) {
			return producerError(tp, v, kerr.OutOfOrderSequenceNumber, "sequence %d after %d", first, last)
		}
	}
	return nil
}

// checkMarker decides whether a transaction marker may be appended. One that raises the epoch and comes late, when the next transaction is
// open in that epoch, must not end it.
func (e *producerEntry) checkMarker(tp TopicPartition, v batch.View, coordinatorEpoch int32, raisesEpoch bool) error {
	if raisesEpoch && v.ProducerEpoch() == e.epoch && e.txnFirstOffset >= 0 {
		return producerError(tp, v, kerr.InvalidProducerEpoch, "marker for the transaction before the one that is open since offset %d", e.txnFirstOffset)
	}
	if v.ProducerEpoch() < e.epoch {
		return producerError(tp, v, kerr.InvalidProducerEpoch, "marker for an epoch before the last seen one, %d", e.epoch)
	}
	if coordinatorEpoch < e.coordinatorEpoch {
		return producerError(tp, v, kerr.TransactionCoordinatorFenced, "marker of coordinator epoch %d after %d", coordinatorEpoch, e.coordinatorEpoch)
	}
	return nil
}

// applyData notes an appended data batch; started says that it opened a transaction.
func (e *producerEntry) applyData(v batch.View) (started bool) {
	e.add(v.ProducerEpoch(), producerBatch{
		lastSeq: v.LastSequence(), offsetDelta: v.LastOffsetDelta(), lastOffset: v.LastOffset(), timestamp: v.MaxTimestamp(),
	})
	if v.IsTransactional() && e.txnFirstOffset < 0 {
		e.txnFirstOffset = v.BaseOffset()
		return true
	}
	return false
}

// applyMarker notes an appended marker and returns the first offset of the transaction that it ended, -1 if there was none.
func (e *producerEntry) applyMarker(v batch.View, coordinatorEpoch int32) (txnFirstOffset int64) {
	txnFirstOffset = e.txnFirstOffset
	e.setEpoch(v.ProducerEpoch())
	e.txnFirstOffset = -1
	e.coordinatorEpoch = coordinatorEpoch
	e.lastTimestamp = v.MaxTimestamp()
	return txnFirstOffset
}
