package wire

import (
	"context"
	"sync"
	"time"
)

// stallGrace is how long a half-read frame may make no progress before it is closed for others that need its memory.
const stallGrace = time.Second

// frameBudget bounds the bytes of request frames held by all connections together (queued.max.request.bytes), those in bulk
// buffers by their buffer. Frames up to readBufferSize and those of privileged listeners are not counted.
//
// A frame is charged whole when it starts to need memory, so a frame that was charged can always be read to its end, and
// nobody waits for the budget while holding a part of it. When it is short, half-read frames that stalled are closed.
type frameBudget struct {
	limit int64

	mu      sync.Mutex
	used    int64
	partial map[*Conn]struct{} // connections with a charged frame not read to its end yet
	freed   chan struct{}      // closed and replaced when bytes are given back to someone who waits
	waiting int
}

func newFrameBudget(limit int64) *frameBudget {
	return &frameBudget{limit: limit, partial: map[*Conn]struct{}{}, freed: make(chan struct{})}
}

// acquire charges n bytes for a frame that c reads, waiting until they are there, and returns what was charged: less than n for
// a frame larger than the whole budget, which gets all of it. Errors: ctx.Err.
func (b *frameBudget) acquire(ctx context.Context, c *Conn, n int64) (charged int64, err error) {
	n = min(n, b.limit)
	b.mu.Lock()
	if b.used+n > b.limit {
		err = b.waitLocked(ctx, n)
	}
	if err == nil {
		b.used += n
		b.partial[c] = struct{}{}
	}
	b.mu.Unlock()
	return n, err
}

// tryAcquire charges n bytes if nobody has to wait for that.
func (b *frameBudget) tryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting > 0 || b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

// hold says that c waits for the rest of a frame with bytes that tryAcquire charged.
func (b *frameBudget) hold(c *Conn) {
	b.mu.Lock()
	b.partial[c] = struct{}{}
	b.mu.Unlock()
}

func (b *frameBudget) waitLocked(ctx context.Context, n int64) error {
	b.waiting++
	defer func() { b.waiting-- }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for b.used+n > b.limit {
		wait := b.closeStalledLocked()
		freed := b.freed
		b.mu.Unlock()
		timer.Reset(wait)
		var err error
		select {
		case <-freed:
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
		b.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// closeStalledLocked closes the connection whose half-read frame has been still for longest, if that is longer than stallGrace,
// and returns when to look again. b.mu is held.
func (b *frameBudget) closeStalledLocked() time.Duration {
	var oldest *Conn
	var since time.Time
	for c := range b.partial {
		if t := c.lastRead(); oldest == nil || t.Before(since) {
			oldest, since = c, t
		}
	}
	if oldest == nil {
		return stallGrace
	}
	if still := time.Since(since); still < stallGrace {
		return stallGrace - still
	}
	delete(b.partial, oldest)
	go oldest.abort("request memory is short and its half-read request made no progress")
	return stallGrace
}

// complete says that the frame c was reading is there, or will never be.
func (b *frameBudget) complete(c *Conn) {
	b.mu.Lock()
	delete(b.partial, c)
	b.mu.Unlock()
}

// release gives back n bytes.
func (b *frameBudget) release(n int64) {
	b.mu.Lock()
	b.used -= n
	if b.waiting > 0 {
		close(b.freed)
		b.freed = make(chan struct{})
	}
	b.mu.Unlock()
}
