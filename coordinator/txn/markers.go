package txn

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// markers are those of one transaction whose outcome is committed.
type markers struct {
	partition  int32        // of __transaction_state
	ended      *atomic.Bool // the machine that handed them out is no more
	id         string
	producerID int64
	epoch      int16
	commit     bool
	version    Version

	left map[TopicPartition]struct{} // guarded by senders.mu
}

// Pauses and sizes of sending.
const (
	markerRetryEvery  = 100 * time.Millisecond
	maxRequestMarkers = 10_000 // partitions in one WriteTxnMarkers
)

// senders bring markers to the leaders of their partitions: a goroutine for each broker that some are on their way to, one request at
// a time with all that has come together, as Kafka's TransactionMarkerChannelManager does. What cannot be delivered is looked at again
// every 100 ms, with the leaders as they are then.
type senders struct {
	deps  *Deps
	epoch func(partition int32) (int32, bool)
	done  func(*markers) // all of them are written
	log   zerolog.Logger

	ctx  context.Context // of the requests; ended by close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	queues  map[int32]*queue // by broker; there is one as long as its goroutine runs
	again   []errand
	waiting bool // a timer runs that will look at again
}

// queue is what is to be sent to a broker.
type queue struct{ errands []errand }

// errand is a partition that a marker has to go to.
type errand struct {
	m       *markers
	tp      TopicPartition
	unknown bool // this broker has not been told of the partition
}

