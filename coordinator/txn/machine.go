package txn

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"ottla/coordinator"
)

// machine is the state of one partition of __transaction_state: its transactional ids. It implements coordinator.Machine.
type machine struct {
	cfg       *Config
	partition int32
	log       zerolog.Logger
	// send hands the markers of a transaction whose outcome is committed to the senders.
	send func(*markers)
	// ended tells the senders that the machine is no more.
	ended *atomic.Bool

	txns    map[string]*transaction
	timers  coordinator.Timers
	overdue coordinator.Timer // looks for overdue transactions
	expiry  coordinator.Timer // looks for idle transactional ids
	retry   coordinator.Timer // looks again at what could not go on: PrepareX that was not committed in time, CompleteX that was not written

	// incomplete are the transactions whose markers are all written and whose CompleteX is not.
	incomplete map[string]*transaction

	records []coordinator.KeyValue // what the event being handled writes
	applied []func()
	done    []func(now time.Time, err error)
	split   bool
}

// retryEvery is the pause before something that failed is tried again.
const retryEvery = 500 * time.Millisecond

func newMachine(cfg *Config, partition int32, log zerolog.Logger, send func(*markers)) *machine {
	m := &machine{
		cfg: cfg, partition: partition, log: log, send: send, ended: new(atomic.Bool),
		txns: make(map[string]*transaction), incomplete: make(map[string]*transaction),
	}
	m.overdue.Fire, m.expiry.Fire, m.retry.Fire = m.abortOverdue, m.expire, m.again
	return m
}

// event is what the machine handles beside ticks.
type event interface {
	coordinator.Event
	handle(m *machine, now time.Time)
}

// Handle implements coordinator.Machine.
func (m *machine) Handle(now time.Time, ev coordinator.Event) coordinator.Result {
	switch ev := ev.(type) {
	case event:
		ev.handle(m, now)
	case coordinator.Tick:
		m.timers.Run(now)
	default:
		panic(fmt.Sprintf("txn: unknown event %T", ev))
	}
	res := coordinator.Result{Records: m.records, Split: m.split}
	if fs := m.applied; len(fs) > 0 {
		res.Applied = func(time.Time) {
			for _, f := range fs {
				f()
			}
		}
	}
	if fs := m.done; len(fs) > 0 {
		res.Done = func(now time.Time, err error) {
			for _, f := range fs {
				f(now, err)
			}
		}
	}
	m.records, m.applied, m.done, m.split = nil, nil, nil, false
	return res
}

// Deadline implements coordinator.Machine.
func (m *machine) Deadline() time.Time { return m.timers.Next() }

// write adds a record with what t is to become.
func (m *machine) write(t *transaction, d *metadata) {
	m.records = append(m.records, coordinator.KeyValue{Key: encodeKey(t.id), Value: encodeValue(d)})
}

// whenApplied runs f if the event's records were appended.
func (m *machine) whenApplied(f func()) { m.applied = append(m.applied, f) }

// whenCommitted runs f when all that the event rests on is committed, or with an error.
func (m *machine) whenCommitted(f func(now time.Time, err error)) { m.done = append(m.done, f) }

// Replay implements coordinator.Machine.
func (m *machine) Replay(r coordinator.Record) error {
	if r.Marker != coordinator.NoMarker {
		return nil // nobody writes markers here, and they would say nothing
	}
	id, ok, err := decodeKey(r.Key)
	if err != nil || !ok {
		return err
	}
	if r.Value == nil {
		delete(m.txns, id)
		delete(m.incomplete, id)
		return nil
	}
	d, err := decodeValue(r.Value)
	if err != nil {
		return fmt.Errorf("transactional id %q: %w", id, err)
	}
	t := m.txns[id]
	if t == nil {
		t = &transaction{id: id, lastProducerID: noProducerID, lastProducerEpoch: noProducerEpoch}
		m.txns[id] = t
	}
	t.metadata, t.sent = *d, nil
	if d.prevProducerID != noProducerID {
		t.lastProducerID = d.prevProducerID
	}
	delete(m.incomplete, id)
	return nil
}

// Loaded implements coordinator.Machine: what was being ended goes on.
func (m *machine) Loaded(now time.Time) {
	m.timers.Set(&m.overdue, now.Add(m.cfg.AbortOverdueInterval))
	m.timers.Set(&m.expiry, now.Add(m.cfg.ExpireInterval))
	for _, t := range m.txns {
		if t.state.preparing() { // the first tick waits for the commit of what was loaded, then sends
			m.timers.Set(&m.retry, now)
			return
		}
	}
}

// Unload implements coordinator.Machine. Nothing is parked here; the senders drop the markers.
func (m *machine) Unload(error) {
	m.ended.Store(true)
	m.txns, m.incomplete = nil, nil
}

// again goes on with what could not go on when it was tried.
func (m *machine) again(now time.Time) {
	for _, t := range m.txns {
		switch {
		case !t.state.preparing():
		case t.sent == nil:
			m.sendWhenCommitted(t)
		case m.incomplete[t.id] == t:
			m.complete(now, t)
		}
	}
	m.split = true // each transaction by itself
}

func (m *machine) tryAgain(now time.Time) {
	if m.txns != nil && !m.retry.Active() {
		m.timers.Set(&m.retry, now.Add(retryEvery))
	}
}

// sendWhenCommitted sends the markers of t, which is in PrepareX or about to be, when that is committed.
func (m *machine) sendWhenCommitted(t *transaction) {
	m.whenCommitted(func(now time.Time, err error) {
		switch {
		case m.txns[t.id] != t || !t.state.preparing() || t.sent != nil: // not written, or under way
		case err != nil:
			m.tryAgain(now)
		default:
			t.sent = &markers{
				partition: m.partition, ended: m.ended, id: t.id, producerID: t.producerID, epoch: t.producerEpoch,
				commit: t.state == PrepareCommit, version: t.version, left: maps.Clone(t.partitions),
			}
			m.send(t.sent)
		}
	})
}

// complete writes CompleteX: all markers of t are written.
func (m *machine) complete(now time.Time, t *transaction) {
	d := t.metadata
	d.producerID, d.producerEpoch = t.next()
	d.prevProducerID, d.nextProducerID = t.producerID, noProducerID
	d.state, d.partitions, d.lastUpdateMs = t.state.completed(), nil, now.UnixMilli()
	m.incomplete[t.id] = t // until it is replayed
	m.write(t, &d)
	m.whenCommitted(func(now time.Time, _ error) {
		if m.incomplete[t.id] == t {
			m.tryAgain(now)
		}
	})
}
