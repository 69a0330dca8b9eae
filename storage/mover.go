package storage

import (
	"context"
	"errors"
	"math"
	"sync"

	"golang.org/x/time/rate"
)

// mover fills future logs and puts them in place, some at a time (num.replica.alter.log.dirs.threads), no faster than
// replica.alter.log.dirs.io.max.bytes.per.second for all of them together.
type mover struct {
	m       *Manager
	limiter *rate.Limiter // rate.Inf: no throttle
	chunk   int           // bytes copied at a time, moveChunk but in tests
	wg      sync.WaitGroup

	mu    sync.Mutex // leaf
	queue []*Log     // logs with work to do, each once, but for one that is being worked on
	wake  chan struct{}
}

// moveTurn is how many chunks of a log are copied before it is another one's turn.
const moveTurn = 16

func newMover(m *Manager) *mover {
	mv := &mover{m: m, limiter: rate.NewLimiter(rate.Inf, moveChunk), wake: make(chan struct{}, 1), chunk: moveChunk}
	if n := m.cfg.MoveMaxBytesPerSec; n > 0 {
		mv.throttle(n)
	}
	return mv
}

// SetMoveThrottle sets how many bytes a second moves between log directories may copy, at least one.
func (m *Manager) SetMoveThrottle(bytesPerSec int64) { m.mover.throttle(bytesPerSec) }

func (mv *mover) throttle(bytesPerSec int64) {
	if bytesPerSec >= math.MaxInt64/2 {
		mv.limiter.SetLimit(rate.Inf)
		mv.limiter.SetBurst(moveChunk)
		return
	}
	bytesPerSec = max(bytesPerSec, 1)
	mv.limiter.SetBurst(int(min(bytesPerSec, moveChunk)))
	mv.limiter.SetLimit(rate.Limit(bytesPerSec))
}

// chunkBytes is how much to copy at a time: no more than the throttle lets through at once.
func (mv *mover) chunkBytes() int { return min(mv.chunk, mv.limiter.Burst()) }

func (mv *mover) start(threads int) {
	for range threads {
		mv.wg.Go(mv.run)
	}
}

func (mv *mover) wait() { mv.wg.Wait() }

func (mv *mover) add(l *Log) {
	mv.mu.Lock()
	mv.queue = append(mv.queue, l)
	mv.mu.Unlock()
	mv.signal()
}

func (mv *mover) signal() {
	select {
	case mv.wake <- struct{}{}:
	default:
	}
}

func (mv *mover) take() *Log {
	mv.mu.Lock()
	defer mv.mu.Unlock()
	if len(mv.queue) == 0 {
		return nil
	}
	l := mv.queue[0]
	mv.queue[0] = nil
	mv.queue = mv.queue[1:]
	if len(mv.queue) > 0 {
		mv.signal() // there is work for another thread
	}
	return l
}

func (mv *mover) run() {
	var buf []byte
	for mv.m.ctx.Err() == nil {
		l := mv.take()
		if l == nil {
			select {
			case <-mv.wake:
			case <-mv.m.ctx.Done():
			}
			continue
		}
		if mv.turn(l, &buf) {
			mv.add(l)
		}
		if cap(buf) > 2*moveChunk {
			buf = nil
		}
	}
}

// turn does some of the move of a log; more says that there is more to do.
func (mv *mover) turn(l *Log, buf *[]byte) (more bool) {
	f := l.future.Load()
	if f == nil {
		return false
	}
	for range moveTurn {
		done, err := mv.step(l, f, buf)
		if err != nil {
			mv.failed(l, f, err)
			return false
		}
		if done {
			return false
		}
	}
	return true
}

// step copies a chunk, or swaps if nothing is missing.
func (mv *mover) step(l, f *Log, buf *[]byte) (done bool, err error) {
	n, err := l.copyChunk(f, buf)
	if err != nil {
		return false, err
	}
	if n == 0 {
		return l.swap(f, buf)
	}
	return false, mv.pace(l, f, n)
}

// pace waits until the throttle lets n more bytes be copied, or the move is over.
func (mv *mover) pace(l, f *Log, n int) error {
	for n > 0 && mv.limiter.Limit() != rate.Inf {
		if l.future.Load() != f {
			return errMoveOver
		}
		k := min(n, mv.limiter.Burst())
		if err := mv.limiter.WaitN(mv.m.ctx, k); err != nil && mv.m.ctx.Err() != nil {
			return err
		}
		n -= k // WaitN fails too if the burst shrank meanwhile: that part goes free
	}
	return nil
}

// failed is the end of a turn by an error. If the future log's directory is offline, the log stays where it is. Otherwise the move stands still until the
// next start, or until it is asked for again.
func (mv *mover) failed(l, f *Log, err error) {
	if errors.Is(err, errMoveOver) || errors.Is(err, context.Canceled) || mv.m.ctx.Err() != nil || l.closed.Load() {
		return
	}
	l.logger().Error().Err(err).Str("to", f.Dir()).Msg("the move of a log stands still")
	f.stalled.Store(true)
	if f.dir().offline() != nil && f.dir() != l.dir() {
		l.loseFuture(f)
	}
}

// dirFailed ends the moves to a directory that went offline.
func (mv *mover) dirFailed(d *logDir) {
	mv.m.logs.each(func(l *Log) {
		if f := l.future.Load(); f != nil && f.dir() == d {
			l.loseFuture(f)
		}
	})
}
