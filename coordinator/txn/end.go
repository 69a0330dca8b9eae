package txn

import (
	"math"
	"time"

	"ottla/coordinator"
)

// endEvent is an EndTxn. It is answered when the outcome is committed; the markers follow.
//
// Errors: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS while the same outcome is being completed,
// INVALID_TXN_STATE for the other outcome or when there is no transaction.
type endEvent struct {
	coordinator.Request
	id            string
	producerID    int64
	producerEpoch int16
	commit        bool
	code          int16
}

func (e *endEvent) Traits() coordinator.Traits { return 0 }
func (e *endEvent) Fail(err error)             { e.finish(code(err)) }

func (e *endEvent) finish(code int16) {
	e.code = code
	e.Finish()
}

func (e *endEvent) handle(m *machine, now time.Time) {
	t := m.txns[e.id]
	c := t.check(e.producerID, e.producerEpoch)
	if c == 0 {
		c = e.decide(m, t, now.UnixMilli())
	}
	m.whenCommitted(func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		e.finish(c)
	})
}

func (e *endEvent) decide(m *machine, t *transaction, nowMs int64) int16 {
	prepare := PrepareAbort
	if e.commit {
		prepare = PrepareCommit
	}
	switch t.state {
	case Ongoing:
		d := t.metadata
		d.state, d.lastUpdateMs = prepare, nowMs
		m.write(t, &d)
		m.sendWhenCommitted(t)
		return 0
	case prepare:
		return codeConcurrent
	case prepare.completed():
		return 0
	}
	return codeInvalidTxnState
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
			m.fence(t, nowMs)
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
