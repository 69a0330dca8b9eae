package txn

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// describeEvent is one transactional id of a DescribeTransactions.
//
// Errors: TRANSACTIONAL_ID_NOT_FOUND.
type describeEvent struct {
	coordinator.Request
	id   string
	resp kmsg.DescribeTransactionsResponseTransactionState
}

func (e *describeEvent) Traits() coordinator.Traits { return 0 }

func (e *describeEvent) Fail(err error) {
	e.resp.ErrorCode = code(err)
	e.Finish()
}

func (e *describeEvent) handle(m *machine, _ time.Time) {
	t := m.txns[e.id]
	if t == nil || t.state == Dead {
		e.resp.ErrorCode = codeNotFound
		e.Finish()
		return
	}
	r := &e.resp
	r.State, r.TimeoutMillis, r.StartTimestamp = t.state.String(), t.timeoutMs, t.startMs
	r.ProducerID, r.ProducerEpoch = t.producerID, t.producerEpoch
	for _, tp := range t.sorted() {
		if n := len(r.Topics); n == 0 || r.Topics[n-1].Topic != tp.Topic {
			r.Topics = append(r.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: tp.Topic})
		}
		last := &r.Topics[len(r.Topics)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	e.Finish()
}

// listEvent collects the transactional ids of one partition.
type listEvent struct {
	coordinator.Request
	include func(t *transaction, nowMs int64) bool
	found   []kmsg.ListTransactionsResponseTransactionState
	code    int16
}

func (e *listEvent) Traits() coordinator.Traits { return 0 }

func (e *listEvent) Fail(err error) {
	e.code = code(err)
	e.Finish()
}

func (e *listEvent) handle(m *machine, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(m.txns)) {
		if t := m.txns[id]; t.state != Dead && e.include(t, now.UnixMilli()) {
			e.found = append(e.found, kmsg.ListTransactionsResponseTransactionState{
				TransactionalID: t.id, ProducerID: t.producerID, TransactionState: t.state.String(),
			})
		}
	}
	e.Finish()
}