func newSenders(deps *Deps, epoch func(int32) (int32, bool), done func(*markers), log zerolog.Logger) *senders {
	s := &senders{deps: deps, epoch: epoch, done: done, log: log, queues: make(map[int32]*queue)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// send takes over markers. It does not wait.
func (s *senders) send(m *markers) {
	errands := make([]errand, 0, len(m.left))
	for tp := range m.left {
		errands = append(errands, errand{m: m, tp: tp})
	}
	if len(errands) == 0 {
		s.finished([]*markers{m})
		return
	}
	s.route(errands)
}

// undelivered is called for markers whose end could not be told to their machine: it is tried again if the machine is still there.
func (s *senders) undelivered(m *markers) {
	s.later([]errand{{m: m}})
}

// route puts errands into the queues of the partitions' leaders.
func (s *senders) route(errands []errand) {
	var over []*markers
	var later []errand
	s.mu.Lock()
	for _, e := range errands {
		switch {
		case s.closed || e.m.ended.Load():
			continue
		case e.tp.Topic == "": // see undelivered
			over = append(over, e.m)
			continue
		}
		leader, known := s.deps.Leader(e.tp.Topic, e.tp.Partition)
		switch {
		case !known:
			e.unknown = true
			later = append(later, e)
		case leader < 0:
			later = append(later, e)
		default:
			q := s.queues[leader]
			if q == nil {
				q = new(queue)
				s.queues[leader] = q
				s.wg.Go(func() { s.run(leader, q) })
			}
			q.errands = append(q.errands, e)
		}
	}
	s.mu.Unlock()
	s.later(later)
	s.finished(over)
}

// deliveredLocked notes that a partition is done with, and adds its markers to over if it was the last. mu is held.
func (s *senders) deliveredLocked(over []*markers, e errand) []*markers {
	if _, ok := e.m.left[e.tp]; !ok {
		return over
	}
	if delete(e.m.left, e.tp); len(e.m.left) == 0 {
		over = append(over, e.m)
	}
	return over
}

func (s *senders) finished(over []*markers) {
	for _, m := range over {
		if !m.ended.Load() {
			s.done(m)
		}
	}
}

// later looks at errands again after a pause.
func (s *senders) later(errands []errand) {
	if len(errands) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.again = append(s.again, errands...)
	if s.waiting {
		return
	}
	s.waiting = true
	s.wg.Go(func() {
		select {
		case <-time.After(markerRetryEvery):
		case <-s.ctx.Done():
		}
		s.mu.Lock()
		errands := s.again
		s.again, s.waiting = nil, false
		s.mu.Unlock()
		s.route(s.withoutDeleted(errands))
	})
}

// withoutDeleted takes out the errands to partitions that do not exist: there is nothing to mark. That this broker does not know a
// partition is not enough: a marker that is not written because of that leaves the transaction open for good.
func (s *senders) withoutDeleted(errands []errand) (left []errand) {
	deleted := make(map[TopicPartition]bool)
	var over []*markers
	for _, e := range errands {
		if e.unknown {
			e.unknown = false
			gone, asked := deleted[e.tp]
			if !asked {
				var err error
				if gone, err = s.deps.Deleted(s.ctx, e.tp.Topic, e.tp.Partition); err != nil && s.ctx.Err() == nil {
					s.log.Debug().Err(err).Str("topic", e.tp.Topic).Int32("partition", e.tp.Partition).
						Msg("a partition that waits for a transaction marker is unknown here, and whether it exists could not be read")
				}
				deleted[e.tp] = gone
			}
			if gone {
				s.mu.Lock()
				over = s.deliveredLocked(over, e)
				s.mu.Unlock()
				continue
			}
		}
		left = append(left, e)
	}
	s.finished(over)
	return left
}

// run sends what is queued for a broker, until nothing is.
func (s *senders) run(broker int32, q *queue) {
	for {
		s.mu.Lock()
		n := min(len(q.errands), maxRequestMarkers)
		errands := q.errands[:n:n]
		q.errands = q.errands[n:]
		if n == 0 || s.closed {
			delete(s.queues, broker)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.deliver(broker, errands)
	}
}

// deliver sends one request and looks at its answer.
func (s *senders) deliver(broker int32, errands []errand) {
	req := s.request(errands)
	if len(req.Markers) == 0 {
		return
	}
	resp, err := s.deps.SendMarkers(s.ctx, broker, req)
	if err != nil {
		if s.ctx.Err() == nil {
			s.log.Debug().Err(err).Int32("to_broker", broker).Msg("transaction markers could not be sent, trying again")
		}
		s.later(errands)
		return
	}
	codes := make(map[int64]map[TopicPartition]int16, len(resp.Markers))
	for i := range resp.Markers {
		m := &resp.Markers[i]
		by := codes[m.ProducerID]
		if by == nil {
			by = make(map[TopicPartition]int16)
			codes[m.ProducerID] = by
		}
		for j := range m.Topics {
			for _, p := range m.Topics[j].Partitions {
				by[TopicPartition{m.Topics[j].Topic, p.Partition}] = p.ErrorCode
			}
		}
	}
	var over []*markers
	var later []errand
	s.mu.Lock()
	for _, e := range errands {
		code, ok := codes[e.m.producerID][e.tp]
		switch {
		case ok && (code == 0 || code == kerr.UnsupportedForMessageFormat.Code || code == kerr.UnsupportedVersion.Code):
			over = s.deliveredLocked(over, e)
		case ok && (code == kerr.InvalidProducerEpoch.Code || code == kerr.TransactionCoordinatorFenced.Code):
			// Another coordinator, or an admin, has gone past this transaction.
			s.log.Warn().Str("transactional_id", e.m.id).Str("topic", e.tp.Topic).Int32("partition", e.tp.Partition).Int16("code", code).
				Msg("transaction marker refused for good, giving the transaction up")
		default:
			later = append(later, e)
		}
	}
	s.mu.Unlock()
	s.later(later)
	s.finished(over)
}

// request makes the request for errands whose coordinator is still this broker; errands of one transaction become one marker.
func (s *senders) request(errands []errand) *kmsg.WriteTxnMarkersRequest {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = writeTxnMarkersVersion
	at := make(map[*markers]int)
	for _, e := range errands {
		epoch, led := s.epoch(e.m.partition)
		if !led || e.m.ended.Load() {
			continue
		}
		i, ok := at[e.m]
		if !ok {
			i = len(req.Markers)
			at[e.m] = i
			req.Markers = append(req.Markers, kmsg.WriteTxnMarkersRequestMarker{
				ProducerID: e.m.producerID, ProducerEpoch: e.m.epoch, Committed: e.m.commit, CoordinatorEpoch: epoch, TransactionVersion: int8(e.m.version),
			})
		}
		addTopicPartition(&req.Markers[i], e.tp)
	}
	return req
}

// writeTxnMarkersVersion has the version of the transaction; Deps.SendMarkers lowers it for brokers that do not know it.
const writeTxnMarkersVersion = 2

func addTopicPartition(m *kmsg.WriteTxnMarkersRequestMarker, tp TopicPartition) {
	for i := range m.Topics {
		if m.Topics[i].Topic == tp.Topic {
			m.Topics[i].Partitions = append(m.Topics[i].Partitions, tp.Partition)
			return
		}
	}
	m.Topics = append(m.Topics, kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: tp.Topic, Partitions: []int32{tp.Partition}})
}

// close ends the goroutines; what is left is sent by whoever loads the partitions next.
func (s *senders) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
}
