package controller

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// resigned is posted by Resign after it has stopped the session's I/O.
type resigned struct{ done chan struct{} }

func (resigned) event() {}

// post puts an event into the queue; false if the controller is closed.
func (c *Controller) post(ev Event) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.queue = append(c.queue, ev)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return true
}

func (c *Controller) take() (Event, *sessionRun, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.queue = nil
		return nil, c.session, false
	}
	ev := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	return ev, c.session, true
}

func (c *Controller) run(ctx context.Context) {
	defer close(c.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		ev, run, ok := c.take()
		if ok {
			c.handle(ev, run)
			continue
		}
		if ctx.Err() != nil {
			c.apply([]Send{{Kind: CloseAllChannels}})
			return
		}
		var due <-chan time.Time
		if at := c.machine.Deadline(); !at.IsZero() && run != nil {
			timer.Reset(time.Until(at))
			due = timer.C
		}
		select {
		case <-c.wake:
		case <-due:
			c.handle(Tick{}, run)
		case <-ctx.Done():
		}
	}
}

// handle has the machine deal with one event.
func (c *Controller) handle(ev Event, run *sessionRun) {
	if ev, ok := ev.(resigned); ok {
		c.apply(c.machine.Abandon().Sends)
		c.drive(SessionLost{}, nil)
		close(ev.done)
		return
	}
	if run == nil || run.ctx.Err() != nil {
		// Between two sessions. What waits for an answer gets one; the rest means nothing any more.
		c.apply(c.machine.Abandon().Sends)
		switch ev.(type) {
		case SessionStarted, ZNodeChanged, Tick:
			return
		}
		run = nil
	}
	c.drive(ev, run)
}

// drive takes the machine through an event, step by step.
func (c *Controller) drive(ev Event, run *sessionRun) {
	step := c.machine.Process(time.Now(), ev)
	for {
		c.publish(run)
		c.apply(step.Sends)
		if step.Done {
			return
		}
		if run == nil {
			step = c.machine.Abandon()
			continue
		}
		results := run.x.do(run.ctx, step.Requests)
		if run.ctx.Err() != nil {
			step = c.machine.Abandon()
			continue
		}
		step = c.machine.Resume(time.Now(), results)
	}
}

// publish makes visible what other goroutines ask for.
func (c *Controller) publish(run *sessionRun) {
	c.deleting.Store(c.machine.Deleting())
	c.mu.Lock()
	defer c.mu.Unlock()
	if run != nil && c.session == run {
		c.activeID.Store(c.machine.ActiveID())
	}
}

// apply does what the machine wants of the channels.
func (c *Controller) apply(sends []Send) {
	for _, s := range sends {
		ch := c.channels[s.Broker]
		switch s.Kind {
		case SendRequest:
			if ch != nil {
				ch.send(s.Request)
			}
		case OpenChannel:
			if ch != nil {
				ch.stop()
			}
			c.channels[s.Broker] = openChannel(&c.goroutines, s.Info, c.deps.Brokers, c.brokerAnswered, c.log)
		case UpdateChannel:
			if ch != nil {
				ch.update(s.Info)
			}
		case CloseChannel:
			if ch != nil {
				ch.stop()
				delete(c.channels, s.Broker)
			}
		case CloseAllChannels:
			for id, ch := range c.channels {
				ch.stop()
				delete(c.channels, id)
			}
		}
	}
}

// brokerAnswered posts an answer; one to UpdateMetadata only if it is a refusal.
func (c *Controller) brokerAnswered(ev BrokerAnswered) {
	if resp, ok := ev.Response.(*kmsg.UpdateMetadataResponse); ok && resp.ErrorCode == 0 {
		return
	}
	c.post(ev)
}
