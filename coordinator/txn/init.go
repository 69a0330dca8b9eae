package txn

import (
	"math"
	"strings"
	"time"

	"ottla/coordinator"
)

// initEvent is an InitProducerId with a transactional id. A new transactional id, or one whose epochs are used up, needs a new producer id,
// which the machine cannot fetch: it says needsID, and the event comes again with newID.
//
// Errors: CONCURRENT_TRANSACTIONS while a transaction ends, PRODUCER_FENCED.
type initEvent struct {
	coordinator.Request
	id            string
	timeoutMs     int32
	producerID    int64 // what the producer has, -1 if it is new (KIP-360)
	producerEpoch int16
	newID         int64

	needsID bool
	gotID   int64
	epoch   int16
	code    int16
}

func (e *initEvent) Traits() coordinator.Traits { return 0 }
func (e *initEvent) Fail(err error)             { e.finish(code(err)) }

func (e *initEvent) finish(code int16) {
	if e.code = code; code != 0 {
		e.gotID, e.epoch = noProducerID, noProducerEpoch
	}
	e.Finish()
}

// expects tells whether the producer says which id and epoch it has.
func (e *initEvent) expects() bool { return e.producerID != noProducerID }

func (e *initEvent) handle(m *machine, now time.Time) {
	nowMs := now.UnixMilli()
	t := m.txns[e.id]
	if t == nil {
		if e.newID == noProducerID {
			e.needsID = true
			e.Finish()
			return
		}
		t = &transaction{id: strings.Clone(e.id), lastProducerID: noProducerID, lastProducerEpoch: noProducerEpoch}
		t.metadata = newMetadata(e.newID, nowMs)
	}
	if !e.valid(t) {
		e.later(m, codeFenced)
		return
	}
	switch t.state {
	case PrepareCommit, PrepareAbort:
		e.later(m, codeConcurrent)
	case Ongoing:
		// The open transaction is aborted with an epoch that nobody is given; the client asks again and gets the one after it.
		if t.producerEpoch == math.MaxInt16 {
			e.later(m, codeUnknownServerError) // no producer is ever given the last epoch, so only a foreign record can say this
			return
		}
		if t.version >= V2 && t.exhausted() && e.newID == noProducerID {
			e.needsID = true
			e.Finish()
			return
		}
		m.fence(t, e.newID, nowMs)
		e.later(m, codeConcurrent)
	default:
		e.bump(m, t, nowMs)
	}
}

// later answers with an error that rests on what may not be committed yet.
func (e *initEvent) later(m *machine, c int16) {
	m.whenCommitted(func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		e.finish(c)
	})
}

// valid tells whether the producer id that the producer has is the present one, or the one before whose epochs ran out.
func (e *initEvent) valid(t *transaction) bool {
	return !e.expects() || t.producerEpoch == noProducerEpoch || e.producerID == t.producerID ||
		e.producerID == t.lastProducerID && epochExhausted(e.producerEpoch)
}

// bump gives the producer its new epoch (TransactionMetadata.prepareIncrementProducerEpoch, prepareProducerIdRotation).
func (e *initEvent) bump(m *machine, t *transaction, nowMs int64) {
	d := newMetadata(t.producerID, nowMs)
	d.timeoutMs, d.version, d.prevProducerID = e.timeoutMs, t.version, t.producerID
	lastID, lastEpoch := t.producerID, noProducerEpoch
	switch {
	case t.exhausted() && (!e.expects() || e.producerEpoch == t.producerEpoch):
		if e.newID == noProducerID {
			e.needsID = true
			e.Finish()
			return
		}
		d.producerID, d.producerEpoch = e.newID, 0
		if e.expects() {
			lastEpoch = t.producerEpoch
		}
	case !e.expects():
		d.producerEpoch = t.producerEpoch + 1
	case t.producerEpoch == noProducerEpoch || e.producerEpoch == t.producerEpoch:
		d.producerEpoch, lastEpoch = t.producerEpoch+1, t.producerEpoch
	case e.producerEpoch == t.lastProducerEpoch: // a repetition: its answer was lost
		d.producerEpoch, lastID, lastEpoch = t.producerEpoch, t.lastProducerID, t.lastProducerEpoch
	default:
		e.later(m, codeFenced)
		return
	}
	m.write(t, &d)
	m.whenApplied(func() {
		if n := m.txns[t.id]; n != nil {
			n.lastProducerID, n.lastProducerEpoch = lastID, lastEpoch
		}
	})
	e.gotID, e.epoch = d.producerID, d.producerEpoch
	m.whenCommitted(func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		e.finish(0)
	})
}

// fence aborts an open transaction in a new epoch, which shuts its producer out. If that is the last epoch of a V2 transaction, what follows
// has the producer id newID; with -1 it gets one from the next InitProducerId.
func (m *machine) fence(t *transaction, newID, nowMs int64) {
	d := t.metadata
	if t.version >= V2 && t.exhausted() {
		d.nextProducerID = newID
	}
	d.producerEpoch++
	d.state, d.lastUpdateMs, d.prevProducerID = PrepareAbort, nowMs, t.producerID
	m.write(t, &d)
	m.whenApplied(func() { t.lastProducerEpoch = noProducerEpoch })
	m.sendWhenCommitted(t)
}
