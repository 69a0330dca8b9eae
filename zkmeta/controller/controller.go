package controller

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// Deps are what the controller works with.
type Deps struct {
	Brokers Brokers
}

// A Controller runs a Machine: one goroutine takes events from a queue, does the machine's reads and writes
// over the session, and passes its requests to one channel per broker. Every broker has a Controller; at
// most one of a cluster is active.
type Controller struct {
	cfg  Config
	deps Deps
	log  zerolog.Logger

	activeID atomic.Int32
	deleting atomic.Pointer[map[string]struct{}]

	startMu sync.Mutex // held over each beginning and end of a session
	starts  int        // calls of Start and Resign, under startMu

	mu      sync.Mutex
	queue   []Event
	session *sessionRun // nil without a session
	closed  bool
	wake    chan struct{} // has room for one

	stop context.CancelFunc
	done chan struct{}

	// Of the loop.
	machine  *Machine
	channels map[int32]*channel

	goroutines sync.WaitGroup // the channels' and the session guards'
}

// sessionRun is the time in which a session is used.
type sessionRun struct {
	x     *executor
	start int // Controller.starts at its beginning
	// ctx ends when nothing may be written any more, whatever the machine is in the middle of.
	ctx  context.Context
	stop context.CancelFunc
}

// New returns a controller that waits for Start.
func New(cfg Config, deps Deps) *Controller {
	ctx, stop := context.WithCancel(context.Background())
	c := &Controller{
		cfg:      cfg,
		deps:     deps,
		log:      cfg.Log,
		wake:     make(chan struct{}, 1),
		stop:     stop,
		done:     make(chan struct{}),
		machine:  NewMachine(cfg),
		channels: map[int32]*channel{},
	}
	c.activeID.Store(-1)
	go c.run(ctx)
	return c
}

// Start watches /controller in a session in which the broker is registered, and tries to be elected. It is
// called once for each session. When the session expires or falls silent the controller resigns by itself;
// when a silent one answers again it goes on by itself, unless Resign was called.
func (c *Controller) Start(s zkmeta.Session) {
	c.startMu.Lock()
	defer c.startMu.Unlock()
	c.starts++
	c.endLocked()
	c.beginLocked(s)
}

// Resign drops everything at once: after it returns no decision is made and nothing is written or sent
// until the next Start, except what was already on its way.
func (c *Controller) Resign() {
	c.startMu.Lock()
	defer c.startMu.Unlock()
	c.starts++
	c.endLocked()
}

// beginLocked needs startMu.
func (c *Controller) beginLocked(s zkmeta.Session) {
	ctx, stop := context.WithCancel(context.Background())
	run := &sessionRun{ctx: ctx, stop: stop, start: c.starts}
	run.x = newExecutor(s, func(path string) { c.post(ZNodeChanged{Path: path}) }, c.log)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		stop()
		return
	}
	c.session = run
	c.goroutines.Go(func() { c.guard(run) })
	c.mu.Unlock()
	c.post(SessionStarted{ID: s.ID()})
}

// endLocked needs startMu. It stops the I/O first and then waits until the loop has nothing left to do.
func (c *Controller) endLocked() {
	c.mu.Lock()
	run := c.session
	c.session = nil
	if run != nil {
		run.stop()
	}
	c.activeID.Store(-1)
	c.mu.Unlock()
	if run == nil {
		return
	}
	done := make(chan struct{})
	c.post(resigned{done: done})
	select {
	case <-done:
	case <-c.done:
	}
}

// Close resigns and ends the controller's goroutines.
func (c *Controller) Close() {
	c.Resign()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	<-c.done
	c.goroutines.Wait()
}

// ActiveID is the broker id in /controller, -1 if there is none or this broker has no session.
func (c *Controller) ActiveID() int32 { return c.activeID.Load() }

// IsActive tells whether this broker is the controller.
func (c *Controller) IsActive() bool { return c.ActiveID() == c.cfg.BrokerID }

// IsDeleting tells whether topic is being deleted, as far as an active controller knows.
func (c *Controller) IsDeleting(topic string) bool {
	names := c.deleting.Load()
	if names == nil {
		return false
	}
	_, ok := (*names)[topic]
	return ok
}

// UncleanElectionEnabled makes an active controller look for leaders for the partitions of a topic, or of
// all topics if it is empty, that have none. It is called when unclean.leader.election.enable becomes true.
func (c *Controller) UncleanElectionEnabled(topic string) {
	c.post(UncleanElectionEnabled{Topic: strings.Clone(topic)})
}

// AlterPartition changes ISRs; see the machine's alterPartition for the errors.
func (c *Controller) AlterPartition(ctx context.Context, req *kmsg.AlterPartitionRequest) *kmsg.AlterPartitionResponse {
	for i := range req.Topics {
		req.Topics[i].Topic = strings.Clone(req.Topics[i].Topic)
	}
	resp, err := ask(ctx, c, func(reply func(*kmsg.AlterPartitionResponse)) Event {
		return AlterPartition{Request: req, Reply: reply}
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.AlterPartitionResponse)
		resp.ErrorCode, _ = wireCode(err)
	}
	return resp
}

