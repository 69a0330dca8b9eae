package txn

import (
	"math"
	"time"

	"ottla/coordinator"
)

// endEvent is an EndTxn. It is answered when the outcome is committed; the markers follow. A V2 end of a transaction whose epochs are used up
// needs a new producer id, which the machine cannot fetch: it says needsID, and the event comes again with newID.
//
// Errors: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS while a transaction is being completed,
// INVALID_TXN_STATE for the other outcome or when there is no transaction.
type endEvent struct {
	coordinator.Request
	id            string
	producerID    int64
	producerEpoch int16
	commit        bool
	version       Version
	newID         int64

	needsID   bool
	nextID    int64 // what the producer goes on with, -1 below V2
	nextEpoch int16
	code      int16
}

func (e *endEvent) Traits() coordinator.Traits { return 0 }
func (e *endEvent) Fail(err error)             { e.finish(code(err)) }

func (e *endEvent) finish(code int16) {
	if e.code = code; code != 0 || e.version < V2 {
		e.nextID, e.nextEpoch = noProducerID, noProducerEpoch
	}
	e.Finish()
}

func (e *endEvent) handle(m *machine, now time.Time) {
	t := m.txns[e.id]
	var c int16
	switch {
	case e.version >= V2:
		c = e.decide2(m, t, now.UnixMilli())
	default:
		if c = t.check(e.producerID, e.producerEpoch); c == 0 {
			c = e.decide(m, t, now.UnixMilli())
		}
	}
	if e.needsID {
		e.Finish()
		return
	}
	m.whenCommitted(func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		e.finish(c)
	})
}

func (e *endEvent) outcome() State {
	if e.commit {
		return PrepareCommit
	}
	return PrepareAbort
}

func (e *endEvent) decide(m *machine, t *transaction, nowMs int64) int16 {
	switch t.state {
	case Ongoing:
		d := t.metadata
		d.state, d.lastUpdateMs, d.version, d.prevProducerID = e.outcome(), nowMs, e.version, t.producerID
		m.write(t, &d)
		m.sendWhenCommitted(t)
		return 0
	case e.outcome().completed():
		return 0
	}
	return codeInvalidTxnState
}

// decide2 is decide for V2 (TransactionCoordinator.endTransaction). The epoch tells a repetition, which has the one before, from the end of
// the next transaction, which may be empty: then it can only be aborted. While the one before is being completed the producer may have come
// that far already, and asks again (KAFKA-18464).
func (e *endEvent) decide2(m *machine, t *transaction, nowMs int64) int16 {
	if t == nil {
		return codeInvalidMapping
	}
	done := t.state == CompleteCommit || t.state == CompleteAbort
	// rotated: this end used the last epoch, and the producer has a new id since.
	rotated := done && t.producerEpoch == 0 && t.lastProducerID == e.producerID && e.producerEpoch == math.MaxInt16-1
	repeated := done && (rotated || int32(t.producerEpoch) == int32(e.producerEpoch)+1)
	switch {
	case t.producerID != e.producerID && !rotated && !t.goesOn(e.producerID, e.producerEpoch):
		return codeInvalidMapping
	case t.state.preparing():
		return codeConcurrent
	case !repeated && t.producerEpoch != e.producerEpoch:
		return codeFenced
	case repeated && t.producerEpoch == math.MaxInt16:
		return codeFenced // it was fenced with the last epoch, which is for nobody to go on with
	case repeated && t.state == e.outcome().completed():
		e.nextID, e.nextEpoch = t.next()
		return 0
	case repeated, t.state != Ongoing && e.commit:
		return codeInvalidTxnState
	}
	return e.bump(m, t, nowMs)
}

// bump ends the transaction, or the one that never began, in the next epoch.
func (e *endEvent) bump(m *machine, t *transaction, nowMs int64) int16 {
	d := t.metadata
	if t.exhausted() {
		if e.newID == noProducerID {
			e.needsID = true
			return 0
		}
		d.nextProducerID = e.newID
	}
	if t.state != Ongoing {
		d.startMs, d.partitions = nowMs, nil
	}
	if t.producerEpoch < math.MaxInt16 { // no producer is ever given the last epoch, so only a foreign record can have it here
		d.producerEpoch++
	}
	last := t.producerEpoch
	d.state, d.lastUpdateMs, d.version, d.prevProducerID = e.outcome(), nowMs, e.version, t.producerID
	m.write(t, &d)
	m.whenApplied(func() { t.lastProducerEpoch = last })
	e.nextID, e.nextEpoch = d.next()
	m.sendWhenCommitted(t)
	return 0
}

// markersEvent says that all markers of a transaction are written.
type markersEvent struct {
	coordinator.Request
	markers *markers
	failed  func(*markers) // what to do if the event did not reach the machine
}

func (e *markersEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *markersEvent) Fail(error) {
	e.failed(e.markers)
	e.Finish()
}

func (e *markersEvent) handle(m *machine, now time.Time) {
	if t := m.txns[e.markers.id]; t != nil && t.sent == e.markers {
		m.complete(now, t)
	}
	e.Finish()
}

// abortOverdue aborts the transactions that have been open for longer than their producers said.
func (m *machine) abortOverdue(now time.Time) {
	m.timers.Set(&m.overdue, now.Add(m.cfg.AbortOverdueInterval))
	nowMs := now.UnixMilli()
	for _, t := range m.txns {
		if t.state == Ongoing && t.startMs+int64(t.timeoutMs) < nowMs && t.producerEpoch < math.MaxInt16 {
			m.log.Info().Str("transactional_id", t.id).Int64("producer_id", t.producerID).Int16("producer_epoch", t.producerEpoch).
				Msg("aborting transaction that is open for too long")
			m.fence(t, noProducerID, nowMs)
			m.split = true
		}
	}
}

// expire forgets transactional ids that have been idle for transactional.id.expiration.ms.
func (m *machine) expire(now time.Time) {
	m.timers.Set(&m.expiry, now.Add(m.cfg.ExpireInterval))
	for _, t := range m.txns {
		switch t.state {
		case Empty, CompleteCommit, CompleteAbort:
			if t.lastUpdateMs+m.cfg.IDExpiration.Milliseconds() <= now.UnixMilli() {
				m.records = append(m.records, coordinator.KeyValue{Key: encodeKey(t.id)})
				m.split = true
			}
		}
	}
	if n := len(m.records); n > 0 {
		m.whenCommitted(func(_ time.Time, err error) {
			if err != nil { // what is left expires the next time
				m.log.Warn().Err(err).Msg("could not forget all expired transactional ids")
				return
			}
			m.log.Info().Int("transactional_ids", n).Msg("forgot expired transactional ids")
		})
	}
}
