package coordinator

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
)

// shard is one partition led here. Fields below the atomics belong to its goroutine.
type shard struct {
	rt        *Runtime
	partition int32
	log       zerolog.Logger
	mailbox   mailbox

	epoch  atomic.Int32 // leader epoch that appends name
	hw     atomic.Int64 // as OnHighWatermark told
	loaded atomic.Bool
	halt   chan struct{}
	once   sync.Once
	cause  atomic.Pointer[kerr.Error] // why halt was closed

	machine Machine
	end     int64 // log end offset as far as the machine has seen it
	batch   sharedBatch
	waiting waitQueue
	spare   []Event
	buf     []byte // batch being encoded
	reload  error  // set when the outcome of an append is not known
}

func newShard(r *Runtime, partition, leaderEpoch int32) *shard {
	s := &shard{
		rt: r, partition: partition, halt: make(chan struct{}),
		mailbox: mailbox{wake: make(chan struct{}, 1)},
		log:     r.cfg.Log.With().Str("topic", r.cfg.Topic).Int32("partition", partition).Logger(),
	}
	s.epoch.Store(leaderEpoch)
	return s
}

// stop ends the shard's goroutine; from now on nothing is acknowledged. Any goroutine may call it.
func (s *shard) stop(cause *kerr.Error) {
	s.once.Do(func() {
		s.cause.Store(cause)
		close(s.halt)
	})
}

func (s *shard) stopped() bool { return s.cause.Load() != nil }

// post queues ev, or returns the error to fail it with.
func (s *shard) post(ev Event) error {
	if cause := s.cause.Load(); cause != nil {
		return cause
	}
	if !s.loaded.Load() && ev.Traits()&AwaitsLoad == 0 {
		return kerr.CoordinatorLoadInProgress
	}
	return s.mailbox.put(ev)
}

// run is the shard's goroutine.
func (s *shard) run() {
	cancel := s.rt.log.OnHighWatermark(s.partition, func(hw int64) {
		for {
			old := s.hw.Load()
			if hw <= old {
				return
			}
			if s.hw.CompareAndSwap(old, hw) {
				break
			}
		}
		s.mailbox.signal()
	})
	defer cancel()
	for !s.stopped() {
		s.reload = nil
		if !s.load() {
			break
		}
		s.serve()
		if s.reload != nil {
			s.log.Error().Err(s.reload).Msg("outcome of an append is not known, loading the partition again")
			s.drop(kerr.CoordinatorLoadInProgress)
		}
	}
	s.loaded.Store(false)
	cause := s.cause.Load()
	s.drop(cause)
	for _, ev := range s.mailbox.close(cause) {
		s.failEvent(ev, cause)
	}
	s.log.Debug().Int32("leader_epoch", s.epoch.Load()).Str("cause", cause.Message).Msg("unloaded coordinator partition")
}

// drop answers all that waits and forgets the machine.
func (s *shard) drop(err error) {
	s.loaded.Store(false)
	now := time.Now()
	for w, ok := s.waiting.pop(); ok; w, ok = s.waiting.pop() {
		w.done(now, err)
	}
	if s.machine != nil {
		s.machine.Unload(err)
		s.machine = nil
	}
	for _, ev := range s.mailbox.take(nil) {
		if ev.Traits()&AwaitsLoad != 0 && !s.stopped() {
			s.mailbox.put(ev)
			continue
		}
		s.failEvent(ev, err)
	}
}

func (s *shard) failEvent(ev Event, err error) {
	if ev.Begin() {
		ev.Fail(err)
		ev.End()
	}
}

// serve handles events until the shard is stopped or must be loaded again.
func (s *shard) serve() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		s.step(now)
		if s.reload != nil || s.stopped() {
			return
		}
		timer.Reset(s.idle(time.Now()))
		select {
		case <-s.mailbox.wake:
		case <-timer.C:
		case <-s.halt:
			return
		}
	}
}

// idle is how long nothing needs to be done without an event.
func (s *shard) idle(now time.Time) time.Duration {
	d := time.Hour
	if at := s.machine.Deadline(); !at.IsZero() {
		d = min(d, at.Sub(now))
	}
	if at, ok := s.waiting.deadline(); ok {
		d = min(d, at.Sub(now))
	}
	return max(d, 0)
}

