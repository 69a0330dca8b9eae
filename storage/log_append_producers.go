package storage

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/wire/batch"
)

// checkProducersLocked checks the batches against the producer state. dup is the answer to a batch that was appended before.
func (l *Log) checkProducersLocked(records []byte, o *AppendOptions) (dup AppendInfo, isDup bool, err error) {
	// Several batches of one producer in one append build on each other: pending holds the state as it will be.
	type pendingEntry struct {
		id    int64
		entry producerEntry
	}
	var pending []pendingEntry
	next := l.EndOffset()
	for rest := records; len(rest) > 0; {
		var v batch.View
		v, rest, _ = batch.Next(rest)
		id := v.ProducerID()
		if id < 0 {
			if v.IsTransactional() || v.IsControl() && o.Origin != OriginTxnMarker {
				return dup, false, fmt.Errorf("append to %s: transactional or control batch without a producer id: %w", l.tp, kerr.InvalidRecord)
			}
			next += int64(v.LastOffsetDelta()) + 1
			continue
		}
		i := slices.IndexFunc(pending, func(p pendingEntry) bool { return p.id == id })
		var entry producerEntry
		if i >= 0 {
			entry = pending[i].entry
		} else {
			entry = l.producers.peek(id)
		}
		if o.Origin == OriginClient {
			if b, ok := entry.duplicate(v); ok && i < 0 {
				return AppendInfo{
					FirstOffset: b.lastOffset - int64(b.offsetDelta), LastOffset: b.lastOffset, LogAppendTime: b.timestamp,
					LogStartOffset: l.StartOffset(), Duplicate: true, MaxTimestamp: b.timestamp,
				}, true, nil
			}
		}
		m, err := l.checkProducerLocked(v, &entry, o)
		if err != nil {
			return dup, false, err
		}
		if len(rest) == 0 && len(pending) == 0 {
			break // the usual case: one batch
		}
		v.SetBaseOffset(next)
		if m.ends {
			entry.applyMarker(v, m.coordinatorEpoch)
		} else if !v.IsControl() {
			entry.applyData(v)
		}
		next = v.NextOffset()
		if i >= 0 {
			pending[i].entry = entry
		} else {
			pending = append(pending, pendingEntry{id, entry})
		}
	}
	return dup, false, nil
}

func (l *Log) checkProducerLocked(v batch.View, entry *producerEntry, o *AppendOptions) (m marker, err error) {
	if v.IsControl() {
		if m, err = parseMarker(v); err != nil {
			return m, fmt.Errorf("append to %s: control batch: %w: %w", l.tp, err, kerr.InvalidRecord)
		}
		if m.ends {
			err = entry.checkMarker(l.tp, v, m.coordinatorEpoch, o.RaisesEpoch)
		}
		return m, err
	}
	if err := entry.checkData(l.tp, v, o.Origin); err != nil {
		return m, err
	}
	if v.IsTransactional() && (o.Origin == OriginClient || o.Origin == OriginCoordinator) {
		err = l.checkVerifiedLocked(v, entry, o)
	}
	return m, err
}

// checkVerifiedLocked refuses a transactional batch whose transaction is neither open here nor verified (KIP-890).
func (l *Log) checkVerifiedLocked(v batch.View, entry *producerEntry, o *AppendOptions) error {
	known := l.producers.verification[v.ProducerID()]
	if o.Origin == OriginClient && known != nil && known.adds && v.BaseSequence() != 0 && entry.n == 0 {
		// Each transaction of version 2 begins an epoch, so that nothing can have been written before this.
		return producerError(l.tp, v, kerr.OutOfOrderSequenceNumber, "the first sequence of a transaction is %d", v.BaseSequence())
	}
	if o.Origin == OriginClient && known != nil && v.BaseSequence() > known.lowestSeq {
		return producerError(l.tp, v, kerr.OutOfOrderSequenceNumber, "sequence %d before the verified %d", v.BaseSequence(), known.lowestSeq)
	}
	if !o.RequireVerified || entry.txnFirstOffset >= 0 && entry.epoch == v.ProducerEpoch() {
		return nil
	}
	if o.Guard == nil || o.Guard != known {
		return producerError(l.tp, v, kerr.InvalidTxnState, "the partition was not added to the transaction, or it ended while that was checked")
	}
	return nil
}

// StartVerification is called before the transaction coordinator is asked whether a producer's transaction includes this
// partition, and returns what the append must carry in AppendOptions.Guard. It is nil if there is nothing to ask: the transaction is open in the
// log already. baseSequence is that of the batch, -1 without one. adds says that the coordinator is asked to add the partition, rather than
// whether it was added: the transaction is one of version 2.
//
// Errors: INVALID_PRODUCER_EPOCH if the log knows a later epoch, which the coordinator need not be asked about.
func (l *Log) StartVerification(producerID int64, epoch int16, baseSequence int32, adds bool) (*VerificationGuard, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.producers.entries[producerID]; e != nil && e.epoch > epoch {
		return nil, fmt.Errorf("append to %s: producer %d epoch %d: the last seen epoch is %d: %w", l.tp, producerID, epoch, e.epoch, kerr.InvalidProducerEpoch)
	} else if e != nil && e.txnFirstOffset >= 0 && e.epoch == epoch {
		return nil, nil
	}
	if l.producers.verification == nil {
		l.producers.verification = make(map[int64]*VerificationGuard)
	}
	lowest := baseSequence
	if lowest < 0 {
		lowest = math.MaxInt32
	}
	g := l.producers.verification[producerID]
	if g == nil || g.epoch < epoch {
		g = &VerificationGuard{createdMs: time.Now().UnixMilli(), epoch: epoch, lowestSeq: lowest, adds: adds}
		l.producers.verification[producerID] = g
	} else if g.epoch == epoch {
		g.lowestSeq = min(g.lowestSeq, lowest)
	}
	return g, nil
}

// begunLocked returns the guard of the transaction after the one that a marker in records ends: the marker raises the epoch to that of the
// next transaction, for which the coordinator may be asked already. Other markers end what a guard is for.
func (l *Log) begunLocked(records []byte, o *AppendOptions) *VerificationGuard {
	if !o.RaisesEpoch {
		return nil
	}
	v := batch.View(records)
	if g := l.producers.verification[v.ProducerID()]; g != nil && g.epoch >= v.ProducerEpoch() {
		return g
	}
	return nil
}

// applyProducerLocked notes a written batch in the producer state and an aborted transaction in the index.
func (l *Log) applyProducerLocked(seg *segment, v batch.View) error {
	m, err := parseMarker(v)
	if err != nil { // checked before it was written
		return fmt.Errorf("append to %s: control batch at offset %d: %w: %w", l.tp, v.BaseOffset(), err, kerr.CorruptMessage)
	}
	done, ended := l.producers.apply(v, m)
	if !ended {
		return nil
	}
	lso := l.producers.complete(done)
	if !done.aborted {
		return nil
	}
	if err := seg.addAborted(abortedTxn{done.producerID, done.firstOffset, done.lastOffset, lso}); err != nil {
		return l.failed("write the transaction index", err)
	}
	return nil
}
