package txn

import (
	"maps"
	"strings"
	"time"

	"ottla/coordinator"
)

// addEvent adds partitions to a transaction, or with verify asks whether they are part of it (KIP-890).
//
// Errors: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS; TRANSACTION_ABORTABLE for a partition that is not part of it.
type addEvent struct {
	coordinator.Request
	id            string
	producerID    int64
	producerEpoch int16
	verify        bool
	version       Version
	partitions    []TopicPartition // may alias a request

	codes []int16 // by partition, with verify
	code  int16   // of all
}

func (e *addEvent) Traits() coordinator.Traits { return 0 }
func (e *addEvent) Fail(err error)             { e.finish(code(err)) }

func (e *addEvent) finish(code int16) {
	e.code = code
	e.Finish()
}

func (e *addEvent) handle(m *machine, now time.Time) {
	t := m.txns[e.id]
	c := t.check(e.producerID, e.producerEpoch)
	switch {
	case c != 0:
	case e.verify:
		e.codes = make([]int16, len(e.partitions))
		for i, tp := range e.partitions {
			if _, ok := t.partitions[tp]; !ok {
				e.codes[i] = codeAbortable
			}
		}
	default:
		e.add(m, t, now.UnixMilli())
	}
	m.whenCommitted(func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		e.finish(c)
	})
}

// check compares what a producer says it is with t, which may be nil, and has it wait while the last end is being completed.
func (t *transaction) check(producerID int64, epoch int16) int16 {
	switch {
	case t == nil:
		return codeInvalidMapping
	case t.goesOn(producerID, epoch):
		return codeConcurrent
	case t.producerID != producerID:
		return codeInvalidMapping
	case t.producerEpoch != epoch:
		return codeFenced
	case t.state.preparing():
		return codeConcurrent
	}
	return 0
}

// add opens the transaction, or adds to the open one.
func (e *addEvent) add(m *machine, t *transaction, nowMs int64) {
	d := t.metadata
	if t.state == Ongoing {
		known := true
		for _, tp := range e.partitions {
			if _, ok := t.partitions[tp]; !ok {
				known = false
				break
			}
		}
		if known {
			return
		}
		d.partitions = maps.Clone(t.partitions)
	} else {
		d.state, d.startMs, d.partitions = Ongoing, nowMs, nil
	}
	if d.partitions == nil {
		d.partitions = make(map[TopicPartition]struct{}, len(e.partitions))
	}
	for _, tp := range e.partitions {
		d.partitions[TopicPartition{strings.Clone(tp.Topic), tp.Partition}] = struct{}{}
	}
	d.lastUpdateMs, d.version, d.prevProducerID = nowMs, e.version, t.producerID
	m.write(t, &d)
}
