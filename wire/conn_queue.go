package wire

import (
	"time"
)

// writerRuns says whether answers have to go through the queue. Only the reader starts the writer, so for the reader false
// stays false.
func (c *Conn) writerRuns() bool {
	if c.queue == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing
}

// waitDrained waits until every queued answer is written, or the connection closed.
func (c *Conn) waitDrained() {
	if c.queue == nil {
		return
	}
	c.mu.Lock()
	for c.writing {
		c.changed.Wait()
	}
	c.mu.Unlock()
}

// enqueue puts an answer behind those that are pending, waiting while the queue is full.
func (c *Conn) enqueue(h Header, r *Reply) error {
	a := answer{pending: r.Pending, header: h}
	if r.Pending == nil {
		if r.silent() {
			return nil
		}
		a.out = getOut()
		*a.out = appendAnswer(*a.out, h, r.Response, r.Raw)
	}
	if err := c.flush(); err != nil { // answers of before the first pending one
		return err
	}
	if c.queue == nil {
		c.queue = make([]answer, c.server.cfg.MaxInFlightProduce)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.n == len(c.queue) && c.closing.Load() == nil {
		c.changed.Wait()
	}
	if c.closing.Load() != nil {
		return closeReason("")
	}
	c.queue[(c.head+c.n)%len(c.queue)] = a
	c.n++
	if !c.writing {
		c.writing = true
		go c.writeQueued()
	}
	return nil
}

// dequeue takes the first queued answer; ok is false if there is none.
func (c *Conn) dequeue() (a answer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		return a, false
	}
	a = c.queue[c.head]
	c.queue[c.head] = answer{}
	c.head = (c.head + 1) % len(c.queue)
	c.n--
	c.changed.Broadcast()
	return a, true
}

// stopWriting ends the writer if the queue is empty still.
func (c *Conn) stopWriting(closed bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n > 0 && !closed {
		return false
	}
	c.writing = false
	c.changed.Broadcast()
	return true
}

// writeQueued is the writer goroutine. It writes queued answers in order, several at once if they are ready, and ends when there
// are none left.
func (c *Conn) writeQueued() {
	out := getOut()
	defer putOut(out)
	var timer *time.Timer
	fail := func(reason string) {
		c.abort(reason)
		c.stopWriting(true)
	}
	flush := func() error {
		if len(*out) == 0 {
			return nil
		}
		err := c.write(*out)
		*out = (*out)[:0]
		return err
	}
	for {
		a, ok := c.dequeue()
		if !ok {
			if err := flush(); err != nil {
				fail(err.Error())
				return
			}
			if c.stopWriting(false) {
				return
			}
			continue
		}
		if a.pending != nil {
			select {
			case <-a.pending.Done():
			default:
				if err := flush(); err != nil {
					fail(err.Error())
					return
				}
				if timer == nil {
					timer = time.NewTimer(time.Until(a.pending.Deadline()))
					defer timer.Stop()
				} else {
					timer.Reset(time.Until(a.pending.Deadline()))
				}
				select {
				case <-a.pending.Done():
				case <-timer.C:
				case <-c.closed:
					fail("")
					return
				}
			}
			if resp := a.pending.Finish(); resp != nil {
				*out = appendAnswer(*out, a.header, resp, nil)
			}
		} else {
			*out = append(*out, *a.out...)
			putOut(a.out)
		}
		if len(*out) >= coalesceLimit {
			if err := flush(); err != nil {
				fail(err.Error())
				return
			}
		}
	}
}