// ControlledShutdown moves leaderships and replicas away from a broker that wants to stop, and answers with
// what it still leads. epoch is -1 if the request does not tell.
//
// Errors: NOT_CONTROLLER, STALE_BROKER_EPOCH, BROKER_NOT_AVAILABLE, REQUEST_TIMED_OUT when ctx ends first.
func (c *Controller) ControlledShutdown(ctx context.Context, brokerID int32, epoch int64) (remaining []zkmeta.TP, err error) {
	type answer struct {
		remaining []zkmeta.TP
		err       error
	}
	a, err := ask(ctx, c, func(reply func(answer)) Event {
		return ControlledShutdown{Broker: brokerID, Epoch: epoch, Reply: func(tps []zkmeta.TP, err error) { reply(answer{tps, err}) }}
	})
	if err != nil {
		return nil, err
	}
	return a.remaining, a.err
}

// ElectLeaders runs preferred or unclean elections.
func (c *Controller) ElectLeaders(ctx context.Context, req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	for i := range req.Topics {
		req.Topics[i].Topic = strings.Clone(req.Topics[i].Topic)
	}
	resp, err := ask(ctx, c, func(reply func(*kmsg.ElectLeadersResponse)) Event {
		return ElectLeaders{Request: req, Reply: reply}
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.ElectLeadersResponse)
		resp.ErrorCode, _ = wireCode(err)
	}
	return resp
}

// AlterReassignments starts, changes and cancels reassignments of partitions.
func (c *Controller) AlterReassignments(ctx context.Context, req *kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse {
	for i := range req.Topics {
		req.Topics[i].Topic = strings.Clone(req.Topics[i].Topic)
	}
	resp, err := ask(ctx, c, func(reply func(*kmsg.AlterPartitionAssignmentsResponse)) Event {
		return AlterReassignments{Request: req, Reply: reply}
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		resp.ErrorCode, resp.ErrorMessage = wireCode(err)
	}
	return resp
}

// ListReassignments lists the reassignments that are going on.
func (c *Controller) ListReassignments(ctx context.Context, req *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
	for i := range req.Topics {
		req.Topics[i].Topic = strings.Clone(req.Topics[i].Topic)
	}
	resp, err := ask(ctx, c, func(reply func(*kmsg.ListPartitionReassignmentsResponse)) Event {
		return ListReassignments{Request: req, Reply: reply}
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
		resp.ErrorCode, resp.ErrorMessage = wireCode(err)
	}
	return resp
}

// AllocateProducerIDs gives a broker the next n producer ids, from start on.
//
// Errors: NOT_CONTROLLER, STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED, REQUEST_TIMED_OUT when ctx ends
// first, UNKNOWN_SERVER_ERROR.
func (c *Controller) AllocateProducerIDs(ctx context.Context, brokerID int32, epoch int64) (start int64, n int32, err error) {
	type answer struct {
		start int64
		n     int32
		err   error
	}
	a, err := ask(ctx, c, func(reply func(answer)) Event {
		return AllocateProducerIDs{Broker: brokerID, Epoch: epoch, Reply: func(start int64, n int32, err error) { reply(answer{start, n, err}) }}
	})
	if err != nil {
		return 0, 0, err
	}
	return a.start, a.n, a.err
}

// Stats counts what the controller knows; all zero unless it is active.
func (c *Controller) Stats(ctx context.Context) (Stats, error) {
	return ask(ctx, c, func(reply func(Stats)) Event { return ReadStats{Reply: reply} })
}

// ask posts an event and waits for its reply.
func ask[T any](ctx context.Context, c *Controller, event func(reply func(T)) Event) (T, error) {
	answers := make(chan T, 1)
	var none T
	if !c.post(event(func(a T) { answers <- a })) {
		return none, errNotController("request")
	}
	select {
	case a := <-answers:
		return a, nil
	case <-ctx.Done():
		return none, kerr.RequestTimedOut
	case <-c.done:
		select {
		case a := <-answers:
			return a, nil
		default:
			return none, errNotController("request")
		}
	}
}

// sessionLook is how often a session is asked whether it is silent.
const sessionLook = 100 * time.Millisecond

// guard resigns when the session expires or falls silent.
func (c *Controller) guard(run *sessionRun) {
	tick := time.NewTicker(sessionLook)
	defer tick.Stop()
	for {
		select {
		case <-run.ctx.Done():
			return
		case <-run.x.session.Expired():
			c.log.Warn().Msg("metadata session expired")
			c.endRun(run)
			return
		case <-tick.C:
		}
		if run.x.session.Silent() {
			c.log.Warn().Msg("metadata store is silent")
			c.endRun(run)
			c.awaitVoice(run)
			return
		}
	}
}

// endRun is Resign for a session that ended by itself.
func (c *Controller) endRun(run *sessionRun) {
	c.startMu.Lock()
	defer c.startMu.Unlock()
	if c.starts == run.start {
		c.endLocked()
	}
}

// awaitVoice goes on with a session that was silent once it answers again, unless something else was
// started or asked for meanwhile.
func (c *Controller) awaitVoice(run *sessionRun) {
	s := run.x.session
	tick := time.NewTicker(sessionLook)
	defer tick.Stop()
	for {
		select {
		case <-s.Expired():
			return
		case <-c.done:
			return
		case <-tick.C:
		}
		if s.Silent() {
			continue
		}
		c.startMu.Lock()
		if c.starts == run.start {
			c.log.Info().Msg("metadata store answers again")
			c.beginLocked(s)
		}
		c.startMu.Unlock()
		return
	}
}