// step handles what has come: events in order, then committed answers, then deadlines.
func (s *shard) step(now time.Time) {
	events := s.mailbox.take(s.spare)
	for _, ev := range events {
		if s.reload != nil || s.stopped() {
			s.failEvent(ev, s.failure())
			continue
		}
		s.handle(now, ev)
	}
	clear(events)
	s.spare = events[:0]
	if cap(s.spare) > 4096 {
		s.spare = nil
	}
	s.flush(now)
	s.complete(now)
	if at := s.machine.Deadline(); s.reload == nil && !at.IsZero() && !at.After(now) {
		s.handle(now, Tick{})
		s.flush(now)
		s.complete(now)
	}
}

func (s *shard) failure() error {
	if cause := s.cause.Load(); cause != nil {
		return cause
	}
	return kerr.CoordinatorLoadInProgress
}

// handle lets the machine decide about one event and takes its records into the shared batch.
func (s *shard) handle(now time.Time, ev Event) {
	batching := ev.Traits()&Batching != 0
	if !batching {
		s.flush(now)
		if s.reload != nil {
			s.failEvent(ev, s.failure())
			return
		}
	}
	if !ev.Begin() {
		return
	}
	res := s.machine.Handle(now, ev)
	ev.End()
	if len(res.Records) == 0 {
		if res.Applied != nil {
			res.Applied(now)
		}
		if res.Done != nil {
			s.batch.addDone(res.Done)
		}
		return
	}
	if res.Transaction != nil || res.Split {
		s.flush(now)
		s.appendAlone(now, res)
		return
	}
	if !s.batch.fits(res.Records, s.rt.cfg.MaxBatchBytes) {
		s.flush(now)
	}
	s.batch.add(res)
	if !batching {
		s.flush(now)
	}
}

// complete runs the answers that the high watermark has reached, and those whose time is up.
func (s *shard) complete(now time.Time) {
	for {
		w, ok := s.waiting.front()
		if !ok || s.stopped() {
			return
		}
		switch {
		case s.hw.Load() >= w.end:
			s.waiting.pop()
			w.done(now, nil)
		case !now.Before(w.deadline):
			s.waiting.pop()
			w.done(now, fmt.Errorf("%s-%d: offset %d was not committed within %v: %w", s.rt.cfg.Topic, s.partition, w.end-1,
				s.rt.cfg.CommitTimeout, kerr.RequestTimedOut))
		default:
			return
		}
	}
}

// await queues an answer until the high watermark reaches the log end.
func (s *shard) await(now time.Time, done func(time.Time, error)) {
	if done != nil {
		s.waiting.push(waiter{end: s.end, deadline: now.Add(s.rt.cfg.CommitTimeout), done: done})
	}
}

// waiter is an answer that waits for the high watermark to reach end.
type waiter struct {
	end      int64
	deadline time.Time
	done     func(now time.Time, err error)
}

// waitQueue is a queue of waiters; both end and deadline only grow along it.
type waitQueue struct {
	q    []waiter
	head int
}

func (q *waitQueue) push(w waiter) { q.q = append(q.q, w) }

func (q *waitQueue) front() (waiter, bool) {
	if q.head == len(q.q) {
		return waiter{}, false
	}
	return q.q[q.head], true
}

func (q *waitQueue) deadline() (time.Time, bool) {
	w, ok := q.front()
	return w.deadline, ok
}

func (q *waitQueue) pop() (waiter, bool) {
	w, ok := q.front()
	if !ok {
		return w, false
	}
	q.q[q.head] = waiter{}
	q.head++
	switch {
	case q.head == len(q.q):
		q.q, q.head = q.q[:0], 0
		if cap(q.q) > 1<<14 {
			q.q = nil
		}
	case q.head > 1024 && q.head > len(q.q)/2:
		n := copy(q.q, q.q[q.head:])
		clear(q.q[n:])
		q.q, q.head = q.q[:n], 0
	}
	return w, true
}
